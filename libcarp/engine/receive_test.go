package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// Every way to refuse a packet: its counter, its message, and that nothing else changes.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		peer    peer
		prepare string // words before
		counter config.Counter
		perCarp bool
		log     string
	}{
		{"unknown interface", peer{carpdev: 9}, "", config.Badif, false, "carp: packet received on non-carp interface: ?"},
		{"unicast to an interface without carps", peer{carpdev: 3, dst: "10.0.0.1"}, "", config.Badif, false, "carp: packet received on non-carp interface: em1"},
		{"TTL", peer{ttl: 254}, "", config.Badttl, false, "carp: received ttl 254 != 255 on em0"},
		{"short", peer{truncate: true}, "", config.Badlen, false, "carp: packet too short 55 on em0"},
		{"empty", peer{bytes: []byte{}}, "", config.Badlen, false, "carp: packet too short 20 on em0"},
		{"checksum", peer{flips: true}, "", config.Badsum, false, "carp: checksum failed on em0"},
		{"vhid", peer{vhid: 2}, "", config.Badvhid, false, ""},
		{"multicast on an interface without carps", peer{carpdev: 3}, "", config.Badvhid, false, ""},
		{"unicast", peer{dst: "192.168.1.1"}, "", config.Badvhid, false, ""},
		{"not running", peer{}, "carp0 down", config.Badvhid, false, ""},
		{"version", peer{version: 3}, "", config.Badver, true, "carp0: invalid version 3 != 2"},
		{"pass phrase", peer{pass: "other"}, "", config.Badauth, true, "carp0: incorrect hash from 192.168.1.99: pass phrase or address list differs"},
		{"addresses", peer{addrs: []string{"192.168.1.11"}}, "", config.Badauth, true, "carp0: incorrect hash from 192.168.1.99: pass phrase or address list differs"},
	} {
		for _, state := range []State{Backup, Master} {
			t.Run(c.name+" "+state.String(), func(t *testing.T) {
				h := newHost(t, em0(1), config.Link{Index: 3, Name: "em1", Up: true, Running: true, Ethernet: true, Multicast: true})
				h.must("carp0 create carpdev em0 vhid 1 advskew 50 alias 192.168.1.10/24")
				if state == Master {
					h.wait(10 * second)
				}
				if c.prepare != "" {
					h.must(c.prepare)
					state = Init
				}
				h.log = nil
				before, own := h.e.Stats(), h.e.carps["carp0"].stats
				n := h.e.carps["carp0"].nodes[0]
				deadline := n.deadline
				for _, f := range h.hear(c.peer) {
					if _, isLog := f.(*Log); !isLog {
						t.Errorf("effect %T", f)
					}
				}
				h.want("carp0", state)
				if n.deadline != deadline {
					t.Error("a timer has moved")
				}
				before[config.Ipackets]++
				before[c.counter]++
				if h.e.Stats() != before {
					t.Errorf("counters %v, want %v", h.e.Stats(), before)
				}
				if got := h.e.carps["carp0"].stats[c.counter] - own[c.counter]; (got == 1) != c.perCarp {
					t.Errorf("counted at the carp: %d", got)
				}
				if got := strings.Join(h.log, "|"); got != c.log {
					t.Errorf("logged %q, want %q", got, c.log)
				}
			})
		}
	}
}

func TestAllow(t *testing.T) {
	h := newMaster(t, "advskew 100")
	h.sysctl("allow", 0)
	before := h.e.Stats()
	h.hear(peer{base: 1, ttl: 3})
	h.hear(peer{base: 1})
	h.want("carp0", Master)
	before[config.Ipackets] += 2
	if h.e.Stats() != before {
		t.Error("something but ipackets was counted")
	}
	h.wait(2 * second)
	if h.e.Stats()[config.Opackets] <= before[config.Opackets] {
		t.Error("our own adverts have stopped")
	}
	h.sysctl("allow", -1) // any int but 0
	h.hear(peer{base: 1})
	h.want("carp0", Backup)
}

func TestOwnAdvertIsALoop(t *testing.T) {
	h := newMaster(t, "")
	var sent []*SendAdvert
	for _, f := range h.wait(16 * second) {
		if s, ok := f.(*SendAdvert); ok {
			sent = append(sent, s)
		}
	}
	if len(sent) < 16 {
		t.Fatalf("%d adverts", len(sent))
	}
	for _, s := range sent {
		h.log = nil
		before := h.e.Stats()[config.Badauth]
		h.hear(peer{bytes: s.Packet[20:]})
		h.want("carp0", Master)
		if h.e.Stats()[config.Badauth] != before+1 || !slices.Contains(h.log, "carp0: replay or network loop detected") {
			t.Fatalf("not seen as our own; log %q", h.log)
		}
	}
}

// Our own advert that came back is no sign that the peers use the present list of addresses: they still have the old one, and must be heard.
func TestOwnAdvertKeepsPreviousAddresses(t *testing.T) {
	h := newMaster(t, "")
	h.must("carp0 alias 192.168.1.11/24")
	var own *SendAdvert
	for _, f := range h.wait(second) {
		if s, ok := f.(*SendAdvert); ok {
			own = s
		}
	}
	h.hear(peer{bytes: own.Packet[20:]})
	before := h.e.Stats()[config.Badauth]
	h.hear(peer{base: 1}) // over 192.168.1.10 alone
	if got := h.e.Stats()[config.Badauth]; got != before {
		t.Error("the previous list is refused after our own advert came back")
	}
}

// The one message that everybody gets, once a minute and source, whatever the flood.
func TestWrongHashLog(t *testing.T) {
	h := newMaster(t, "")
	h.sysctl("log", 1)
	count := func() int {
		h.log = nil
		for i := 0; i < 1000; i++ {
			h.hear(peer{pass: "x", src: "10.0.0." + utoa(uint8(i%20))})
		}
		return len(h.log)
	}
	if n := count(); n != 8 {
		t.Errorf("%d lines for 20 sources, want one for each of 8", n)
	}
	if n := count(); n != 0 {
		t.Errorf("%d more lines at once", n)
	}
	h.now += 60 * second
	if n := count(); n != 8 {
		t.Errorf("%d lines a minute later, want 8", n)
	}
	h.now += 60 * second
	h.sysctl("log", 0)
	if n := count(); n != 0 {
		t.Errorf("%d lines with log=0", n)
	}
}

func TestOtherAdvbaseIsLoggedOnce(t *testing.T) {
	h := newMaster(t, "")
	for i := 0; i < 5; i++ {
		h.hear(peer{base: 2})
	}
	if want := []string{"carp0: 192.168.1.99 advertises advbase 2, ours is 1"}; !slices.Equal(h.log, want) {
		t.Errorf("%q, want %q", h.log, want)
	}
}

func TestReceivingAllocatesNothing(t *testing.T) {
	h := newBackup(t, "advskew 100")
	pkt := peer{base: 1}.packet()
	if n := testing.AllocsPerRun(1000, func() {
		h.now += second / 100
		h.e.Step(h.now, pkt)
	}); n != 0 {
		t.Errorf("%v allocations for an accepted advert", n)
	}
	h.want("carp0", Backup)
}

func TestSendingAllocatesNothing(t *testing.T) {
	h := newMaster(t, "")
	h.wait(10 * second)
	tick, sent := &Tick{}, &Sent{Carp: "carp0"}
	if n := testing.AllocsPerRun(1000, func() {
		h.now = h.e.Deadline()
		fs := h.e.Step(h.now, tick)
		if _, ok := fs[0].(*SendAdvert); !ok || len(fs) != 1 {
			t.Fatal("not an advert")
		}
		h.e.Step(h.now, sent)
	}); n != 0 {
		t.Errorf("%v allocations for an advert", n)
	}
}

// BenchmarkReceive lets a backup hear its master. One HMAC is the limit: every system has to compute it.
func BenchmarkReceive(b *testing.B) {
	h := newBackup(b, "advskew 100")
	pkt := peer{base: 1}.packet()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		h.now += 1000
		h.e.Step(h.now, pkt)
	}
	inHMACs(b)
}

// inHMACs ends a benchmark and measures it by the HMAC of an advert, in the same run.
func inHMACs(b *testing.B) {
	b.StopTimer()
	auth := wire.NewAuth(wire.Identity{VHID: 1, Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.10")}})
	start := time.Now()
	for i := range b.N {
		auth.Sum(uint64(i))
	}
	b.ReportMetric(float64(b.Elapsed())/float64(time.Since(start)), "HMACs/op")
}

// What the host has dropped counts as if it had come in.
func TestForeign(t *testing.T) {
	h := newBackup(t, "")
	before := h.e.Stats()
	h.step(&Foreign{IPv4: 5, IPv6: 2})
	before[config.Ipackets] += 5
	before[config.Ipackets6] += 2
	before[config.Badvhid] += 7
	if h.e.Stats() != before {
		t.Errorf("%v, want %v", h.e.Stats(), before)
	}
	h.sysctl("allow", 0)
	h.step(&Foreign{IPv4: 1})
	before[config.Ipackets]++
	if h.e.Stats() != before {
		t.Errorf("with allow 0: %v, want %v", h.e.Stats(), before)
	}
}
