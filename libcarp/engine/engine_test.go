package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// told writes the messages and publications among effects, which brief leaves out.
func told(fs []Effect) string {
	var out []string
	for _, f := range fs {
		switch f := f.(type) {
		case *Log:
			out = append(out, utoa(uint8(f.Level))+" "+f.Text)
		case *Publish:
			out = append(out, "publish "+f.Carp)
		case *PublishGroups:
			out = append(out, "publish groups")
		case *Transition:
			out = append(out, "told")
		}
	}
	return strings.Join(out, "; ")
}

func TestTransitionsAreTold(t *testing.T) {
	h := newHost(t, em0(1))
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	if got, want := told(h.last), "4 carp0: state transition: INIT -> BACKUP; told; publish carp0; publish carp0; publish carp0"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := told(h.wait(3*second)), "2 carp0: state transition: BACKUP -> MASTER; told; publish carp0"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	h.must("carp0 state backup")
	if got, want := told(h.last), "publish carp0; 2 carp0: state transition: MASTER -> BACKUP; told; publish carp0"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	h.must("carp0 down")
	if got, want := told(h.last), "4 carp0: state transition: BACKUP -> INIT; told; publish carp0; publish carp0"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if h.e.Stats()[config.Preempt] != 1 {
		t.Errorf("became master %d times", h.e.Stats()[config.Preempt])
	}
	if n := h.e.carps["carp0"].nodes[0]; n.deadline != 0 {
		t.Errorf("INIT waits for %d", n.deadline)
	}
	if got, want := told(h.step(&Shutdown{})), "publish carp0"; got != want {
		t.Errorf("shutdown: %s, want %s", got, want)
	}
}

// With several nodes messages name the vhid, and the leader alone announces.
func TestSeveralNodes(t *testing.T) {
	h := newBackup(t, "")
	c := h.e.carps["carp0"]
	second := &node{carp: c, vhid: 2, state: Backup, slot: -1, auth: c.nodes[0].auth, memory: new(Memory)}
	c.nodes = append(c.nodes, second)
	h.e.effects = nil
	h.e.feed(second, takeOver, h.now, "test")
	if got, want := brief(h.e.effects), "quiet, advert 1/0/0, BACKUP>MASTER"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := told(h.e.effects), "2 carp0: state transition (vhid 2): BACKUP -> MASTER; told; publish carp0"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for _, f := range h.e.effects {
		if s, ok := f.(*SendAdvert); ok && s.From != config.VirtualMAC(2) {
			t.Errorf("the second node's advert comes from %s", s.From)
		}
	}
}

// Who was late once, and then heard his master, is given time again.
func TestLateAgain(t *testing.T) {
	h := newBackup(t, "")
	for range 2 {
		h.now = h.e.carps["carp0"].nodes[0].deadline + second/2
		h.step(&Tick{})
		h.want("carp0", Backup)
		h.hear(peer{base: 1})
	}
	if tolerance != 20e6 {
		t.Errorf("tolerance of %d ns", tolerance)
	}
}

type strange struct{ Clock }

func TestStep(t *testing.T) {
	h := newBackup(t, "")
	h.step(&Tick{Clock{Wall: wire.SealEpoch + 5e9}})
	if got := h.e.clock.read(h.now); got != 5e9 {
		t.Errorf("the wall clock of a step was not looked at: %d", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown event passes")
		}
	}()
	h.step(&strange{})
}

// A link is asked for when there is something to make, and taken away when there is something to take.
func TestLinksThatAreNot(t *testing.T) {
	h := newHost(t, em0(1))
	for _, c := range []struct{ line, want string }{
		{"carp0 create", ""},
		{"carp0 carpdev em0", ""}, // no vhid: no MAC
		{"carp0 destroy", ""},
		{"carp1 create vhid 1", ""},
		{"carp1 alias 10.9.9.9/24", ""}, // no carpdev
		{"carp1 destroy", ""},
	} {
		if err := h.change(c.line); err != nil {
			t.Logf("%s: %v", c.line, err)
			continue
		}
		if got := brief(h.last); got != c.want {
			t.Errorf("%s: %s, want %q", c.line, got, c.want)
		}
	}
}

func TestRing(t *testing.T) {
	var m Memory
	for i := uint64(1); i <= sentMax+1; i++ {
		m.sent(i << 24)
	}
	if m.hasSent(1<<24) || !m.hasSent(2<<24) || !m.hasSent((sentMax+1)<<24) || m.hasSent(0) || m.Floor != 1 || m.Newest != sentMax+1 {
		t.Errorf("%+v", m)
	}
}

func TestSourceLog(t *testing.T) {
	var l sourceLog
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for i, c := range []struct {
		src  netip.Addr
		what string
		at   Instant
		want bool
	}{
		{a, "x", second, true}, // the machine has just booted
		{a, "x", second + 1, false},
		{a, "y", second + 1, true},
		{b, "x", 2 * second, true},
		{b, "x", 3 * second, false},
		{a, "x", 61*second - 1, false},
		{a, "x", 61 * second, true},
	} {
		if got := l.allow(c.src, c.what, c.at); got != c.want {
			t.Errorf("line %d: %t, want %t", i, got, c.want)
		}
	}
}

// An accepted advert counts at the carp; the time in a sealed one moves the clock, and what only looks like time does not.
func TestHeard(t *testing.T) {
	h := newBackup(t, "")
	c := h.e.carps["carp0"]
	h.hear(peer{base: 1})
	if c.stats[config.Ipackets] != 1 {
		t.Errorf("ipackets %d", c.stats[config.Ipackets])
	}
	h.e.clock.offset = 1e9 - millis(h.now) - 1000
	before := h.e.clock
	h.step(peer{base: 1, counter: 1e9<<24 | 0xffffff}.packet()) // a second ahead, if it were a time
	if h.e.clock != before {
		t.Error("an unsealed advert moves the clock")
	}
	pkt := peer{base: 1, sealed: true}.packet()
	ad, _ := wire.Parse(pkt.Payload)
	at, _ := ad.Sealed()
	h.step(pkt)
	if got := h.e.clock.read(h.now); got != at-lead {
		t.Errorf("a sealed advert of %d leaves the clock at %d", at, got)
	}
}

// The engine's own causes count in the groups of their carp alone.
func TestDemotionOfOtherGroups(t *testing.T) {
	em1 := em0(2)
	em1.Index, em1.Name, em1.Running = 3, "em1", false
	h := newHost(t, em0(1), em1)
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	h.wait(3 * second)
	h.must("carp1 create carpdev em1 vhid 2 alias 192.168.1.11/24")
	if got := brief(h.last); !strings.Contains(got, "advert 1/0/1") {
		t.Errorf("its own group is demoted, and carp0 says: %s", got)
	}
	em1.Running = true
	h.setLinks(em0(1), em1)
	if got := brief(h.last); strings.Contains(got, "advert") {
		t.Errorf("the demotion of its own group ends: %s", got)
	}
	em1.Running = false
	h.setLinks(em0(1), em1)
	h.must("carp1 group dmz -group carp")
	if d := h.e.carps["carp0"].demotion; h.e.Demotion("dmz") != 1 || h.e.Demotion("carp") != 0 || d != 0 {
		t.Errorf("dmz %d, carp %d, carp0 %d; want 1, 0, 0", h.e.Demotion("dmz"), h.e.Demotion("carp"), d)
	}
	// what demotes carp1 lets carp0 say nothing, and the end of it lets nobody say anything
	em1.Running = true
	h.setLinks(em0(1), em1)
	if got := brief(h.last); strings.Contains(got, "advert") {
		t.Errorf("the carpdev is back: %s", got)
	}
	em1.Running = false
	h.setLinks(em0(1), em1)
	if got := brief(h.last); strings.Contains(got, "advert") {
		t.Errorf("another group is demoted: %s", got)
	}
	if !slices.ContainsFunc(h.last, func(f Effect) bool { _, ok := f.(*PublishGroups); return ok }) {
		t.Error("the groups are not published")
	}
	if h.e.GroupDemotion("nosuch") != 0 {
		t.Error("an unknown group is demoted")
	}
	// a master that says at once that it is demoted goes on an interval later
	h.now += second / 2
	if err := h.demote(config.Demote, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := h.e.carps["carp0"].nodes[0].deadline, h.now+second; got != want {
		t.Errorf("next advert at %d, want %d", got, want)
	}
}

type fixed uint64

func (f fixed) Uint64() uint64 { return uint64(f) }

func TestIPIdentification(t *testing.T) {
	h := newBackup(t, "")
	h.e.random = fixed(0x1234_5678_9abc_def0)
	for _, f := range h.wait(3 * second) {
		if s, ok := f.(*SendAdvert); ok && (s.Packet[4] != 0x9a || s.Packet[5] != 0xbc) {
			t.Errorf("id %x", s.Packet[4:6])
		}
	}
}

// How many errors are borne, and how sure a backup has to be before it believes that it can send again.
func TestSendErrorLimits(t *testing.T) {
	h := newMaster(t, "")
	c := h.e.carps["carp0"]
	c.nodes = append(c.nodes, &node{carp: c, vhid: 2, slot: -1})
	for i := 1; i <= 6; i++ {
		if c.out[inet].failing {
			t.Fatalf("fails after %d errors of two nodes", i-1)
		}
		h.step(&Sent{Carp: "carp0", Errno: config.EINVAL})
	}
	if !c.out[inet].failing {
		t.Fatal("six errors of two nodes are borne")
	}
	h.e.recover(c, inet, h.now)
	if c.out[inet].failing || c.out[inet].errors != 0 {
		t.Errorf("recovered with %d errors", c.out[inet].errors)
	}
	for _, w := range []struct {
		recovered, now Instant
		probes         int
	}{
		{0, 10 * second, 0}, // never before, on a machine that has just booted
		{10 * second, 70*second - 1, 6},
		{10 * second, 70 * second, 0},
	} {
		c.out[inet].recovered, c.out[inet].probes = w.recovered, 0
		h.e.fail(c, inet, w.now)
		if c.out[inet].probes != w.probes {
			t.Errorf("recovered at %d, fails at %d: %d probes, want %d", w.recovered, w.now, c.out[inet].probes, w.probes)
		}
		h.e.recover(c, inet, w.now)
	}
}

func TestNextProbe(t *testing.T) {
	h := newBackup(t, "")
	h.must("carp1 create carpdev em0 vhid 2 alias 192.168.1.11/24")
	a, b := h.e.carps["carp0"], h.e.carps["carp1"]
	for _, at := range [][2]Instant{{5, 7}, {7, 5}} {
		a.out[inet] = sending{failing: true, probeAt: at[0]}
		b.out[inet6] = sending{failing: true, probeAt: at[1]}
		h.e.failing = []*carp{a, b}
		if got := h.e.nextProbe(); got != 5 {
			t.Errorf("%v: %d, want 5", at, got)
		}
	}
}

func TestConstants(t *testing.T) {
	for name, c := range map[string]struct{ got, want int64 }{
		"a day":              {dayMs, 24 * 60 * 60 * 1000},
		"2024 to 2050":       {wallMax, 851472000000},
		"and five years":     {heardMax, 851472000000 + 157680000000},
		"sourceLogEvery":     {int64(sourceLogEvery), 60e9},
		"probesReset":        {int64(probesReset), 60e9},
		"vrrpLogEvery":       {int64(vrrpLogEvery), 3600e9},
		"the longest packet": {packetMax, 76},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	var c hybridClock
	c.offset = -1 << 50
	c.observe(0, wire.SealEpoch+wallMax)
	if got := c.read(0); got != wallMax {
		t.Errorf("the last moment that is believed: %d", got)
	}
	c.offset = -1
	c.observe(0, wire.SealEpoch)
	if got := c.read(0); got != 0 {
		t.Errorf("the first moment that is believed: %d", got)
	}
}

// An address that is the carpdev's own, too, can be there after all: stored, or given to the carpdev afterwards. It is told once.
func TestOwnAddress(t *testing.T) {
	h := newHost(t, em0(1))
	h.must("carp0 create vhid 1 carpdev em0 alias 192.168.1.10/24")
	h.setLinks()
	warning := "carp0: 192.168.1.10 is an address of em0 itself, too: remove it from one of them"
	for n, c := range []struct {
		links []config.Link
		told  bool
	}{
		{[]config.Link{em0(10)}, true}, {[]config.Link{em0(10)}, false}, {[]config.Link{em0(1)}, false}, {[]config.Link{em0(10)}, true}, {nil, false},
	} {
		h.log = nil
		h.setLinks(c.links...)
		if slices.Contains(h.log, warning) != c.told {
			t.Errorf("%d: %q", n, h.log)
		}
	}
}
