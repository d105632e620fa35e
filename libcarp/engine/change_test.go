package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// stored returns a host that has its configuration, as lines of clauses by interface, before it has seen any interface.
func stored(t *testing.T, m *config.Machine, lines ...string) *host {
	t.Helper()
	for _, line := range lines {
		f := strings.Fields(line)
		var cs []config.Clause
		for f := f[1:]; len(f) > 0; {
			n := 1
			if _, hasArg, _ := config.Lookup(f[0]); hasArg {
				n = 2
			}
			c, err := config.ParseClause(f[0], f[1:n]...)
			if err != nil {
				t.Fatal(err)
			}
			cs, f = append(cs, c), f[n:]
		}
		if err := m.LoadInterface(f[0], cs); err != nil {
			t.Fatal(err)
		}
	}
	m.Sysctl.Log = 7
	return &host{t: t, e: New(m, zeros{}, nil), now: 1000 * second, wall: wire.SealEpoch + 1e9}
}

// published lists what the last step told to publish, "groups" for those.
func (h *host) published() (names []string) {
	for _, f := range h.last {
		switch f := f.(type) {
		case *Publish:
			names = append(names, f.Carp)
		case *PublishGroups:
			names = append(names, "groups")
		}
	}
	return names
}

// remarks returns what was logged besides transitions.
func (h *host) remarks() (lines []string) {
	for _, line := range h.log {
		if !strings.Contains(line, "state transition") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (h *host) carpdev(name string) string {
	h.t.Helper()
	v, ok := h.e.View(name)
	if !ok {
		h.t.Fatalf("no %s", name)
	}
	return v.Interface.Carpdev
}

// What displays show is published when it changes, and only then.
func TestPublished(t *testing.T) {
	down := em0(1)
	down.Up = false
	gone := func(h *host) { h.setLinks() }
	must := func(line string) func(*host) { return func(h *host) { h.must(line) } }
	for _, c := range []struct {
		name string
		do   func(*host)
		want []string // each at least once, and no other
	}{
		{"another carp", must("carp2 create"), []string{"carp2"}},
		{"another carp in another group", must("carp2 create group web"), []string{"carp2", "groups"}},
		{"a group that there is", must("carp0 group lan"), []string{"carp0", "groups"}},
		{"a new group", must("carp0 group web"), []string{"carp0", "groups"}},
		{"the last of a group goes", must("carp1 destroy"), []string{"carp1", "groups"}},
		{"one of many goes", must("carp0 destroy"), []string{"carp0"}},
		{"a group's demotion", func(h *host) { h.demote(config.Demote, 1) }, []string{"groups"}},
		{"one that is down goes", func(h *host) { h.must("carp0 down"); h.must("carp0 destroy") }, []string{"carp0"}},
		{"the same links", func(h *host) { h.setLinks(em0(1)) }, nil},
		{"the carpdev has gone", gone, []string{"carp0", "carp1"}},
		{"the carpdev of some that are down", func(h *host) { h.must("carp0 down"); h.must("carp1 down"); gone(h) }, []string{"carp0", "carp1"}},
		{"the carpdev has lost its link", func(h *host) { h.setLinks(down) }, []string{"carp0", "carp1", "groups"}},
		{"the link cannot be made", func(h *host) { h.step(&LinkMade{Carp: "carp0", Failed: true}) }, []string{"carp0"}},
		{"the link of a carp that is down cannot be made", func(h *host) { h.must("carp0 down"); h.step(&LinkMade{Carp: "carp0", Failed: true}) }, []string{"carp0"}},
		{"a sysctl", func(h *host) { h.sysctl("preempt", 1) }, nil},
	} {
		h := newHost(t, em0(1))
		h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		h.must("carp1 create carpdev em0 vhid 2 alias 192.168.1.11/24 group lan")
		c.do(h)
		got := h.published()
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A request that comes twice, since its reply was lost, does nothing the second time.
func TestSameRequestTwice(t *testing.T) {
	for _, ch := range []config.Change{
		{Kind: config.ForInterface, Name: "carp0", ID: "a", Clauses: []config.Clause{{Word: config.Advskew, N: 10}}},
		{Kind: config.ForGroup, Name: "carp", ID: "a", Clauses: []config.Clause{{Word: config.Demote, N: 10}}},
		{Kind: config.ForSysctl, ID: "a", Clauses: []config.Clause{{Word: config.SetSysctl, Text: "demoteskew", N: 1}}},
	} {
		h := newBackup(t, "")
		for n := range 2 {
			if err := h.configure(ch); err != nil {
				t.Fatal(err)
			}
			if n == 1 && len(h.last) != 0 {
				t.Errorf("%+v: %d effects", ch, len(h.last))
			}
		}
	}
}

// Carps stand in the order of their creation, also one that is put back where the host could not let it go.
func TestOrder(t *testing.T) {
	h := newHost(t, em0(1))
	h.must("carp1 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	h.must("carp0 create carpdev em0 vhid 2 alias 192.168.1.11/24")
	want := []string{"carp1", "carp0"}
	p, err := h.e.Plan(config.Change{Kind: config.ForInterface, Name: "carp1", Clauses: []config.Clause{{Word: config.Destroy}}})
	if err != nil {
		t.Fatal(err)
	}
	h.step(&Configure{Plan: p})
	h.step(&Configure{Plan: p.Undo()})
	if got := h.e.Names(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}

	// Whose timers end at the same time act in that order.
	h = newHost(t, em0(1))
	h.must("carp1 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	h.must("carp0 create carpdev em0 vhid 2 alias 192.168.1.11/24")
	var became []string
	for _, f := range h.wait(3 * second) {
		if f, ok := f.(*Transition); ok && f.To == Master {
			became = append(became, f.Carp)
		}
	}
	if !slices.Equal(became, want) {
		t.Errorf("masters in the order %q, want %q", became, want)
	}
}

// What was stored demotes from the first advert on.
func TestStoredDemotion(t *testing.T) {
	m := config.NewMachine()
	m.Groups["carp"].Holders["boot"] = 5
	h := stored(t, m, "carp0 create vhid 1 carpdev em0 alias 192.168.1.10/24")
	h.setLinks(em0(1))
	if got, want := brief(h.wait(3*second)), "answer, advert 1/0/5, announce [192.168.1.10], BACKUP>MASTER"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Who could be a carpdev for an address that names none, and who is told of it.
func TestWhoIsChosen(t *testing.T) {
	flawed := func(index int, name string, spoil func(*config.Link)) config.Link {
		l := em6(9)
		l.Index, l.Name = index, name
		spoil(&l)
		return l
	}
	good := em6(1)
	good.Index = 9
	links := []config.Link{
		flawed(3, "mute0", func(l *config.Link) { l.Multicast = false }),
		flawed(4, "tun0", func(l *config.Link) { l.Ethernet = false }),
		flawed(5, "lo0", func(l *config.Link) { l.Loopback = true }),
		flawed(6, "far0", func(l *config.Link) { l.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} }),
		good,
	}
	second := em6(2)
	second.Index, second.Name = 10, "em1"
	for _, c := range []struct {
		links []config.Link
		lines []string // of words to carp0, one after the other
		want  string
		log   []string
	}{
		{links, []string{"create vhid 1 alias 192.168.1.10/24"}, "em0", nil},
		{links, []string{"create vhid 1 alias 2001:db8::10/64"}, "em0", nil},
		{append(links, second), []string{"create vhid 1 alias 192.168.1.10/24"}, "em0", []string{"carp0: carpdev em0 chosen for 192.168.1.10, not em1"}},
		{append(links, second), []string{"create vhid 1", "alias 192.168.1.10/24"}, "em0", []string{"carp0: carpdev em0 chosen for 192.168.1.10, not em1"}},
		{append(links, second), []string{"create vhid 1 carpdev em0 alias 192.168.1.10/24", "alias 192.168.1.11/24"}, "em0", nil},
		{append(links, second), []string{"create vhid 1 alias 192.168.1.10/24 -alias 192.168.1.10/24"}, "em0", nil},
		{append(links, second), []string{"create vhid 1 carpdev em1 alias 192.168.1.10/24"}, "em1", nil},
	} {
		h := newHost(t, c.links...)
		for _, words := range c.lines {
			h.must("carp0 " + words)
		}
		if got := h.carpdev("carp0"); got != c.want || !slices.Equal(h.remarks(), c.log) {
			t.Errorf("%q: carpdev %s, log %q", c.lines, got, h.log)
		}
	}
}

// The same for those that were stored before their network was there. They choose when it comes.
func TestWhoIsChosenLater(t *testing.T) {
	em1 := em6(2)
	em1.Index, em1.Name = 3, "em1"
	for _, c := range []struct {
		links []config.Link
		lines []string
		want  []string // of carp0, carp1
		log   []string
	}{
		{[]config.Link{em6(1)}, []string{"carp0 create vhid 1 alias fe80::10/64"}, []string{""},
			[]string{"carp0: waiting for an interface with the subnet of fe80::10"}},
		{[]config.Link{em6(1)}, []string{"carp0 create vhid 1 alias 10.0.0.1/8 alias 192.168.1.10/24"}, []string{"em0"},
			[]string{"carp0: carpdev em0 chosen for 192.168.1.10"}},
		{[]config.Link{em6(1), em1}, []string{"carp0 create vhid 1 alias 192.168.1.10/24"}, []string{"em0"},
			[]string{"carp0: carpdev em0 chosen for 192.168.1.10, not em1"}},
		{[]config.Link{em6(1)}, []string{"carp0 create vhid 1 alias 192.168.1.10/24", "carp1 create vhid 2 alias 192.168.1.11/24"}, []string{"em0", "em0"},
			[]string{"carp0: carpdev em0 chosen for 192.168.1.10", "carp1: carpdev em0 chosen for 192.168.1.11"}},
		{[]config.Link{em6(1)}, []string{"carp0 create vhid 1 alias 192.168.1.10/24", "carp1 create vhid 1 alias 192.168.1.11/24"}, []string{"em0", ""},
			[]string{"carp0: carpdev em0 chosen for 192.168.1.10", "carp1: waiting for an interface with the subnet of 192.168.1.11"}},
	} {
		h := stored(t, config.NewMachine(), c.lines...)
		h.setLinks(c.links...)
		for n, want := range c.want {
			if got := h.carpdev(fmt.Sprint("carp", n)); got != want {
				t.Errorf("%q: carp%d is on %q, want %q", c.lines, n, got, want)
			}
		}
		if !slices.Equal(h.remarks(), c.log) {
			t.Errorf("%q: log %q", c.lines, h.log)
		}
		if len(c.want) == 2 && c.want[1] == "" { // the vhid becomes free
			h.must("carp0 destroy")
			h.must("carp1 up")
			if got := h.carpdev("carp1"); got != "em0" {
				t.Errorf("%q: carp1 is on %q when carp0 has gone", c.lines, got)
			}
		}
	}

	// Who has chosen is known to a successor, which goes on.
	h := stored(t, config.NewMachine(), "carp0 create vhid 1 alias 192.168.1.10/24")
	h.setLinks(em0(1))
	h.wait(4 * second)
	h.want("carp0", Master)
	next, _ := h.successor(second/10, h.links)
	next.want("carp0", Master)
}

// Two that were stored with the same vhid, on a carpdev of two names: the one that goes does not take the other's adverts with it.
func TestSameVHIDOnOneCarpdev(t *testing.T) {
	both := em0(1)
	both.AltNames = []string{"lan0"}
	h := stored(t, config.NewMachine(), "carp0 create vhid 1 carpdev em0 alias 192.168.1.10/24", "carp1 create vhid 1 carpdev lan0 alias 192.168.1.10/24")
	h.setLinks(both)
	h.must("carp0 destroy")
	h.hear(peer{base: 1})
	if st := h.e.Stats(); st[config.Badvhid] != 0 || st[config.Ipackets] != 1 {
		t.Errorf("%v", st)
	}
}

// A carpdev that was made anew between two looks is another one.
func TestCarpdevReplaced(t *testing.T) {
	h := newMaster(t, "")
	again := em0(1)
	again.Index = 17
	h.setLinks(again)
	if got, want := brief(h.last), "quiet, MASTER>INIT, remove, quiet, INIT>BACKUP"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The link-local address is that of the MAC in use, unless that is the carpdev's.
func TestLinkLocal(t *testing.T) {
	for mac, want := range map[string]string{
		"00:00:00:00:00:00": "fe80::200:5eff:fe00:101",
		"02:00:00:00:00:01": "fe80::200:5eff:fe00:101",
		"02:00:00:00:00:77": "fe80::ff:fe00:77",
	} {
		h := newHost(t, own0(1))
		h.must("carp0 create carpdev em0 vhid 1 alias 2001:db8::10/64 lladdr " + mac)
		if v, _ := h.e.View("carp0"); v.LinkLocal.String() != want {
			t.Errorf("%s: %s, want %s", mac, v.LinkLocal, want)
		}
	}
}

// What an advert may cover besides key, vhid and addresses: the link-local address that the BSDs make of a virtual MAC where there is IPv6, and
// a MAC of the carp's own (ip_carp.c: carp_hmac_prepare_ctx).
func TestWhatTheHMACCovers(t *testing.T) {
	const v4, v6, made, mac = "192.168.1.10", "2001:db8::10", "fe80::200:5eff:fe00:101", "fe80::ff:fe00:77"
	own := config.MAC{2, 0, 0, 0, 0, 0x77}
	for _, c := range []struct {
		lines    []string
		addrs    []string
		lladdr   config.MAC
		accepted bool
	}{
		{[]string{"alias 192.168.1.10/24"}, []string{v4}, config.MAC{}, true},
		{[]string{"alias 192.168.1.10/24"}, []string{v4, made}, config.MAC{}, false},
		{[]string{"alias 2001:db8::10/64"}, []string{v6}, config.MAC{}, true},
		{[]string{"alias 2001:db8::10/64"}, []string{v6, made}, config.MAC{}, true},
		{[]string{"alias 2001:db8::10/64"}, []string{v6, mac}, config.MAC{}, false},
		{[]string{"alias 192.168.1.10/24 alias 2001:db8::10/64"}, []string{v4, v6, made}, config.MAC{}, true},
		{[]string{"alias 192.168.1.10/24 lladdr 02:00:00:00:00:77"}, []string{v4}, config.MAC{}, false},
		{[]string{"alias 192.168.1.10/24 lladdr 02:00:00:00:00:77"}, []string{v4}, own, true},
		{[]string{"alias 192.168.1.10/24", "lladdr 02:00:00:00:00:77"}, []string{v4}, own, true},
		{[]string{"alias 2001:db8::10/64", "lladdr 02:00:00:00:00:77"}, []string{v6, mac}, own, true},
	} {
		h := newHost(t, own0(1))
		for n, words := range c.lines {
			h.must("carp0 " + []string{"create carpdev em0 vhid 1 advskew 100 ", ""}[n] + words)
		}
		p := peer{base: 1}.packet()
		ad, err := wire.Parse(p.Payload)
		if err != nil {
			t.Fatal(err)
		}
		id := wire.Identity{VHID: 1, LinkLocal: true, Lladdr: c.lladdr}
		for _, a := range c.addrs {
			id.Addrs = append(id.Addrs, netip.MustParseAddr(a))
		}
		ad.HMAC = wire.NewAuth(id).Sum(ad.Counter)
		ad.Marshal(p.Payload)
		h.step(p)
		if got := h.e.Stats()[config.Badauth] == 0; got != c.accepted {
			t.Errorf("%q: adverts over %q, %s: accepted %t", c.lines, c.addrs, c.lladdr, got)
		}
	}
}

// The link is asked for again when its peers change.
func TestOtherPeers(t *testing.T) {
	for _, words := range []string{"carppeer 192.168.1.99", "carppeer6 2001:db8::99"} {
		h := newMaster(t, "")
		for _, words := range []string{words, "-" + strings.Fields(words)[0]} {
			h.must("carp0 " + words)
			if got := brief(h.last); got != "answer" {
				t.Errorf("%s: %s", words, got)
			}
		}
	}
}

// Who is demoted says so at once, and only then.
func TestAdvertsAtOnce(t *testing.T) {
	sysctl := func(name string, value int) func(*host) { return func(h *host) { h.sysctl(name, value) } }
	must := func(line string) func(*host) { return func(h *host) { h.must(line) } }
	for _, c := range []struct {
		name    string
		demoted int
		do      func(*host)
		want    string
	}{
		{"demoteskew", 1, sysctl("demoteskew", 1), "advert 1/240/1"},
		{"demoteskew of a host that is not demoted", 0, sysctl("demoteskew", 1), ""},
		{"another sysctl", 1, sysctl("log", 3), ""},
		{"another group", 0, must("carp0 group web"), ""},
		{"another group, demoted", 1, must("carp0 group web"), ""},
		{"a group that is demoted", 0, must("carp0 group lan"), "advert 1/0/7"},
		{"state by hand of a carp that does not exist", 0, must("carp2 create carpdev em0 vhid 9 alias 192.168.1.19/24 state master"), "quiet, INIT>BACKUP"},
	} {
		h := newMaster(t, "")
		h.must("carp1 create group lan")
		lan := config.Change{Kind: config.ForGroup, Name: "lan", Clauses: []config.Clause{{Word: config.Demote, N: 7}}}
		if err := h.configure(lan); err != nil {
			t.Fatal(err)
		}
		if c.demoted > 0 {
			if err := h.demote(config.Demote, c.demoted); err != nil {
				t.Fatal(err)
			}
		}
		h.wait(second / 2)
		c.do(h)
		if got := brief(h.last); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// `up state master` in one line is what it is on OpenBSD, where ifconfig(8) asks for one after the other: a state counts once it is INIT no more.
func TestUpAndState(t *testing.T) {
	for _, c := range []struct {
		first, line string
		want        State
	}{
		{"down", "up state master", Master},
		{"down", "state master up", Backup},
		{"down", "state master", Init},
		{"down", "up state backup", Backup},
		{"description x", "up state master", Master},
		{"description x", "down state master", Init},
		{"-alias 192.168.1.10/24", "up state master", Init},
	} {
		h := newBackup(t, "")
		h.must("carp0 " + c.first)
		h.must("carp0 " + c.line)
		if got := h.state("carp0"); got != c.want {
			t.Errorf("%s, then %s: %v, want %v", c.first, c.line, got, c.want)
		}
	}
}

// A demoted backup waits longer with net.inet.carp.demoteskew, and its successor knows.
func TestDemoteSkewIsKept(t *testing.T) {
	h := newBackup(t, "")
	if err := h.demote(config.Demote, 1); err != nil {
		t.Fatal(err)
	}
	due := h.now + 3*second
	h.wait(second)
	h.sysctl("demoteskew", 1)
	if got, want := h.kept[vhidOf{"carp0", 1}].Deadline, h.now+3*(256+240)*second/256; got != want || got <= due {
		t.Errorf("waits until %d, want %d", got, want)
	}
}

// The one message about another advbase comes once for each configuration.
func TestOtherAdvbaseIsToldAgain(t *testing.T) {
	h := newBackup(t, "advskew 100")
	for round := range 2 {
		h.log = nil
		for range 2 {
			h.hear(peer{base: 2})
		}
		if n := len(h.log); n != 1 || !strings.Contains(h.log[0], "advbase") {
			t.Errorf("round %d: %q", round, h.log)
		}
		h.must("carp0 description " + fmt.Sprint("x", round))
	}
}
