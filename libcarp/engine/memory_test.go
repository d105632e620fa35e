package engine

import (
	"math/rand/v2"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// newRemembering returns a host whose carps remember what is newer than its clock, as after a restart with a clock that went back.
func newRemembering(t *testing.T, newest int64) *host {
	t.Helper()
	remember := func(string, uint8) *Memory { return &Memory{Newest: newest} }
	h := &host{t: t, e: New(config.NewMachine(), rand.NewPCG(1, 2), remember), now: 1000 * second, wall: wire.SealEpoch + 5e9}
	h.setLinks(em0(1))
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	return h
}

// nextStamp returns the time in the next advert.
func (h *host) nextStamp(t *testing.T) int64 {
	t.Helper()
	ad, err := wire.Parse(advertOf(t, h.until(h.e.Deadline())))
	if err != nil {
		t.Fatal(err)
	}
	return timeOf(ad.Counter)
}

// The clock goes on from what was remembered, once anything is sent or accepted: a second is a second, however far back the wall clock went.
func TestClockGoesOnFromMemory(t *testing.T) {
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want-lead || got > want+lead {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	h := newRemembering(t, 9e9)
	near("the first advert", h.nextStamp(t), 9e9)
	h.wait(9 * second)
	near("ten seconds later", h.nextStamp(t), 9e9+10_000)

	h = newRemembering(t, 9e9)
	h.hear(peer{base: 1}) // a BSD's, without a time
	near("the first advert of who has only heard so far", h.nextStamp(t), 9e9+3000)
}

// However many adverts are sent at once, and count on above each other, the clock stays what it was.
func TestBurstLeavesTheClock(t *testing.T) {
	h := newMaster(t, "")
	before := h.e.clock
	for range 100 {
		if err := h.demote(config.Demote, 1); err != nil {
			t.Fatal(err)
		}
	}
	if h.e.clock != before {
		t.Errorf("a hundred adverts have moved the clock from %d to %d", before.read(h.now), h.e.clock.read(h.now))
	}
}

// How many counters are remembered one by one, and how many there were. What had to be forgotten is not above the Floor.
func TestRemembered(t *testing.T) {
	const first = 5e9
	for _, c := range []struct {
		name  string
		take  func(*Memory, uint64)
		has   func(*Memory, uint64) bool
		total func(*Memory) uint64
		most  int64
	}{
		{"sent", (*Memory).sent, (*Memory).hasSent, func(m *Memory) uint64 { return m.SentTotal }, 32},
		{"accepted", (*Memory).accepted, (*Memory).hasAccepted, func(m *Memory) uint64 { return m.AcceptedTotal }, 88},
	} {
		var m Memory
		if c.has(&m, 0) {
			t.Errorf("%s: nothing yet, and yet counter 0", c.name)
		}
		for i := range c.most {
			c.take(&m, uint64(first+i)<<24)
		}
		if !c.has(&m, first<<24) || m.Floor != 0 || m.Newest != first+c.most-1 || c.total(&m) != uint64(c.most) {
			t.Errorf("%s, all that are remembered: the first %t, %+v", c.name, c.has(&m, first<<24), m)
		}
		c.take(&m, uint64(first+c.most)<<24)
		if c.has(&m, first<<24) || !c.has(&m, uint64(first+1)<<24) || m.Floor != first || c.total(&m) != uint64(c.most)+1 {
			t.Errorf("%s, and one more: the first %t, the second %t, %+v", c.name, c.has(&m, first<<24), c.has(&m, uint64(first+1)<<24), m)
		}
	}
}

// An advert that crossed a newer one on the way is accepted, and remembered like any other.
func TestCrossingAdvertIsRemembered(t *testing.T) {
	_, b, _ := pair(t, "")
	p := behind(500)(nil, b, nil)
	for n := range uint64(3) {
		b.hear(p)
		if got := b.e.Stats()[config.Replayed]; got != n {
			t.Errorf("heard %d times, %d refused", n+1, got)
		}
	}
}
