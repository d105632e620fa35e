package engine

import "carp/libcarp/wire"

// When the wall clock can be believed: 2024 to 2050, in milliseconds since wire.SealEpoch.
const (
	wallMin = 0
	wallMax = 27 * 365 * dayMs
)

const dayMs = 86400 * 1000

// heardMax is the greatest time that is believed of others: a wall clock in 2050, and five years of going on without a reboot. Some years are left to count
// up to wire.SealMax.
const heardMax = wallMax + 5*365*dayMs

// lead is by how much, at most, the time in a counter is ahead of its sender's running clock: see [hybridClock.stamp].
const lead = 16

// A hybridClock is the running clock of the sealed counter (see [wire.Advert.Seal]; Kulkarni et al., "Logical Physical Clocks", 2014). It goes
// on with the monotonic clock and is only ever raised: by the wall clock, and by the times of accepted adverts.
type hybridClock struct {
	offset int64 // running time = offset + monotonic milliseconds
	wall   int64 // the wall clock, when it was last told and could be believed, less monotonic milliseconds
	known  bool  // it was, and nothing since says otherwise
}

func millis(now Instant) int64 { return int64(now) / 1e6 }

func (c *hybridClock) read(now Instant) int64 { return c.offset + millis(now) }

// observe takes note of the wall clock, which is in milliseconds of Unix time, and raises the running clock to it.
func (c *hybridClock) observe(now Instant, wall int64) {
	t := wall - wire.SealEpoch
	c.known = t >= wallMin && t <= wallMax
	if c.known {
		c.wall = t - millis(now)
		c.raise(now, t)
	}
}

// behind returns how far t is behind the wall clock; 0 when that is not known.
func (c *hybridClock) behind(now Instant, t int64) int64 {
	if !c.known {
		return 0
	}
	return c.wall + millis(now) - t
}

// raise sets the clock to t unless it is later already.
func (c *hybridClock) raise(now Instant, t int64) { c.offset = max(c.offset, t-millis(now)) }

// hear raises the clock to what the sender's was at least when he stamped t. To raise it to t itself would let two hosts, each of them
// master of something, drive each other's clocks ahead by the random lead of every advert.
func (c *hybridClock) hear(now Instant, t int64) {
	if t <= heardMax {
		c.raise(now, t-lead)
	}
}

// stamp returns the time for the next counter, above newest, the greatest that was sent or accepted. Its random part keeps two equal
// hosts, which inherited a clock ahead of their own, from counting in step and taking each other's adverts for their own.
func (c *hybridClock) stamp(now Instant, newest int64, random uint64) int64 {
	t := max(c.read(now)+1+int64(random%lead), newest+1+int64(random/lead%2))
	return min(max(t, 0), wire.SealMax)
}
