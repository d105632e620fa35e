package engine

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// advertOf returns the payload of the first advert among the effects.
func advertOf(t *testing.T, fs []Effect) []byte {
	t.Helper()
	for _, f := range fs {
		if s, ok := f.(*SendAdvert); ok {
			return slices.Clone(s.Packet[wire.IPv4Header:])
		}
	}
	t.Fatal("no advert")
	return nil
}

// pair returns a master and a backup that has heard it, on one clock, and the master's adverts of ten intervals.
func pair(t *testing.T, words string) (m, b *host, recorded [][]byte) {
	t.Helper()
	m, b = newMaster(t, words), newHost(t, em0(2))
	b.now = m.now
	b.must("carp0 create carpdev em0 vhid 1 advskew 200 " + words + " alias 192.168.1.10/24")
	for range 10 {
		ad := advertOf(t, m.until(m.e.Deadline()))
		recorded = append(recorded, ad)
		b.until(m.now)
		b.hear(peer{bytes: ad, src: "192.168.1.1"})
		b.want("carp0", Backup)
	}
	b.log, m.log = nil, nil
	return m, b, recorded
}

// change returns an advert with another header and the right checksum; the HMAC does not cover what is changed.
func change(ad []byte, base, skew, demote uint8) []byte {
	ad = slices.Clone(ad)
	ad[5], ad[2], ad[4], ad[6], ad[7] = base, skew, demote, 0, 0
	sum := wire.Checksum(ad)
	ad[6], ad[7] = byte(sum>>8), byte(sum)
	return ad
}

// Each value of replay against each kind of advert.
func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name    string
		replay  int
		ad      func(m, b *host, recorded [][]byte) peer
		counter config.Counter // 0: accepted
	}{
		{"the last again", 0, last, 0},
		{"the last again", 1, last, config.Replayed},
		{"the last again", 2, last, config.Replayed},
		{"an old one", 0, old, 0},
		{"an old one", 1, old, config.Replayed},
		{"an old one", 2, old, config.Replayed},
		{"the last, altered", 0, lastAltered, 0},
		{"the last, altered", 1, lastAltered, config.Altered},
		{"the last, altered", 2, lastAltered, config.Altered},
		{"a bow-out made of the last", 0, lastAsBowOut, 0},
		{"a bow-out made of the last", 1, lastAsBowOut, config.Altered},
		{"a bow-out made of the last", 2, lastAsBowOut, config.Altered},
		{"a BSD's", 0, foreign, 0},
		{"a BSD's", 1, foreign, 0},
		{"a BSD's", 2, foreign, config.Altered},
		{"a BSD's, of a time long past if it were one", 0, foreignOf(1), 0},
		{"a BSD's, of a time long past if it were one", 1, foreignOf(1), 0},
		{"half a second behind the newest", 1, behind(500), 0},
		{"a second behind the newest", 1, behind(1000), 0},
		{"more than a second behind the newest", 1, behind(1001), config.Replayed},
		{"more than a second behind the newest", 0, behind(1001), 0},
		{"ahead", 2, behind(-60_000), 0},
		{"two days ahead", 2, behind(-2 * dayMs), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, b, recorded := pair(t, "")
			b.sysctl("replay", c.replay)
			b.wait(second / 2)
			p := c.ad(m, b, recorded)
			before, memory, deadline := b.e.Stats(), *b.e.carps["carp0"].nodes[0].memory, b.e.carps["carp0"].nodes[0].deadline
			b.hear(p)
			got := b.e.Stats()
			n := b.e.carps["carp0"].nodes[0]
			if c.counter == 0 {
				if got[config.Badauth] != before[config.Badauth] {
					t.Errorf("replay %d: refused, %v", c.replay, b.log)
				}
				if n.state == Backup && n.deadline == deadline {
					t.Error("accepted, and no timer moved")
				}
				return
			}
			before[config.Ipackets]++
			before[config.Badauth]++
			before[c.counter]++
			if got != before {
				t.Errorf("replay %d: counters %v, want %v", c.replay, got, before)
			}
			if n.state != Backup || n.deadline != deadline || *n.memory != memory {
				t.Errorf("replay %d: refused, and yet something changed", c.replay)
			}
			text := map[config.Counter]string{config.Replayed: "replayed", config.Altered: "altered"}[c.counter]
			if want := "carp0: " + text + " advertisement from 192.168.1.66"; !slices.Equal(b.log, []string{want}) {
				t.Errorf("logged %q, want %q", b.log, want)
			}
		})
	}
}

func last(_, _ *host, r [][]byte) peer { return peer{bytes: r[len(r)-1], src: "192.168.1.66"} }
func old(_, _ *host, r [][]byte) peer  { return peer{bytes: r[0], src: "192.168.1.66"} }
func lastAltered(_, _ *host, r [][]byte) peer {
	return peer{bytes: change(r[len(r)-1], 0, 0, 0), src: "192.168.1.66"}
}
func lastAsBowOut(_, _ *host, r [][]byte) peer {
	return peer{bytes: change(r[len(r)-1], 255, 255, 0), src: "192.168.1.66"}
}
func foreign(_, _ *host, _ [][]byte) peer { return peer{base: 1, src: "192.168.1.66"} }
func foreignOf(counter uint64) func(_, _ *host, _ [][]byte) peer {
	return func(_, _ *host, _ [][]byte) peer { return peer{base: 1, counter: counter, src: "192.168.1.66"} }
}

// behind makes a sealed advert that was never sent, so many milliseconds behind the newest.
func behind(ms int64) func(_, b *host, _ [][]byte) peer {
	return func(_, b *host, _ [][]byte) peer {
		ad := wire.Advert{Version: wire.Version, Type: wire.Type, VHID: 1, Authlen: wire.Authlen, Advbase: 1}
		ad.Seal(b.e.carps["carp0"].nodes[0].memory.Newest - ms)
		ad.HMAC = b.e.carps["carp0"].nodes[0].auth.Sum(ad.Counter)
		bytes := make([]byte, wire.Size)
		ad.Marshal(bytes)
		return peer{bytes: bytes, src: "192.168.1.66"}
	}
}

// An advert of the peer, never heard before, that is 30 s behind our wall clock: refused when strict. Our clock may be wrong, though, and then one of ours
// lifts the peer.
func TestStrictClock(t *testing.T) {
	for _, c := range []struct {
		late     int64
		accepted bool
	}{{30_000, true}, {30_001, false}} {
		b := newBackup(t, "")
		b.sysctl("replay", 2)
		b.e.carps["carp0"].nodes[0].memory.Newest = 0
		now := b.clock().Wall - wire.SealEpoch
		n := b.e.carps["carp0"].nodes[0]
		n.memory.Newest = now - c.late
		b.hear(behind(0)(nil, b, nil))
		if got := b.e.Stats()[config.Badauth] == 0; got != c.accepted {
			t.Errorf("%d ms behind the wall clock: accepted %t", c.late, got)
		}
	}
}

// Each source is named once a minute for each thing that it does.
func TestReplayLog(t *testing.T) {
	_, b, recorded := pair(t, "")
	b.sysctl("log", 2)
	for range 100 {
		b.hear(last(nil, nil, recorded))
		b.hear(lastAltered(nil, nil, recorded))
		b.now += second / 100
	}
	if got := strings.Join(b.log, "|"); got != "carp0: replayed advertisement from 192.168.1.66|carp0: altered advertisement from 192.168.1.66" {
		t.Error(got)
	}
}

// At 1/256 s the last counters are soon forgotten. An advert of our own, or the master's, that was is refused all the same, from any source.
func TestForgottenCounters(t *testing.T) {
	m, b, _ := pair(t, "advbase 0")
	var own [][]byte
	for range 3 * sentMax {
		ad := advertOf(t, m.until(m.e.Deadline()))
		own = append(own, ad)
		b.until(m.now)
		b.hear(peer{bytes: ad, src: "192.168.1.1"})
	}
	before := m.e.Stats()[config.Badauth]
	for i, ad := range own {
		m.hear(peer{bytes: ad, src: "192.168.1.254"})
		b.now = m.now
		m.want("carp0", Master)
		if got := m.e.Stats()[config.Badauth]; got != before+uint64(i)+1 {
			t.Fatalf("own advert %d of %d: not refused", i, len(own))
		}
	}
	deadline := b.e.carps["carp0"].nodes[0].deadline
	for i, ad := range own {
		b.hear(peer{bytes: ad, src: "192.168.1.254"})
		if b.e.carps["carp0"].nodes[0].deadline != deadline {
			t.Fatalf("the master's advert %d of %d kept the backup down", i, len(own))
		}
	}
}

// A successor with the same memory refuses what its predecessor sent and heard, and goes on above it, whatever its clock says.
func TestMemoryOutlivesTheEngine(t *testing.T) {
	memory := map[uint8]*Memory{1: {}}
	remember := func(name string, vhid uint8) *Memory {
		if name != "carp0" || memory[vhid] == nil {
			return new(Memory)
		}
		return memory[vhid]
	}
	start := func(wall int64) *host {
		h := &host{t: t, e: New(config.NewMachine(), rand.NewPCG(1, 2), remember), now: 1000 * second, wall: wall}
		h.sysctl("log", 7)
		h.setLinks(em0(1))
		h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		return h
	}
	first := start(wire.SealEpoch + 9e9)
	first.wait(3 * second)
	own := advertOf(t, first.wait(second))
	theirs := sealedPeer()
	first.hear(peer{bytes: theirs, src: "192.168.1.2"})

	second := start(wire.SealEpoch + 5e9) // and the clock went back
	for _, ad := range [][]byte{own, theirs} {
		before := second.e.Stats()[config.Badauth]
		second.hear(peer{bytes: ad, src: "192.168.1.2"})
		if second.e.Stats()[config.Badauth] != before+1 {
			t.Error("a recorded advert was accepted")
		}
	}
	ad, err := wire.Parse(advertOf(t, second.wait(4e9)))
	if err != nil || timeOf(ad.Counter) <= 9e9 {
		t.Errorf("counts from %d on, %v", timeOf(ad.Counter), err)
	}
}

func sealedPeer() []byte { return peer{base: 1, skew: 100, sealed: true}.packet().Payload }

func TestMemoryIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(Memory{}); got > 1024 {
		t.Errorf("%d bytes", got)
	}
}

// A time that no clock of ours can have come to moves nothing, and is accepted all the same. Any other does at once, however far ahead: whoever
// answers it has to be believed.
func TestFarAhead(t *testing.T) {
	for _, c := range []struct {
		t        int64
		believed bool
	}{{5e9 + 20*365*dayMs, true}, {heardMax, true}, {heardMax + 1, false}, {wire.SealMax, false}} {
		h := newBackup(t, "")
		n := h.e.carps["carp0"].nodes[0]
		n.memory.Newest = 5e9
		h.hear(peer{base: 1, sealed: true, sealAt: c.t})
		if h.e.Stats()[config.Badauth] != 0 {
			t.Errorf("%d: refused", c.t)
		}
		if remembered, raised := n.memory.Newest == c.t, h.e.clock.read(h.now) == c.t-lead; remembered != c.believed || raised != c.believed {
			t.Errorf("%d: remembered %t, the clock raised %t, want %t", c.t, remembered, raised, c.believed)
		}
		h.hear(peer{base: 1, sealed: true, sealAt: 5e9}) // nothing that others send is refused for it
		if got := h.e.Stats()[config.Badauth] == 0; got == c.believed {
			t.Errorf("%d: what is older is accepted: %t", c.t, got)
		}
	}
}

// A copy that replay 0 lets in takes no place of another's.
func TestCopiesTakeNoPlace(t *testing.T) {
	_, b, recorded := pair(t, "")
	b.sysctl("replay", 0)
	for range 100 {
		b.hear(last(nil, nil, recorded))
	}
	b.sysctl("replay", 1)
	b.log = nil
	for _, ad := range recorded {
		b.hear(peer{bytes: ad})
	}
	if got := b.e.Stats()[config.Replayed]; got != uint64(len(recorded)) {
		t.Errorf("%d of %d refused", got, len(recorded))
	}
	b.hear(behind(500)(nil, b, nil)) // on its way while the last came
	if got := b.e.Stats()[config.Replayed]; got != uint64(len(recorded)) {
		t.Error("an advert that nobody has heard is refused, so much was forgotten for the copies")
	}
}

// Sixteen hosts that preempt at once send more adverts within the delay of the LAN than one would think, and they come in any order: none is taken for a
// copy of one that was forgotten.
func TestCrowdOfAdverts(t *testing.T) {
	b := newBackup(t, "advskew 200")
	for i := range int64(acceptedMax) {
		b.hear(peer{base: 1, sealed: true, sealAt: 5e9 + 100 + i})
	}
	b.hear(peer{base: 1, sealed: true, sealAt: 5e9})
	if got := b.e.Stats()[config.Badauth]; got != 0 {
		t.Errorf("%d refused", got)
	}
}

// A live OpenBSD host sends the same counter for ever.
func TestConstantCounter(t *testing.T) {
	b := newBackup(t, "advskew 100")
	for range 100 {
		b.wait(second)
		b.hear(peer{base: 1, counter: 0x1234567890abcdef})
		b.want("carp0", Backup)
	}
	if b.e.Stats()[config.Badauth] != 0 {
		t.Error("refused")
	}
}

// What the seal costs an advert, beside and measured by the HMAC, which the other systems compute too.
func BenchmarkSeal(b *testing.B) {
	var c hybridClock
	c.raise(second, 5e9)
	b.Run("sent", func(b *testing.B) {
		m, ad := new(Memory), &wire.Advert{Advbase: 1}
		b.ReportAllocs()
		for i := range b.N {
			ad.Seal(c.stamp(Instant(i)*second, m.Newest, uint64(i)))
			m.sent(ad.Counter)
		}
		inHMACs(b)
	})
	b.Run("received", func(b *testing.B) {
		m, ad := new(Memory), &wire.Advert{Advbase: 1}
		for i := range acceptedMax { // every place taken, as after half a minute
			ad.Seal(5e9 + int64(i))
			m.sent(ad.Counter)
			m.accepted(ad.Counter)
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			now := Instant(i) * second
			ad.Seal(6e9 + int64(i)*1000)
			if _, sealed := ad.Sealed(); !sealed || m.hasSent(ad.Counter) || m.judge(ad, 2, c.behind(now, timeOf(ad.Counter))) != genuine {
				b.Fatal("refused")
			}
			m.accepted(ad.Counter)
			c.hear(now, timeOf(ad.Counter))
		}
		inHMACs(b)
	})
}
