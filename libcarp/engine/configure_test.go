package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

func TestBecomingRunning(t *testing.T) {
	h := newHost(t, em0(1))
	for _, c := range []struct {
		line string
		want State
	}{
		{"carp0 create", Init},
		{"carp0 up", Init},
		{"carp0 vhid 1", Init},
		{"carp0 carpdev em0", Init},
		{"carp0 alias 192.168.1.10/24", Backup},
		{"carp0 down", Init},
		{"carp0 up", Backup},
		{"carp0 -alias 192.168.1.10/24", Init},
	} {
		h.must(c.line)
		if got := h.state("carp0"); got != c.want {
			t.Fatalf("after %s: %s, want %s", c.line, got, c.want)
		}
	}
}

// A master that gives up its address by command says so, after it has stopped answering; a backup says nothing.
func TestBowOutByCommand(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"carp0 down", "quiet, MASTER>INIT, advert 255/255/0 last"},
		{"carp0 destroy", "quiet, MASTER>INIT, advert 255/255/0 last, remove"},
		{"carp0 -alias 192.168.1.10/24", "quiet, MASTER>INIT, advert 255/255/0 last, quiet"},
		{"carp0 vhid 2", "quiet, MASTER>INIT, advert 255/255/0 last, quiet, INIT>BACKUP"},
		{"carp0 carpdev em1", "quiet, MASTER>INIT, advert 255/255/0 last, remove, quiet, INIT>BACKUP"},
	} {
		em1 := em0(2)
		em1.Index, em1.Name = 3, "em1"
		h := newHost(t, em0(1), em1)
		h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		h.wait(3 * second)
		h.must(c.line)
		if got := brief(h.last); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.line, got, c.want)
		}
		if got := brief(h.until(h.now + second)); got != "" {
			t.Errorf("%s: and then %s", c.line, got)
		}
		b := newHost(t, em0(1), em1)
		b.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		b.must(c.line)
		if slices.ContainsFunc(b.last, func(f Effect) bool { _, ok := f.(*SendAdvert); return ok }) {
			t.Errorf("%s: a backup sends an advert", c.line)
		}
	}
	h := newMaster(t, "")
	h.must("carp0 down")
	h.must("carp0 down")
	if got := brief(h.last); got != "" {
		t.Errorf("down again: %s", got)
	}
}

func TestShutdown(t *testing.T) {
	h := newMaster(t, "")
	h.must("carp1 create carpdev em0 vhid 2 alias 192.168.1.11/24")
	got := brief(h.step(&Shutdown{}))
	if want := "quiet, MASTER>INIT, advert 255/255/0 last, BACKUP>INIT, remove, remove"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if h.e.timers.Len() != 0 {
		h.wait(100 * second)
	}
	h.want("carp0", Init)
	h.want("carp1", Init)
}

// Addresses come and go without a change of state; only the new one is announced.
func TestAddressesWhileMaster(t *testing.T) {
	h := newMaster(t, "")
	h.wait(10 * second)
	h.must("carp0 alias 192.168.1.11/24")
	if got, want := brief(h.last), "answer, announce [192.168.1.11]"; got != want {
		t.Errorf("added: %s, want %s", got, want)
	}
	h.must("carp0 drop-first inet alias 192.168.1.11/32")
	if got, want := brief(h.last), "answer"; got != want {
		t.Errorf("first removed, mask of the other changed: %s, want %s", got, want)
	}
	h.must("carp0 description text")
	if got := brief(h.last); got != "" {
		t.Errorf("description: %s", got)
	}
	h.want("carp0", Master)
}

// Adverts over the previous addresses count until the peer uses the new ones, at most 300 s; with another key, never.
func TestPreviousAddresses(t *testing.T) {
	old, both := peer{base: 1}, peer{base: 1, addrs: []string{"192.168.1.10", "192.168.1.11"}}
	start := func() *host {
		h := newBackup(t, "advbase 254 advskew 254")
		h.must("carp0 alias 192.168.1.11/24")
		return h
	}
	h := start()
	for n, p := range []peer{old, old, both} {
		if !h.accepts(p) {
			t.Errorf("old, old, new: number %d is not accepted", n+1)
		}
	}
	if h.accepts(old) {
		t.Error("the old list is accepted after the new one was heard")
	}
	h = start()
	h.now += 300*second - 1
	if !h.accepts(old) {
		t.Error("not accepted just before 300 s")
	}
	h.now++
	if h.accepts(old) {
		t.Error("accepted after 300 s")
	}
	// One address after the other, and the list that was replaced last is not the one that the master still has.
	h = start()
	h.must("carp0 alias 192.168.1.12/24")
	h.now += second
	if !h.accepts(old) || !h.accepts(both) {
		t.Error("two changes: a list of before is not accepted")
	}
	if !h.accepts(peer{base: 1, addrs: []string{"192.168.1.10", "192.168.1.11", "192.168.1.12"}}) || h.accepts(old) || h.accepts(both) {
		t.Error("two changes: the end of the old lists")
	}
	// More of them than are remembered, which are eight: the master has not changed at all yet, or is about to have the last.
	h = start()
	lists := []peer{old, both}
	for i := range 8 {
		h.must("carp0 alias 192.168.1." + strconv.Itoa(30+i) + "/24")
		lists = append(lists, peer{base: 1, addrs: append(slices.Clone(lists[i+1].addrs), "192.168.1."+strconv.Itoa(30+i))})
	}
	for n, p := range lists[:len(lists)-1] {
		if got, want := h.accepts(p), n == 0 || n >= 2; got != want {
			t.Errorf("9 changes: list %d is accepted: %t", n, got)
		}
	}
	// What is no change of addresses takes no room.
	h = start()
	h.must("carp0 alias 192.168.1.12/24")
	for i := range 20 {
		h.must("carp0 advskew " + strconv.Itoa(i))
	}
	if !h.accepts(both) {
		t.Error("20 changes of advskew: a list of before is not accepted")
	}
	// Lists whose time is over make room.
	h = start()
	for i := range previousMax - 1 {
		h.must("carp0 alias 192.168.1." + strconv.Itoa(30+i) + "/24")
	}
	h.now += 300 * second
	h.must("carp0 alias 192.168.1.50/24")
	if n := len(h.e.ordered[0].nodes[0].previous); n != 1 {
		t.Errorf("%d lists are remembered, of which one counts", n)
	}
	for _, changes := range [][]string{
		{"alias 192.168.1.11/24 pass new"},
		{"alias 192.168.1.11/24", "pass new"}, // nor with a list of before
		{"pass new"},
	} {
		h = newBackup(t, "")
		for _, words := range changes {
			h.must("carp0 " + words)
		}
		if h.accepts(old) {
			t.Errorf("%q: the old key is accepted", changes)
		}
	}
	if !h.accepts(peer{base: 1, pass: "new"}) {
		t.Error("the new key is not accepted")
	}
}

// What restarts timers, as every word that ifconfig(8) sets with SIOCSVH does, and what does not.
func TestTimersRestart(t *testing.T) {
	for _, c := range []struct {
		words     string
		restarts  bool
		masterDue Instant // of the next advert, from now on, half a second after the last
	}{
		{"advskew 128", true, second / 2},
		{"advbase 0 advskew 26", true, 26 * second / 256},
		{"advbase 5", true, second / 2},
		{"pass x", true, second / 2},
		{"state nonsense", true, second / 2},
		{"description x", false, second / 2},
		{"up", false, second / 2},
		{"alias 192.168.1.12/24", false, second / 2},
	} {
		b := newBackup(t, "")
		b.wait(second)
		b.must("carp0 " + c.words)
		n := b.e.carps["carp0"].nodes[0]
		want := b.now + 2*second
		if c.restarts {
			want = b.now + 3*b.e.interval(n)
		}
		if n.deadline != want {
			t.Errorf("BACKUP, %s: waits %d, want %d", c.words, n.deadline-b.now, want-b.now)
		}
		m := newHost(t, em0(1))
		m.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		m.wait(3*second + second/2)
		m.must("carp0 " + c.words)
		if got := m.e.Deadline() - m.now; got != c.masterDue {
			t.Errorf("MASTER, %s: next advert in %d, want %d", c.words, got, c.masterDue)
		}
	}
}

func TestStateByHand(t *testing.T) {
	for _, c := range []struct {
		from State
		word string
		want State
	}{
		{Backup, "master", Master}, {Backup, "MASTER", Master}, {Backup, "backup", Backup}, {Backup, "init", Backup}, {Backup, "bogus", Backup},
		{Backup, "mast", Backup}, {Backup, "masterful", Backup}, {Backup, "MASTEZ", Backup},
		{Master, "master", Master}, {Master, "Backup", Backup}, {Master, "init", Master},
		{Init, "master", Init}, {Init, "backup", Init},
	} {
		h := newBackup(t, "")
		switch c.from {
		case Master:
			h.wait(3 * second)
		case Init:
			h.must("carp0 down")
		}
		h.must("carp0 state " + c.word)
		if got := h.state("carp0"); got != c.want {
			t.Errorf("%s, state %s: %s, want %s", c.from, c.word, got, c.want)
		}
	}
	h := newMaster(t, "") // nothing pins it
	h.must("carp0 state backup")
	h.wait(3 * second)
	h.want("carp0", Master)
}

func TestCarpdevLosesLink(t *testing.T) {
	for _, how := range []func(*config.Link){func(l *config.Link) { l.Up = false }, func(l *config.Link) { l.Running = false }} {
		em1 := em0(7)
		em1.Index, em1.Name = 3, "em1"
		h := newHost(t, em0(1), em1)
		h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		h.must("carp1 create carpdev em1 vhid 2 alias 192.168.1.11/24")
		h.wait(3*second + 1)
		h.log = nil
		down := em0(1)
		how(&down)
		h.setLinks(down, em1)
		h.want("carp0", Init)
		h.want("carp1", Master)
		// The other carp says at once that this host is demoted.
		if got, want := brief(h.last), "quiet, MASTER>INIT, advert 1/0/1"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		// It has stopped before it says why.
		if want := []string{"carp0: state transition: MASTER -> INIT", "carp: carp0 demoted group carp by 1 to 1 (carpdev)"}; !slices.Equal(h.log, want) {
			t.Errorf("log %q", h.log)
		}
		h.setLinks(down, em1)
		if n := h.e.GroupDemotion("carp"); n != 1 {
			t.Errorf("demotion %d, want 1", n)
		}
		h.setLinks(em0(1), em1)
		h.want("carp0", Backup)
		if n := h.e.GroupDemotion("carp"); n != 0 || !slices.Contains(h.log, "carp: carp0 demoted group carp by -1 to 0 (carpdev)") {
			t.Errorf("demotion %d, log %q", n, h.log)
		}
	}
}

// A carpdev may be called by an alternative name, and is the same interface by each.
func TestCarpdevAltName(t *testing.T) {
	named := func(names ...string) config.Link {
		l := em0(1)
		l.Name, l.AltNames = "eth0", names
		return l
	}
	h := newHost(t, named("em0"))
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	h.want("carp0", Backup)
	if v, _ := h.e.View("carp0"); v.Interface.Carpdev != "em0" {
		t.Errorf("carpdev %s", v.Interface.Carpdev)
	}
	if err := h.change("carp1 create carpdev eth0 vhid 1"); !errors.Is(err, config.EINVAL) {
		t.Errorf("the same vhid by another name: %v", err)
	}
	h.must("carp1 create carpdev eth0 vhid 2")
	if err := h.change("carp1 vhid 1"); !errors.Is(err, config.EINVAL) {
		t.Errorf("the same vhid later: %v", err)
	}
	h.wait(3*second + 1)
	h.want("carp0", Master)
	h.setLinks(named()) // the name goes, and its interface is somebody else's
	h.want("carp0", Init)
	h.setLinks(named("em1", "em0"))
	h.want("carp0", Backup)
}

func TestCarpdevGone(t *testing.T) {
	h := newMaster(t, "")
	h.setLinks()
	if got, want := brief(h.last), "quiet, MASTER>INIT, remove"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if v, _ := h.e.View("carp0"); v.Attached || v.Running {
		t.Errorf("%+v", v)
	}
	back := em0(1)
	back.Index = 17 // made anew
	h.setLinks(back)
	if got, want := brief(h.last), "quiet, INIT>BACKUP"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	before := h.e.Stats()
	h.hear(peer{base: 1, carpdev: 17})
	h.hear(peer{base: 1, carpdev: 2})
	before[config.Ipackets] += 2
	before[config.Badif]++
	if h.e.Stats() != before {
		t.Errorf("adverts of the new carpdev: %v, want %v", h.e.Stats(), before)
	}
	if slices.ContainsFunc(h.log, func(line string) bool { return strings.Contains(line, "demoted") }) {
		t.Errorf("its carpdev was usable, and yet %q", h.log)
	}
	// gone while down: the demotion goes with it
	down := back
	down.Up = false
	h.setLinks(down)
	h.log = nil
	h.setLinks()
	if n := h.e.GroupDemotion("carp"); n != 0 || !slices.Contains(h.log, "carp: carp0 demoted group carp by -1 to 0 (detach)") {
		t.Errorf("demotion %d, log %q", n, h.log)
	}
}

func TestDestroyReturnsDemotion(t *testing.T) {
	down := em0(1)
	down.Up = false
	h := newHost(t, down)
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	if n := h.e.GroupDemotion("carp"); n != 1 {
		t.Fatalf("demotion %d", n)
	}
	h.log = nil
	h.must("carp0 destroy")
	if n := h.e.GroupDemotion("carp"); n != 0 || !slices.Equal(h.log, []string{"carp: carp0 demoted group carp by -1 to 0 (detach)"}) {
		t.Errorf("demotion %d after destroy, log %q", n, h.log)
	}
	if len(h.e.Names()) != 0 {
		t.Errorf("names %v", h.e.Names())
	}
	h.wait(100 * second)
}

func TestChosenCarpdev(t *testing.T) {
	lo := config.Link{Index: 1, Name: "lo", Up: true, Running: true, Loopback: true, Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.1.10/8")}}
	em1 := em0(5)
	em1.Index, em1.Name = 3, "em1"
	h := newHost(t, em1, em0(1), lo)
	h.must("carp0 create vhid 1 alias 192.168.1.10/24")
	if got := h.e.carps["carp0"].cfg.Carpdev; got != "em0" {
		t.Errorf("carpdev %q, want the first by index whose subnet holds the address", got)
	}
	if want := []string{"carp0: carpdev em0 chosen for 192.168.1.10, not em1"}; !slices.Equal(h.remarks(), want) {
		t.Errorf("log %q, want %q", h.log, want)
	}
	err := h.change("carp1 create vhid 1 alias 192.168.1.11/24")
	if want := (&config.Error{Errno: config.EINVAL, Clause: 2}); !errors.Is(err, want.Errno) || err.(*config.Error).Clause != want.Clause {
		t.Errorf("the same vhid on em0: %v", err)
	}
	err = h.change("carp1 create vhid 1 alias 172.16.0.1/24")
	if !errors.Is(err, config.EADDRNOTAVAIL) {
		t.Errorf("no interface in the subnet: %v", err)
	}
	h.setLinks(em6(1))
	err = h.change("carp1 create vhid 1 alias fe80::10/64")
	if !errors.Is(err, config.EADDRNOTAVAIL) {
		t.Errorf("a link-local address, which any interface could hold: %v", err)
	}

	// Configured before its network is there.
	m := config.NewMachine()
	cs := []config.Clause{{Word: config.Create}, {Word: config.VHID, N: 1}, {Word: config.AddAddr, Addr: netip.MustParsePrefix("192.168.1.10/24")}}
	if err := m.LoadInterface("carp0", cs); err != nil {
		t.Fatal(err)
	}
	m.Sysctl.Log = 7
	h = &host{t: t, e: New(m, zeros{}, nil), now: second}
	h.setLinks(lo)
	h.want("carp0", Init)
	h.setLinks(lo, em0(1))
	if got, want := brief(h.last), "persist, quiet, INIT>BACKUP"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !slices.Contains(h.log, "carp0: carpdev em0 chosen for 192.168.1.10") {
		t.Errorf("log %q", h.log)
	}
}

// Whoever starts the network does not wait for an interface that is late: kernelsim does, and says so once.
func TestAwait(t *testing.T) {
	h := newHost(t)
	count := func(text string, want int) {
		t.Helper()
		n := 0
		for _, line := range h.log {
			if line == text {
				n++
			}
		}
		if n != want {
			t.Errorf("%q is logged %d times, want %d: %q", text, n, want, h.log)
		}
	}
	for _, words := range []string{"create vhid 1 carpdev late0 alias 192.168.1.10/24 await", "alias 192.168.1.11/32 await"} {
		if err := h.change("carp0 " + words); err != nil {
			t.Fatal(err)
		}
	}
	count("carp0: waiting for carpdev late0", 1)
	h.want("carp0", Init)
	if err := h.change("carp0 carpdev later0"); !errors.Is(err, config.EINVAL) {
		t.Errorf("without the word: %v", err)
	}
	late := em0(7)
	late.Name = "late0"
	h.setLinks(late)
	h.want("carp0", Backup)
	h.setLinks()
	count("carp0: waiting for carpdev late0", 1) // its state says the rest
	if err := h.change("carp0 advskew 1 await"); err != nil {
		t.Fatal(err)
	}
	count("carp0: waiting for carpdev late0", 2)

	if err := h.change("carp1 create vhid 2 alias 172.16.0.1/24 await"); err != nil {
		t.Fatal(err)
	}
	count("carp1: waiting for an interface with the subnet of 172.16.0.1", 1)
	if err := h.change("carp2 create vhid 2 await"); err != nil { // of what, is not known yet
		t.Fatal(err)
	}
	if slices.ContainsFunc(h.log, func(line string) bool { return len(line) > 5 && line[:5] == "carp2" }) {
		t.Errorf("log %q", h.log)
	}

	// The same where it was stored before kernelsim ran.
	m := config.NewMachine()
	cs := []config.Clause{{Word: config.Create}, {Word: config.VHID, N: 1}, {Word: config.Carpdev, Text: "late0"}}
	if err := m.LoadInterface("carp0", cs); err != nil {
		t.Fatal(err)
	}
	m.Sysctl.Log = 7
	h = &host{t: t, e: New(m, zeros{}, nil), now: second}
	h.setLinks(em0(1))
	h.setLinks(em0(1))
	count("carp0: waiting for carpdev late0", 1)
}

type zeros struct{}

func (zeros) Uint64() uint64 { return 0 }

func TestSendErrors(t *testing.T) {
	h := newMaster(t, "")
	sent := func(errno config.Errno) { h.step(&Sent{Carp: "carp0", Errno: errno}) }
	demotion := func(want int) {
		t.Helper()
		if n := h.e.GroupDemotion("carp"); n != want {
			t.Fatalf("demotion %d, want %d", n, want)
		}
	}
	sent(config.EIO)
	sent(config.EIO)
	sent(config.OK) // not in a row
	sent(config.EIO)
	sent(config.EIO)
	demotion(0)
	sent(config.ENOMEM)
	demotion(1)
	h.want("carp0", Master)
	if h.e.Stats()[config.Onomem] != 1 {
		t.Error("onomem not counted")
	}
	sent(config.EIO)
	sent(config.OK)
	sent(config.OK)
	sent(config.EIO)
	sent(config.OK)
	sent(config.OK)
	demotion(1)
	sent(config.OK)
	demotion(0)
	for _, want := range []string{"carp0: ip_output failed: 5", "carp: carp0 demoted group carp by 1 to 1 (> snderrors)", "carp: carp0 demoted group carp by -1 to 0 (< snderrors)"} {
		if !slices.Contains(h.log, want) {
			t.Errorf("%q not logged: %q", want, h.log)
		}
	}
	h.step(&Sent{Carp: "carp9", Errno: config.EIO})
}

// The outcome of an advert may come when its carp is in INIT already. A failure must not count then: nothing would ever take it back.
func TestSendErrorInInit(t *testing.T) {
	h := newMaster(t, "")
	for range sendErrorLimit - 1 {
		h.step(&Sent{Carp: "carp0", Errno: config.EIO})
	}
	h.must("carp0 down")
	h.step(&Sent{Carp: "carp0", Errno: config.EIO})
	if d := h.e.GroupDemotion("carp"); d != 0 {
		t.Errorf("demoted by %d in INIT", d)
	}
}

func TestGroupDemotion(t *testing.T) {
	h := newMaster(t, "")
	h.must("carp1 create carpdev em0 vhid 2 alias 192.168.1.11/24")
	if err := h.demote(config.Demote, 5); err != nil {
		t.Fatal(err)
	}
	if got, want := brief(h.last), "advert 1/0/5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := h.demote(config.Undemote, 5); err != nil {
		t.Fatal(err)
	}
	if got := brief(h.last); got != "" {
		t.Errorf("lowering: %s", got)
	}
	if err := h.demote(config.Undemote, 1); !errors.Is(err, config.EINVAL) {
		t.Errorf("below 0: %v", err)
	}
	for i := 0; i < 2; i++ {
		if err := h.demote(config.Demote, 127); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.demote(config.Demote, 2); !errors.Is(err, config.EINVAL) {
		t.Errorf("above 255: %v", err)
	}
	if n := h.e.GroupDemotion("carp"); n != 254 {
		t.Errorf("demotion %d", n)
	}
}

// The byte on the wire is the one that decides.
func TestClaimsAreSent(t *testing.T) {
	h := newMaster(t, "advbase 3 advskew 7 pass secret")
	if err := h.demote(config.Demote, 9); err != nil {
		t.Fatal(err)
	}
	s := h.last[len(h.last)-1]
	for _, f := range h.last {
		if a, ok := f.(*SendAdvert); ok {
			s = a
		}
	}
	adv := s.(*SendAdvert)
	ad, err := wire.Parse(adv.Packet[wire.IPv4Header:])
	if err != nil {
		t.Fatal(err)
	}
	want := h.e.claims(h.e.carps["carp0"].nodes[0])
	if got := (terms{ad.Advbase, ad.Advskew, ad.Demote}); got != want || got != (terms{3, 7, 9}) {
		t.Errorf("sent %v, decides by %v", got, want)
	}
	if _, sealed := ad.Sealed(); !sealed {
		t.Error("not sealed")
	}
	auth := wire.NewAuth(wire.Identity{Key: config.NewPass("secret").Key(), VHID: 1, Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.10")}})
	if !auth.Verify(&ad) {
		t.Error("wrong HMAC")
	}
	if want := (3*256 + 7) * second / 256; adv.Interval != want {
		t.Errorf("says that the next one takes %d, want %d", adv.Interval, want)
	}
	if fmt.Sprintf("%x", adv.Packet[12:20]) != "c0a80101e0000012" || adv.From.String() != "00:00:5e:00:01:01" {
		t.Errorf("packet %x from %s", adv.Packet, adv.From)
	}
}

// Without an address on the carpdev adverts come from the carp's own first.
func TestSource(t *testing.T) {
	bare := em0(1)
	bare.Addrs = nil
	c := &carp{link: bare, cfg: config.NewInterface("carp0", 0)}
	if got := c.source(inet); got != netip.IPv4Unspecified() {
		t.Error(got)
	}
	c.cfg.Addrs = []netip.Prefix{netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("192.168.1.10/24")}
	if got := c.source(inet).String(); got != "192.168.1.10" {
		t.Error(got)
	}
	c.link.Addrs = []netip.Prefix{netip.MustParsePrefix("fe80::2/64"), netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24")}
	if got := c.source(inet).String(); got != "10.0.0.1" {
		t.Error(got)
	}
}

func TestRefuse(t *testing.T) {
	h := newHost(t, em0(1))
	h.must("carp0 create")
	for _, c := range []struct {
		name   string
		words  []config.Word
		errno  config.Errno
		clause int
	}{
		{"carp0", []config.Word{config.Need, config.VHID}, config.EPERM, 1},
		{"carp7", []config.Word{config.Need, config.VHID}, config.ENXIO, 1},
		{"em0", []config.Word{config.Need, config.Up}, config.EPERM, 1},
		{"carp0", []config.Word{config.Destroy}, config.EPERM, 0},
	} {
		ch := config.Change{Kind: config.ForInterface, Name: c.name}
		for _, w := range c.words {
			ch.Clauses = append(ch.Clauses, config.Clause{Word: w, N: 1})
		}
		var err *config.Error
		if !errors.As(h.e.Refuse(ch), &err) || err.Errno != c.errno || err.Clause != c.clause {
			t.Errorf("%s %v: %v", c.name, c.words, err)
		}
	}
}

func TestUndo(t *testing.T) {
	h := newMaster(t, "")
	p, err := h.e.Plan(config.Change{Kind: config.ForInterface, Name: "carp0", Clauses: []config.Clause{{Word: config.Advskew, N: 9}}})
	if err != nil {
		t.Fatal(err)
	}
	h.step(&Configure{Plan: p})
	h.step(&Configure{Plan: p.Undo()})
	if n := h.e.carps["carp0"].nodes[0].advskew; n != 0 {
		t.Errorf("advskew %d", n)
	}
	h.want("carp0", Master)
	p, err = h.e.Plan(config.Change{Kind: config.ForInterface, Name: "carp5", Clauses: []config.Clause{{Word: config.Create}}})
	if err != nil {
		t.Fatal(err)
	}
	h.step(&Configure{Plan: p})
	h.step(&Configure{Plan: p.Undo()})
	if _, ok := h.e.View("carp5"); ok {
		t.Error("carp5 is still there")
	}
}

// Nobody is master without the address.
func TestLinkCannotBeMade(t *testing.T) {
	h := newMaster(t, "")
	h.step(&LinkMade{Carp: "carp0", Failed: true})
	if got, want := brief(h.last), "quiet, MASTER>INIT, advert 255/255/0 last"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := brief(h.wait(10 * second)); got != "" {
		t.Errorf("and then %s", got)
	}
	h.step(&LinkMade{Carp: "carp0"})
	h.want("carp0", Backup)
	if got := brief(h.step(&LinkMade{Carp: "carp0"})) + brief(h.step(&LinkMade{Carp: "carp9", Failed: true})); got != "" {
		t.Errorf("nothing new, and yet %s", got)
	}
}

// A backup finds out by probes whether it can send again: three in a row, and more when it was wrong a moment ago.
func TestFailingBackup(t *testing.T) {
	h := newMaster(t, "")
	sent := func(errno config.Errno) { h.step(&Sent{Carp: "carp0", Errno: errno}) }
	fail := func() {
		t.Helper()
		for i := 0; i < sendErrorLimit; i++ {
			sent(config.EIO)
		}
		if h.e.GroupDemotion("carp") != 1 {
			t.Fatal("not demoted")
		}
	}
	probes := func(fs []Effect) (n int) {
		for _, f := range fs {
			if p, ok := f.(*Probe); ok && p.Carp == "carp0" && p.Carpdev == 2 {
				n++
			}
		}
		return n
	}
	fail()
	if n := probes(h.wait(10 * second)); n != 0 {
		t.Errorf("a master sends %d probes", n)
	}
	for round, need := range []int{3, 6, 12, 24, 48, 96, 96} {
		if n := probes(h.hear(peer{base: 1, skew: 0})); n != 1 {
			t.Fatalf("round %d: %d probes at once", round, n)
		}
		h.want("carp0", Backup)
		for tried := 1; h.e.GroupDemotion("carp") == 1; tried++ {
			if tried > need {
				t.Fatalf("round %d: still demoted after %d probes", round, need)
			}
			if round == 0 && tried == 2 {
				sent(config.EIO) // not in a row
				sent(config.OK)
			}
			sent(config.OK)
			if tried < need && h.e.GroupDemotion("carp") == 0 {
				t.Fatalf("round %d: not demoted any more after %d probes, want %d", round, tried, need)
			}
			h.hear(peer{base: 1, skew: 0})
			if d := h.e.Deadline() - h.now; tried < need && d > second {
				t.Fatalf("round %d: the next probe in %d", round, d)
			}
			if n := probes(h.wait(second)); tried < need && n != 1 {
				t.Fatalf("round %d: %d probes in an interval", round, n)
			}
		}
		h.must("carp0 state master")
		fail() // a moment later
	}
	h.e.carps["carp0"].out[inet].recovered = h.now - probesReset
	h.must("carp0 down")
	if h.e.GroupDemotion("carp") != 0 || len(h.e.failing) != 0 {
		t.Error("INIT is demoted for what it cannot find out")
	}
	h.must("carp0 up")
	h.wait(3 * second)
	h.now += probesReset
	h.step(&Tick{})
	h.wait(3 * second)
	h.want("carp0", Master)
	fail()
	if p := h.e.carps["carp0"].out[inet].probes; p != 0 {
		t.Errorf("after a quiet minute it still takes %d", p)
	}
}
