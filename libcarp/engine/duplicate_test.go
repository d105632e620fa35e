package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carp/libcarp/config"
)

var stranger = config.MAC{0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}

const duplicateLine = "duplicate IP address 192.168.1.10 sent from ethernet address aa:bb:cc:dd:ee:ff"

// claimed4 is a stranger's gratuitous ARP.
func (h *host) claimed4(mac config.MAC) []Effect {
	h.t.Helper()
	return h.step(&Duplicate{Clock: h.clock(), Carpdev: 2, Addr: netip.MustParseAddr("192.168.1.10"), MAC: mac})
}

// announcements returns for how many seconds after now each announcement of what h does until then comes.
func (h *host) announcements(until Instant, claims ...Instant) string {
	h.t.Helper()
	began, out := h.now, ""
	told := func(fs []Effect) {
		for _, f := range fs {
			if _, ok := f.(*Announce); ok {
				out += fmt.Sprintf(" %.1f", float64(h.now-began)/float64(second))
			}
		}
	}
	for _, at := range append(claims, until) {
		for d := h.e.Deadline(); d != 0 && d <= began+at; d = h.e.Deadline() {
			h.now = max(h.now, d)
			told(h.step(&Tick{h.clock()}))
		}
		if h.now = began + at; at != until {
			told(h.claimed4(stranger))
		}
	}
	return out
}

// said counts the lines about strangers.
func (h *host) said() (n int) {
	for _, line := range h.log {
		if strings.Contains(line, "duplicate") {
			n++
		}
	}
	h.log = nil
	return n
}

// A master answers a stranger at once, and again after two seconds; as long as he goes on each two seconds, and he has not the last word.
func TestDefence(t *testing.T) {
	h := newMaster(t, "")
	flood := make([]Instant, 1000)
	for i := range flood {
		flood[i] = Instant(i) * second / 100
	}
	for _, c := range []struct {
		what   string
		claims []Instant
		want   string
	}{
		{"once", []Instant{0}, " 0.0 2.0"},
		{"an answer to the first announcement", []Instant{0, second / 1000}, " 0.0 2.0 4.0"},
		{"thrice", []Instant{0, second, 2*second + 1}, " 0.0 2.0 4.0 6.0"},
		{"just after the last announcement", []Instant{0, 3 * second}, " 0.0 2.0 4.0 6.0"},
		{"long after", []Instant{0, 30 * second}, " 0.0 2.0 30.0 32.0"},
		{"a flood", flood, " 0.0 2.0 4.0 6.0 8.0 10.0 12.0"},
	} {
		if got := h.announcements(100*second, c.claims...); got != c.want {
			t.Errorf("%s: announcements after%s, want%s", c.what, got, c.want)
		}
		if h.want("carp0", Master); strings.Contains(strings.Join(h.log, "\n"), "transition") {
			t.Errorf("%s: %q", c.what, h.log)
		}
	}
}

// The announcement is of all addresses, and the line is OpenBSD's, at the level of what everybody should know.
func TestDefenceLine(t *testing.T) {
	h := newHost(t, em0(1))
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24 alias 2001:db8::10/64")
	h.wait(16 * second)
	h.sysctl("log", 2)
	if got := brief(h.claimed4(stranger)); got != "announce [192.168.1.10 2001:db8::10]" {
		t.Errorf("effects: %s", got)
	}
	h.wait(10 * second)
	h.step(&Duplicate{Clock: h.clock(), Carpdev: 2, Addr: netip.MustParseAddr("2001:db8::10"), MAC: stranger})
	want := duplicateLine + "\nnd6_na_input: duplicate IP6 address 2001:db8::10 sent from ethernet address aa:bb:cc:dd:ee:ff"
	if got := strings.Join(h.log, "\n"); !strings.HasSuffix(got, want) {
		t.Errorf("log:\n%s", got)
	}
	h.wait(100 * second)
	h.log = nil
	h.sysctl("log", 1)
	if got := brief(h.claimed4(stranger)); got != "announce [192.168.1.10 2001:db8::10]" || h.said() != 0 {
		t.Errorf("with log 1: %s, %q", got, h.log)
	}
	h.sysctl("log", 2)
	h.claimed4(stranger)
	if n := h.said(); n != 1 {
		t.Errorf("with log 2 again: %d lines", n)
	}
}

// A stranger is named once a minute, and of a flood of them eight.
func TestDefenceLogsLittle(t *testing.T) {
	h := newMaster(t, "")
	for range 100 {
		h.claimed4(stranger)
		h.wait(second / 2)
	}
	if n := h.said(); n != 1 {
		t.Errorf("one stranger, 50 s: %d lines", n)
	}
	h.wait(11 * second)
	h.claimed4(stranger)
	if n := h.said(); n != 1 {
		t.Errorf("after a minute: %d lines", n)
	}
	h.wait(100 * second)
	for i := range 1000 {
		h.claimed4(config.MAC{2, 9, byte(i >> 8), byte(i), 1, 1})
	}
	if n := h.said(); n != 8 {
		t.Errorf("a thousand strangers: %d lines", n)
	}
}

// Where other software was heard, its advert may come after what it announces; a stranger is answered two intervals later there.
func TestDefenceWaitsForUcarp(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		h := newMaster(t, "")
		h.hear(peer{base: 2, sealed: sealed})
		h.wait(100 * second)
		h.log = nil
		if got := brief(h.claimed4(stranger)); (got != "") != sealed || h.said() != map[bool]int{true: 1}[sealed] {
			t.Fatalf("sealed %t: %q", sealed, got)
		}
		h.wait(second / 2)
		fs := h.hear(peer{base: 1, skew: 1, sealed: sealed}) // worse than we are
		fs = append(slices.Clone(fs), h.wait(20*second)...)
		if n := strings.Count(brief(fs), "announce"); n != 1 || h.said() != 0 {
			t.Errorf("sealed %t: it has turned out to be a peer: %s", sealed, brief(fs))
		}
		if sealed {
			continue
		}
		if got := h.announcements(100*second, 0, second); got != " 2.0 4.0" || h.said() != 1 {
			t.Errorf("a stranger is answered after%s, %q", got, h.log)
		}
		h.claimed4(stranger)
		h.hear(peer{base: 0, skew: 1})
		h.want("carp0", Backup)
		if fs := h.wait(2 * second); strings.Contains(brief(fs), "announce") || h.said() != 0 {
			t.Errorf("it has turned out to be the master: %s", brief(fs))
		}
	}
}

// Whoever is no master does nothing, and a master nothing about MACs of CARP's or of its own host, nor about what is not his.
func TestNoDefence(t *testing.T) {
	eth1 := config.Link{Index: 3, Name: "em1", MTU: 1500, Up: true, Running: true, Ethernet: true, Multicast: true, MAC: config.MAC{2, 0, 0, 0, 0, 7}}
	h := newHost(t, own0(1), eth1)
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	h.must("carp1 create carpdev em1 vhid 2 lladdr 02:00:00:00:00:88 alias 10.0.0.10/24")
	nothing := func(what string, ev Duplicate) {
		t.Helper()
		ev.Clock = h.clock()
		before := h.e.Deadline()
		fs := h.step(&ev)
		if len(fs) != 0 || h.e.Deadline() != before {
			t.Errorf("%s: %s, %q", what, brief(fs), h.log)
		}
	}
	shared := netip.MustParseAddr("192.168.1.10")
	nothing("a backup", Duplicate{Carpdev: 2, Addr: shared, MAC: stranger})
	h.wait(16 * second)
	h.want("carp0", Master)
	h.want("carp1", Master)
	for what, mac := range map[string]config.MAC{
		"our virtual MAC":           config.VirtualMAC(1),
		"another virtual MAC":       config.VirtualMAC(77),
		"of OpenBSD's balancing ip": {1, 0, 0x5e, 0, 1, 1},
		"the carpdev's":             {2, 0, 0, 0, 0, 1},
		"another interface's":       {2, 0, 0, 0, 0, 7},
		"another carp's":            {2, 0, 0, 0, 0, 0x88},
	} {
		nothing(what, Duplicate{Carpdev: 2, Addr: shared, MAC: mac})
	}
	nothing("on another interface", Duplicate{Carpdev: 3, Addr: shared, MAC: stranger})
	nothing("of another address", Duplicate{Carpdev: 2, Addr: netip.MustParseAddr("192.168.1.11"), MAC: stranger})
	nothing("of no address", Duplicate{Carpdev: 2, Addr: netip.IPv4Unspecified(), MAC: stranger})
	for what, mac := range map[string]config.MAC{ // nearly
		"VRRP's over IPv6": {0, 0, 0x5e, 0, 2, 1}, "one more": {0, 0, 0x5e, 1, 1, 1}, "local": {2, 0, 0x5e, 0, 1, 1},
	} {
		h.log = nil
		if h.claimed4(mac); h.said() != 1 {
			t.Errorf("%s is taken for a virtual MAC", what)
		}
	}
	h.wait(100 * second)
	h.must("carp0 down")
	h.want("carp0", Init)
	nothing("INIT", Duplicate{Carpdev: 2, Addr: shared, MAC: stranger})
}

// An announcement that is still due goes with the master.
func TestDefenceEnds(t *testing.T) {
	for _, words := range []string{"state backup", "down", "vhid 2", "destroy"} {
		h := newMaster(t, "")
		h.claimed4(stranger)
		h.claimed4(stranger)
		if words == "destroy" {
			if err := h.configure(config.Change{Kind: config.ForInterface, Name: "carp0", Clauses: []config.Clause{{Word: config.Destroy}}}); err != nil {
				t.Fatal(err)
			}
		} else {
			h.must("carp0 " + words)
		}
		if len(h.e.defending) != 0 {
			t.Errorf("%s: it is still defended", words)
		}
		fs := h.wait(2 * second)
		if strings.Contains(brief(fs), "announce") {
			t.Errorf("%s: %s", words, brief(fs))
		}
	}
}

// With the carpdev's own MAC a peer announces with his, and his advert comes before: that is settled by who is master then, and nobody is warned. Only
// when no advert has come for three intervals it is a stranger.
func TestNoDefenceAgainstPeers(t *testing.T) {
	theirs := config.MAC{2, 0, 0, 0, 0, 2}
	h := newHost(t, own0(1))
	h.must("carp0 create carpdev em0 vhid 1 lladdr 02:00:00:00:00:01 alias 192.168.1.10/24")
	h.wait(16 * second)
	h.want("carp0", Master)
	h.log = nil

	h.hear(peer{base: 2, sealed: true}) // a master that is about to yield to us
	fs := h.claimed4(theirs)
	if h.said() != 0 || brief(fs) != "" {
		t.Errorf("a rival announces: %s, %q", brief(fs), h.log)
	}
	h.want("carp0", Master)
	if got := brief(h.wait(second)); got != "advert 1/0/0, announce [192.168.1.10]" {
		t.Errorf("the next advert: %s", got)
	}
	h.claimed4(theirs) // he has not heard us yet
	if got := brief(h.wait(second)); h.said() != 0 || got != "advert 1/0/0, announce [192.168.1.10]" {
		t.Errorf("the one after that: %s, %q", got, h.log)
	}
	h.wait(second + 1)
	if h.claimed4(theirs); h.said() != 1 {
		t.Error("nothing said where no adverts come")
	}
	h.wait(10 * second)
	h.hear(peer{base: 1, pass: "another"})
	h.wait(100 * second)
	if h.claimed4(theirs); h.said() != 1 {
		t.Error("nothing said of one with another pass phrase")
	}
	h.wait(100 * second)

	h.hear(peer{base: 0, skew: 1, sealed: true}) // one that takes over
	h.want("carp0", Backup)
	if fs := h.claimed4(theirs); h.said() != 0 || brief(fs) != "" {
		t.Errorf("a backup: %s", brief(fs))
	}
	h.hear(peer{base: 255, skew: 255, sealed: true}) // and bows out; what he said before comes late
	h.want("carp0", Master)
	if h.claimed4(theirs); h.said() != 0 {
		t.Errorf("after a bow-out: %q", h.log)
	}
}

// The engine is asked again at the first of what it waits for: a probe, an announcement against a stranger, a timer.
func TestDeadline(t *testing.T) {
	for _, c := range []struct{ probe, defence, timer, want Instant }{
		{0, 0, 0, 0}, {5, 0, 0, 5}, {0, 5, 0, 5}, {0, 0, 5, 5},
		{5, 6, 7, 5}, {5, 7, 6, 5}, {6, 5, 7, 5}, {7, 5, 6, 5}, {6, 7, 5, 5}, {7, 6, 5, 5},
		{5, 6, 0, 5}, {6, 5, 0, 5}, {0, 5, 6, 5}, {0, 6, 5, 5}, {5, 0, 6, 5}, {6, 0, 5, 5},
	} {
		e := new(Engine)
		if c.probe != 0 {
			failing := &carp{nodes: []*node{{state: Backup}}}
			failing.out[0] = sending{failing: true, probeAt: c.probe}
			e.failing = append(e.failing, failing)
		}
		if c.defence != 0 {
			e.defending = append(e.defending, &carp{defence: defence{due: c.defence}})
		}
		if c.timer != 0 {
			e.timers.arm(&node{slot: -1}, c.timer)
		}
		if got := e.Deadline(); got != c.want {
			t.Errorf("probe %d, announcement %d, timer %d: %d", c.probe, c.defence, c.timer, got)
		}
	}
}
