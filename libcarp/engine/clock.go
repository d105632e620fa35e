package engine

import "carp/libcarp/wire"

// When the wall clock can be believed: 2024 to 2050, in milliseconds since wire.SealEpoch.
const (
	wallMin = 0
	wallMax = 27 * 365 * 86400 * 1000
)

// dayMs is how far ahead of us a counter's time may be and still be taken at its word.
const dayMs = 86400 * 1000

// A hybridClock is the running clock of the sealed counter (wire.md, "Our counter"; Kulkarni et al., "Logical Physical Clocks", 2014). It goes
// on with the monotonic clock and is only ever raised: by the wall clock, and by the times of accepted adverts.
type hybridClock struct {
	offset int64 // running time = offset + monotonic milliseconds
	sent   int64 // the time in the last counter that we sent
}

func millis(now Instant) int64 { return int64(now) / 1e6 }

func (c *hybridClock) read(now Instant) int64 { return c.offset + millis(now) }

// observe raises the clock to the wall clock, which is in milliseconds of Unix time.
func (c *hybridClock) observe(now Instant, wall int64) {
	if t := wall - wire.SealEpoch; t >= wallMin && t <= wallMax {
		c.raise(now, t)
	}
}

// raise sets the clock to t unless it is later already.
func (c *hybridClock) raise(now Instant, t int64) { c.offset = max(c.offset, t-millis(now)) }

// hear raises the clock to the time of an accepted advert, unless that is more than a day ahead: a random counter of a BSD looks
// sealed once in 2^24.
func (c *hybridClock) hear(now Instant, t int64) {
	if t-c.read(now) <= dayMs {
		c.raise(now, t)
	}
}

// stamp returns the time for the next counter. Its random part keeps two equal hosts, which inherited a clock ahead of their own, from
// counting in step and taking each other's adverts for their own.
func (c *hybridClock) stamp(now Instant, random uint64) int64 {
	t := max(c.read(now)+1+int64(random&15), c.sent+1)
	c.sent = min(max(t, 0), wire.SealMax)
	return c.sent
}
