package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// successor returns a host whose engine goes on where that of h ended a while ago, and the effects of its first step.
func (h *host) successor(after Instant, links []config.Link, ended ...Kept) (*host, []Effect) {
	h.t.Helper()
	memories := map[string]*Memory{}
	for _, c := range h.e.ordered {
		for _, n := range c.nodes {
			m := *n.memory
			memories[fmt.Sprint(c.cfg.Name, n.vhid)] = &m
		}
	}
	e := New(h.e.machine, rand.NewPCG(3, 4), func(carp string, vhid uint8) *Memory {
		if m := memories[fmt.Sprint(carp, vhid)]; m != nil {
			return m
		}
		return new(Memory)
	})
	next := &host{t: h.t, e: e, now: h.now + after, wall: h.wall, links: links}
	ev := &Resume{Clock: next.clock(), Links: links, Ended: ended}
	for _, k := range h.kept {
		if len(ended) == 0 && k.State != Init {
			ev.Nodes = append(ev.Nodes, k)
		}
	}
	return next, slices.Clone(next.step(ev))
}

// A master goes on without a word but its adverts, at the time at which they were due.
func TestResumeAsMaster(t *testing.T) {
	h := newMaster(t, "advbase 1")
	due := h.e.Deadline()
	last := h.e.carps["carp0"].nodes[0].memory.Newest
	h.wait(100 * second / 1000)
	next, effects := h.successor(50*second/1000, h.links)
	if got := brief(effects); got != "answer" {
		t.Errorf("at once: %s", got)
	}
	next.want("carp0", Master)
	if next.e.Deadline() != due {
		t.Errorf("the next advert at %v instead of %v", next.e.Deadline(), due)
	}
	if got := brief(next.until(due)); got != "advert 1/0/0" {
		t.Errorf("when it is due: %s", got)
	}
	if n := next.e.carps["carp0"].nodes[0].memory.Newest; n <= last {
		t.Errorf("its time is %d after %d", n, last)
	}
	if len(next.log) != 0 {
		t.Errorf("log: %q", next.log)
	}
	// It can be done again.
	again, effects := next.successor(1, next.links)
	again.want("carp0", Master)
	if got := brief(effects); got != "answer" {
		t.Errorf("the second time: %s", got)
	}
}

// An advert that is overdue is sent at once; after two intervals nobody is a master any more.
func TestResumeLate(t *testing.T) {
	for _, c := range []struct {
		after Instant
		want  string
		state State
	}{
		{1000 * second / 1000, "answer, advert 1/0/0", Master},
		{1999 * second / 1000, "answer, advert 1/0/0", Master},
		{2001 * second / 1000, "quiet, MASTER>BACKUP", Backup},
		{3600 * second, "quiet, MASTER>BACKUP", Backup},
	} {
		h := newMaster(t, "advbase 1")
		h.until(h.e.Deadline())
		h.step(&Tick{h.clock()}) // it has just sent one
		next, effects := h.successor(c.after, h.links)
		if got := brief(effects); got != c.want {
			t.Errorf("%v later: %s, want %s", c.after, got, c.want)
		}
		next.want("carp0", c.state)
	}
}

// What is kept has to fit: another configuration, carpdev or virtual host begins as a backup, one without a link as nothing.
func TestResumeFits(t *testing.T) {
	for what, c := range map[string]struct {
		change func(h *host, k *Kept, l *config.Link)
		state  State
	}{
		"nothing":            {func(*host, *Kept, *config.Link) {}, Master},
		"the configuration":  {func(_ *host, k *Kept, _ *config.Link) { k.Config++ }, Backup},
		"the carpdev":        {func(_ *host, k *Kept, _ *config.Link) { k.Carpdev++ }, Backup},
		"the vhid":           {func(_ *host, k *Kept, _ *config.Link) { k.VHID++ }, Backup},
		"the carp":           {func(_ *host, k *Kept, _ *config.Link) { k.Carp = "carp1" }, Backup},
		"the state":          {func(_ *host, k *Kept, _ *config.Link) { k.State = Init }, Backup},
		"the carpdev's link": {func(_ *host, _ *Kept, l *config.Link) { l.Running = false }, Init},
		"the carpdev's name": {func(_ *host, _ *Kept, l *config.Link) { l.Name = "em7" }, Init},
		"the next advert":    {func(h *host, k *Kept, _ *config.Link) { k.Deadline = h.now + 1000*second }, Master},
	} {
		h := newMaster(t, "advbase 1")
		k := h.kept[vhidOf{"carp0", 1}]
		links := slices.Clone(h.links)
		c.change(h, &k, &links[0])
		h.kept = map[vhidOf]Kept{{"carp0", 1}: k}
		next, _ := h.successor(1, links)
		if got := next.state("carp0"); got != c.state {
			t.Errorf("%s differs: %s, want %s", what, got, c.state)
		}
		if d := next.e.Deadline(); d > next.now+3*second {
			t.Errorf("%s differs: nothing happens for %v", what, d-next.now)
		}
	}
}

// Every change of the configuration is one; what is loaded from what was written is none.
func TestResumeKnowsTheConfiguration(t *testing.T) {
	h := newMaster(t, "advbase 1")
	seen := map[uint64]string{h.kept[vhidOf{"carp0", 1}].Config: "as made"}
	for _, words := range []string{"advskew 3", "alias 192.168.1.11/24", "pass geheim", "carppeer 192.168.1.2", "group lan", "lladdr 02:00:00:00:00:09"} {
		h.must("carp0 " + words)
		k := h.kept[vhidOf{"carp0", 1}]
		if was, ok := seen[k.Config]; ok {
			t.Errorf("%q: the same as %q", words, was)
		}
		seen[k.Config] = words
	}
	text := config.FormatWant(h.e.carps["carp0"].cfg.Clauses())
	clauses, err := config.ParseWant(text)
	if err != nil {
		t.Fatal(err)
	}
	m := config.NewMachine()
	if err := m.LoadInterface("carp0", clauses); err != nil {
		t.Fatal(err)
	}
	k := h.kept[vhidOf{"carp0", 1}]
	if e := New(m, rand.NewPCG(1, 2), nil); !e.Fits(&k, h.links) {
		t.Error("what is written does not fit")
	}
}

// A backup goes on waiting, for two intervals at least: it was deaf.
func TestResumeAsBackup(t *testing.T) {
	for _, c := range []struct{ after, wait Instant }{{0, 3 * second}, {500 * second / 1000, 2500 * second / 1000}, {1500 * second / 1000, 2 * second}, {60 * second, 2 * second}} {
		h := newBackup(t, "advbase 1")
		h.hear(peer{sealed: true, base: 1})
		next, effects := h.successor(c.after, h.links)
		if got := brief(effects); got != "quiet" {
			t.Errorf("%s", got)
		}
		if got := next.e.Deadline() - next.now; got != c.wait {
			t.Errorf("%v later it waits for %v, want %v", c.after, got, c.wait)
		}
	}
}

// A host that is demoted because it cannot send stays so.
func TestResumeDemoted(t *testing.T) {
	h := newMaster(t, "advbase 1")
	for range sendErrorLimit {
		h.step(&Sent{Clock: h.clock(), Carp: "carp0", Errno: config.ENOMEM})
	}
	if got := h.e.GroupDemotion("carp"); got != 1 {
		t.Fatalf("demoted by %d", got)
	}
	next, _ := h.successor(1, h.links)
	if got := next.e.GroupDemotion("carp"); got != 1 {
		t.Errorf("then demoted by %d", got)
	}
	for range sendErrorLimit {
		next.step(&Sent{Clock: next.clock(), Carp: "carp0"})
	}
	if got := next.e.GroupDemotion("carp"); got != 0 {
		t.Errorf("at last demoted by %d", got)
	}
}

// prepared returns the packet that came with a bow-out.
func prepared(ad *SendAdvert, src string) *Packet {
	return &Packet{Carpdev: 2, Src: netip.MustParseAddr(src), Dst: wire.GroupIPv4, TTL: 255, Payload: ad.Prepared[wire.IPv4Header:]}
}

// The bow-out that comes with every advert is one: a peer takes over at once, also one that wants sealed counters only; and who sent it does not
// follow it when it comes back.
func TestPreparedBowOut(t *testing.T) {
	h := newMaster(t, "advbase 1 pass geheim")
	b := newBackup(t, "advbase 1 pass geheim")
	b.sysctl("replay", config.ReplayStrict)
	b.now = h.now
	var last *SendAdvert
	for range 3 {
		for _, f := range h.wait(second) {
			if ad, ok := f.(*SendAdvert); ok {
				last = ad
			}
		}
		b.now = h.now
		b.step(&Packet{Clock: b.clock(), Carpdev: 2, Src: netip.MustParseAddr("192.168.1.2"), Dst: wire.GroupIPv4, TTL: 255, Payload: last.Packet[wire.IPv4Header:]})
		b.want("carp0", Backup)
	}
	p := prepared(last, "192.168.1.2")
	p.Clock = b.clock()
	b.step(p)
	b.want("carp0", Master)

	next, _ := h.successor(second/100, h.links, h.kept[vhidOf{"carp0", 1}])
	next.want("carp0", Backup)
	p = prepared(last, "192.168.1.1")
	p.Clock = next.clock()
	next.step(p)
	next.want("carp0", Backup)
	// Later adverts of its own are newer than the bow-out.
	next.wait(4 * second)
	next.want("carp0", Master)
	if ad, _ := wire.Parse(p.Payload); next.e.carps["carp0"].nodes[0].memory.Newest <= timeOf(ad.Counter) {
		t.Error("its time has gone back")
	}
}

// Who is destroyed or goes down is told of.
func TestChangesTellOfTheEnd(t *testing.T) {
	for _, words := range []string{"destroy", "down", "vhid 2"} {
		h := newMaster(t, "advbase 1")
		h.must("carp0 " + words)
		if k := h.kept[vhidOf{"carp0", 1}]; k.State != Init {
			t.Errorf("%s: kept as %s", words, k.State)
		}
	}
}

// A peer that still uses a list of addresses from before may do so for as long as with one engine, and no longer; with another key, never.
func TestResumePreviousAddresses(t *testing.T) {
	old, both := peer{base: 1}, peer{base: 1, addrs: []string{"192.168.1.10", "192.168.1.11"}}
	start := func() *host {
		h := newBackup(t, "advbase 254 advskew 254")
		h.must("carp0 alias 192.168.1.11/24")
		h.must("carp0 alias 192.168.1.12/24")
		return h
	}
	h := start()
	next, _ := h.successor(second, h.links)
	again, _ := next.successor(second, next.links)
	if !again.accepts(old) || !again.accepts(both) {
		t.Error("a list of before is not accepted")
	}
	if !again.accepts(peer{base: 1, addrs: []string{"192.168.1.10", "192.168.1.11", "192.168.1.12"}}) || again.accepts(old) {
		t.Error("the list of before is accepted after the new one was heard")
	}
	again, _ = again.successor(1, again.links)
	if again.accepts(old) {
		t.Error("the next engine accepts it")
	}
	h = start()
	if next, _ := h.successor(0, h.links); !next.accepts(old) {
		t.Error("not accepted at the instant of the change")
	}
	next, _ = h.successor(300*second-1, h.links)
	if !next.accepts(old) {
		t.Error("not accepted just before 300 s")
	}
	next.now++
	if next.accepts(old) {
		t.Error("accepted after 300 s")
	}
	if next, _ := h.successor(300*second, h.links); next.accepts(old) {
		t.Error("accepted by an engine that begins after 300 s")
	}
	// What is damaged, or is to count for longer than it can, is not believed.
	for what, spoil := range map[string]func(*OldKey){
		"damaged":  func(k *OldKey) { k.Fixed[0]++ },
		"too long": func(k *OldKey) { k.Until += second },
	} {
		h := start()
		k := h.kept[vhidOf{"carp0", 1}]
		spoil(&k.Previous[0])
		spoil(&k.Previous[1])
		h.kept[vhidOf{"carp0", 1}] = k
		next, _ := h.successor(1, h.links)
		if next.state("carp0") != Backup || next.accepts(old) || next.accepts(both) {
			t.Errorf("%s: %s, or a list is accepted", what, next.state("carp0"))
		}
	}
	h = newBackup(t, "advbase 254 advskew 254")
	h.must("carp0 alias 192.168.1.11/24")
	h.must("carp0 pass new")
	if next, _ := h.successor(1, h.links); next.accepts(old) {
		t.Error("the old key is accepted")
	}
}

// Adverts of a rival that claims the same are counted on: whoever bears two of them bears two.
func TestResumeTie(t *testing.T) {
	h := newMaster(t, "advbase 1")
	h.hear(peer{base: 1})
	for n := 1; n < tiesUnsealed; n++ {
		h.want("carp0", Master)
		h, _ = h.successor(1, h.links)
		h.hear(peer{base: 1})
	}
	h.want("carp0", Backup)
}

// A carp that was wrong a moment ago to send again has to prove itself for longer, with another engine too.
func TestResumeProbes(t *testing.T) {
	h := newMaster(t, "advbase 1")
	sent := func(h *host, errno config.Errno, n int) {
		for range n {
			h.step(&Sent{Carp: "carp0", Errno: errno})
		}
	}
	sent(h, config.EIO, sendErrorLimit)
	sent(h, config.OK, sendErrorLimit)
	next, _ := h.successor(1, h.links)
	sent(next, config.EIO, sendErrorLimit)
	next, _ = next.successor(1, next.links)
	sent(next, config.OK, 2*sendErrorLimit-1)
	if n := next.e.GroupDemotion("carp"); n != 1 {
		t.Errorf("demoted by %d before it has proved itself", n)
	}
	sent(next, config.OK, 1)
	if n := next.e.GroupDemotion("carp"); n != 0 {
		t.Errorf("demoted by %d after", n)
	}
}

// newPair returns a host with a backup, carp0 on em0, and a master, carp1 on em1.
func newPair(t *testing.T) *host {
	em1 := em0(1)
	em1.Index, em1.Name = 3, "em1"
	h := newHost(t, em0(1), em1)
	h.must("carp0 create carpdev em0 vhid 1 advbase 1 alias 192.168.1.10/24")
	h.must("carp1 create carpdev em1 vhid 2 advbase 1 alias 192.168.1.20/24")
	for range 20 {
		h.hear(peer{base: 1})
		h.wait(second)
	}
	h.want("carp0", Backup)
	h.want("carp1", Master)
	h.log = nil
	return h
}

// Each carp goes on as what itself was.
func TestResumeSeveral(t *testing.T) {
	h := newPair(t)
	next, effects := h.successor(1, h.links)
	if got := brief(effects); got != "quiet, answer" {
		t.Errorf("at once: %s", got)
	}
	next.want("carp0", Backup)
	next.want("carp1", Master)
	k := h.kept[vhidOf{"carp1", 2}]
	if k.Carp = "carp9"; next.e.Fits(&k, h.links) {
		t.Error("a carp that is not there can go on")
	}
}

// Two carps may have the same vhid, on two carpdevs.
func TestResumeSameVHID(t *testing.T) {
	h := newPair(t)
	h.must("carp1 vhid 1")
	h.hear(peer{base: 1})
	h.wait(3*second - 1)
	h.hear(peer{base: 1})
	h.wait(second)
	h.want("carp0", Backup)
	h.want("carp1", Master)
	next, _ := h.successor(1, h.links)
	next.want("carp0", Backup)
	next.want("carp1", Master)
}

// A link that was lost before is no news, one that was lost without an engine is. Either way the host is demoted, and its masters say so from the
// first advert on.
func TestResumeLostLink(t *testing.T) {
	lose := func(h *host) []config.Link {
		links := slices.Clone(h.links)
		links[0].Running = false
		return links
	}
	check := func(h *host, told bool, want string) {
		t.Helper()
		next, effects := h.successor(second, lose(h))
		if got := brief(effects); got != want {
			t.Errorf("told %t: %s", told, got)
		}
		if got := next.e.GroupDemotion("carp"); got != 1 {
			t.Errorf("told %t: demoted by %d", told, got)
		}
		next.want("carp0", Init)
		if got := slices.Contains(next.log, "carp: carp0 demoted group carp by 1 to 1 (carpdev)"); got != told {
			t.Errorf("told is %t, want %t: %q", got, told, next.log)
		}
	}
	check(newPair(t), true, "quiet, BACKUP>INIT, answer, advert 1/0/1")
	h := newPair(t)
	h.setLinks(lose(h)...)
	check(h, false, "quiet, answer, advert 1/0/1")
}

// A carpdev that has gone without an engine takes a master's link with it, and that is told, whether its lease had run out or not.
func TestResumeLostCarpdev(t *testing.T) {
	for _, ended := range []bool{false, true} {
		h := newMaster(t, "advbase 1")
		var those []Kept
		if ended {
			those = []Kept{h.kept[vhidOf{"carp0", 1}]}
		}
		next, effects := h.successor(second, nil, those...)
		if got := brief(effects); got != "remove, MASTER>INIT" {
			t.Errorf("ended %t: %s", ended, got)
		}
		if !slices.ContainsFunc(effects, func(f Effect) bool { e, ok := f.(*Transition); return ok && e.Reason == reasonNoCarpdev }) {
			t.Errorf("ended %t: no reason", ended)
		}
		next.want("carp0", Init)
	}
}

// A master that was away for too long waits as a backup does that has just begun, and nothing is kept of what it was.
func TestResumeSlept(t *testing.T) {
	h := newMaster(t, "advbase 1")
	h.hear(peer{base: 2}) // a rival
	next, _ := h.successor(10*second, h.links)
	next.want("carp0", Backup)
	if got := next.e.Deadline() - next.now; got != 3*second {
		t.Errorf("it waits for %v", got)
	}
	if k := next.kept[vhidOf{"carp0", 1}]; k.State != Backup || k.Rival || k.BowOuts != [families]uint64{} {
		t.Errorf("kept: %+v", k)
	}
}

// What a new master has still to announce the next engine announces, at the same advert.
func TestResumeAnnounces(t *testing.T) {
	h := newBackup(t, "advbase 1")
	h.wait(3 * second)
	h.want("carp0", Master)
	next, _ := h.successor(1, h.links)
	if got := brief(next.wait(1500 * second / 1000)); got != "advert 1/0/0" {
		t.Errorf("then: %s", got)
	}
	if got := brief(next.wait(second)); got != "advert 1/0/0, announce [192.168.1.10]" {
		t.Errorf("at last: %s", got)
	}
}

// A backup that could not send goes on trying.
func TestResumeFailingBackup(t *testing.T) {
	h := newMaster(t, "advbase 1")
	for range sendErrorLimit {
		h.step(&Sent{Clock: h.clock(), Carp: "carp0", Errno: config.EIO})
	}
	h.hear(peer{base: 1})
	h.want("carp0", Backup)
	next, effects := h.successor(1, h.links)
	if !slices.ContainsFunc(effects, func(f Effect) bool { _, ok := f.(*Probe); return ok }) {
		t.Errorf("no try at once: %v", effects)
	}
	for range sendErrorLimit {
		next.step(&Sent{Clock: next.clock(), Carp: "carp0"})
	}
	if got := next.e.GroupDemotion("carp"); got != 0 {
		t.Errorf("demoted by %d when it works again", got)
	}
}

// A damaged deadline keeps a backup waiting for no longer than an advert would.
func TestResumeBackupWaitsNoLonger(t *testing.T) {
	h := newBackup(t, "advbase 1")
	k := h.kept[vhidOf{"carp0", 1}]
	k.Deadline = h.now + 1000*second
	h.kept[vhidOf{"carp0", 1}] = k
	next, _ := h.successor(1, h.links)
	if got := next.e.Deadline() - next.now; got != 3*second {
		t.Errorf("it waits for %v", got)
	}
}

// Each step tells of what it has changed, once, and of nothing else.
func TestChangesTellOnce(t *testing.T) {
	h := newBackup(t, "advbase 1")
	told := func() (n int) {
		h.e.Changes(func(*Kept) { n++ })
		return n
	}
	h.wait(3*second - 1)
	h.now++
	h.step(&Tick{h.clock()}) // MASTER, with an advert
	if n := told(); n != 1 {
		t.Errorf("told %d times of a new master", n)
	}
	h.now++
	h.step(&Tick{h.clock()})
	if n := told(); n != 0 {
		t.Errorf("told %d times of nothing", n)
	}
}

// What is kept of a carp is the same with the next engine, where nothing has happened, and what no engine has kept is put right.
func TestResumeKeeps(t *testing.T) {
	future := func(h *host) Instant { return h.now + 1000*second }
	for what, c := range map[string]struct {
		make         func(t testing.TB, words string) *host
		spoil, right func(h *host, k *Kept)
	}{
		"a master":                       {newMaster, func(*host, *Kept) {}, func(*host, *Kept) {}},
		"a backup":                       {newBackup, func(*host, *Kept) {}, func(*host, *Kept) {}},
		"an advert of the future":        {newMaster, func(h *host, k *Kept) { k.Heard = future(h) }, func(h *host, k *Kept) { k.Heard = h.now }},
		"a recovery of the future":       {newMaster, func(h *host, k *Kept) { k.Recovered[inet] = future(h) }, func(h *host, k *Kept) { k.Recovered[inet] = h.now }},
		"fewer ties than none":           {newMaster, func(_ *host, k *Kept) { k.Ties = -1 }, func(_ *host, k *Kept) { k.Ties = 0 }},
		"fewer tries than none":          {newMaster, func(_ *host, k *Kept) { k.Probes[inet6] = -1 }, func(_ *host, k *Kept) { k.Probes[inet6] = 0 }},
		"more tries than there ever are": {newMaster, func(_ *host, k *Kept) { k.Probes[inet] = 1000 }, func(_ *host, k *Kept) { k.Probes[inet] = probesMax }},
		"a backup that may bow out":      {newBackup, func(_ *host, k *Kept) { k.BowOuts[inet] = 1 << 24 }, func(_ *host, k *Kept) { k.BowOuts[inet] = 0 }},
		"a backup that ties":             {newBackup, func(_ *host, k *Kept) { k.Ties = 2 }, func(_ *host, k *Kept) { k.Ties = 0 }},
	} {
		h := c.make(t, "advbase 1")
		k := h.kept[vhidOf{"carp0", 1}]
		c.spoil(h, &k)
		h.kept[vhidOf{"carp0", 1}] = k
		next, _ := h.successor(0, h.links)
		c.right(next, &k)
		if got := next.kept[vhidOf{"carp0", 1}]; got != k {
			t.Errorf("%s:\n%+v, want\n%+v", what, got, k)
		}
	}
}

// A carp that was given the carpdev's own MAC, and has followed it to another, goes on with that.
func TestResumeFollowed(t *testing.T) {
	h := newMaster(t, "advbase 1")
	links := slices.Clone(h.links)
	links[0].MAC = config.MAC{2, 0, 0, 0, 0, 1}
	h.setLinks(links...)
	h.must("carp0 lladdr 02:00:00:00:00:01")
	links = slices.Clone(links)
	links[0].MAC = config.MAC{2, 0, 0, 0, 0, 2}
	h.setLinks(links...)
	h.want("carp0", Master)
	next, effects := h.successor(1, h.links)
	if got := brief(effects); got != "answer" {
		t.Errorf("at once: %s", got)
	}
	next.want("carp0", Master)
}

// A carp that is down is not what is kept of it, however that came to be.
func TestResumeDown(t *testing.T) {
	h := newMaster(t, "advbase 1")
	h.must("carp0 down")
	k := h.kept[vhidOf{"carp0", 1}]
	k.State, k.Deadline = Master, h.now+second
	h.kept[vhidOf{"carp0", 1}] = k
	next, effects := h.successor(1, h.links)
	next.want("carp0", Init)
	if got := brief(effects); got != "answer, quiet, MASTER>INIT" {
		t.Errorf("at once: %s", got)
	}
	if got := brief(next.wait(10 * second)); got != "" {
		t.Errorf("then: %s", got)
	}
}

// A master whose next advert has no time sends it at once, also in the first second after the boot, when it is not late yet.
func TestResumeWithoutDeadline(t *testing.T) {
	for _, at := range []Instant{0, -1} {
		h := newMaster(t, "advbase 1")
		k := h.kept[vhidOf{"carp0", 1}]
		k.Deadline = at
		h.kept[vhidOf{"carp0", 1}] = k
		h.now = second / 2
		next, effects := h.successor(0, h.links)
		if got := brief(effects); got != "answer, advert 1/0/0" {
			t.Errorf("%d: %s", at, got)
		}
		next.want("carp0", Master)
	}
}

// The bow-outs of an engine that has ended are noted as ours, each once. What none can be is not.
func TestResumeNotesBowOuts(t *testing.T) {
	at := func(t int64) uint64 { return uint64(t)<<24 | 0x123456 }
	for what, c := range map[string]struct {
		spoil func(k *Kept)
		noted uint64
	}{
		"one":                          {func(*Kept) {}, 1},
		"one over each family":         {func(k *Kept) { k.BowOuts[inet6] = k.BowOuts[inet] + 1 }, 2},
		"the same twice":               {func(k *Kept) { k.BowOuts[inet6] = k.BowOuts[inet] }, 1},
		"none":                         {func(k *Kept) { k.BowOuts = [families]uint64{} }, 0},
		"another vhid's":               {func(k *Kept) { k.VHID = 9 }, 0},
		"one of a carp that is gone":   {func(k *Kept) { k.Carp = "carp9" }, 0},
		"the latest that there can be": {func(k *Kept) { k.BowOuts[inet] = at(heardMax) }, 1},
		"a later one":                  {func(k *Kept) { k.BowOuts[inet] = at(heardMax + 1) }, 0},
	} {
		h := newMaster(t, "advbase 1")
		k := h.kept[vhidOf{"carp0", 1}]
		c.spoil(&k)
		before := *h.e.carps["carp0"].nodes[0].memory
		next, _ := h.successor(1, h.links, k)
		after := next.e.carps["carp0"].nodes[0].memory
		if got := after.SentTotal - before.SentTotal; got != c.noted {
			t.Errorf("%s: %d noted, want %d", what, got, c.noted)
		}
		for _, counter := range k.BowOuts {
			if c.noted > 0 && counter != 0 && !after.hasSent(counter) {
				t.Errorf("%s: %x is not noted", what, counter)
			}
		}
		if c.noted == 0 && after.Newest != before.Newest {
			t.Errorf("%s: the newest time is %d after %d", what, after.Newest, before.Newest)
		}
	}
}
