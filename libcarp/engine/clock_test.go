package engine

import (
	"math/rand/v2"
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
	c.hear(at, 5e9+5000)
	if got := c.read(at); got != 5e9+5000-lead {
		t.Errorf("an advert that is ahead: %d", got)
	}
	c.hear(at, 5e9)
	if got := c.read(at); got != 5e9+5000-lead {
		t.Errorf("an advert that is behind: %d", got)
	}
}

// How far a counter is behind the wall clock is known only while that can be believed.
func TestBehind(t *testing.T) {
	const at = 1000 * second
	var c hybridClock
	if got := c.behind(at, 0); got != 0 {
		t.Errorf("no wall clock: %d", got)
	}
	c.observe(at, wire.SealEpoch+5e9)
	c.hear(at, 9e9) // that somebody else is ahead changes nothing
	if got := c.behind(at+second, 5e9); got != 1000 {
		t.Errorf("%d", got)
	}
	c.observe(at, wire.SealEpoch-1)
	if got := c.behind(at, 0); got != 0 {
		t.Errorf("a wall clock before 2024: %d", got)
	}
}

func TestStamp(t *testing.T) {
	var c hybridClock
	for _, k := range []struct{ newest, random, want int64 }{
		{0, 0xe5, 1000 + 1 + 5},
		{1005, 0, 1006}, // above the newest, though the clock is behind
		{1005, 16, 1007},
		{1005, 15, 1016},
		{1005, 32, 1006}, // by one or by two
	} {
		if got := c.stamp(second, k.newest, uint64(k.random)); got != k.want {
			t.Errorf("newest %d, random %#x: %d, want %d", k.newest, k.random, got, k.want)
		}
	}
	c.offset = wire.SealMax
	if got := c.stamp(second, 0, 15); got != wire.SealMax {
		t.Errorf("beyond 40 bits: %x", got)
	}
	c = hybridClock{offset: -1 << 40}
	if got := c.stamp(second, -1<<41, 0); got != 0 {
		t.Errorf("before the epoch: %d", got)
	}
}

// Two hosts that are each master of something, and hear each other's adverts all the time, do not drive their clocks ahead.
func TestClocksDoNotRace(t *testing.T) {
	var a, b hybridClock
	random, now := rand.New(rand.NewPCG(1, 2)), 1000*second
	a.raise(now, 5e9)
	for range 100_000 {
		now += second / 1000
		b.hear(now, a.stamp(now, 0, random.Uint64()))
		a.hear(now, b.stamp(now, 0, random.Uint64()))
	}
	if got := a.read(now) - 5e9; got != 100_000 {
		t.Errorf("%d ms in 100 s", got)
	}
}
