package engine

import (
	"testing"

	"carp/libcarp/wire"
)

func TestHybridClock(t *testing.T) {
	const at = 1000 * second
	wall := func(ms int64) int64 { return wire.SealEpoch + ms }
	var c hybridClock
	if got := c.read(at); got != 1000_000 {
		t.Errorf("without a wall clock: %d", got)
	}
	c.observe(at, wall(5e9))
	if got := c.read(at + second); got != 5e9+1000 {
		t.Errorf("raised to the wall clock, a second later: %d", got)
	}
	for _, w := range []int64{wall(4e9), wall(-1), 0, wall(40 * 365 * dayMs)} { // stepped back, before 2024, not set, after 2050
		c.observe(at, w)
		if got := c.read(at); got != 5e9 {
			t.Errorf("after the wall clock %d: %d", w, got)
		}
	}
	c.hear(at, 5e9+dayMs)
	if got := c.read(at); got != 5e9+dayMs {
		t.Errorf("an advert a day ahead: %d", got)
	}
	c.hear(at, 5e9+2*dayMs+1)
	if got := c.read(at); got != 5e9+dayMs {
		t.Errorf("an advert more than a day ahead: %d", got)
	}
}

func TestStamp(t *testing.T) {
	var c hybridClock
	if a, b := c.stamp(second, 0xf5), c.stamp(second, 0); a != 1000+1+5 || b != a+1 {
		t.Errorf("%d, %d", a, b) // above the last one, though the random part is lower
	}
	c.offset = wire.SealMax
	if got := c.stamp(second, 15); got != wire.SealMax {
		t.Errorf("beyond 40 bits: %x", got)
	}
	c = hybridClock{offset: -1 << 40, sent: -1 << 41}
	if got := c.stamp(second, 0); got != 0 {
		t.Errorf("before the epoch: %d", got)
	}
}
