package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// FuzzStep feeds arbitrary events to two engines with the same randomness. Neither panics, both answer with the same effects, these are
// well formed and in order, and after each step what must hold on one machine holds: see inspector.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(stepAll)
}

func stepAll(t *testing.T, data []byte) {
	d := &decoder{data: data, now: 1000 * second, wall: wire.SealEpoch + 1e9}
	counters = 0x1111111111111111 // of the peers: the same on every run
	which := int(d.byte()) % len(offline)
	a, b := newInspector(t, offlineMachine(t, which), d), newInspector(t, offlineMachine(t, which), d)
	var sent []Sent // what a host has still to tell
	for n := 0; n < 300 && len(d.data) > 0; n++ {
		ev := d.event(a.e, &sent)
		if p, ok := ev.(*Packet); ok {
			a.judge(p, d.now)
			// Nobody keeps the bytes.
			q := *p
			q.Payload = slices.Clone(p.Payload)
			b.judge(&q, d.now)
			clear(p.Payload)
			clear(q.Payload)
		} else {
			a.step(d.now, ev)
			b.step(d.now, d.same(b.e, ev))
		}
		if a.text != b.text {
			t.Fatalf("%T: two engines differ:\n%s\n%s", ev, a.text, b.text)
		}
		sent = append(sent, a.sent...)
	}
	a.heals(d)
	a.ends(d)
}

// A decoder makes events of bytes. When there are none left it reads zeros.
type decoder struct {
	data   []byte
	now    Instant
	wall   int64 // at 1000 s
	links  []config.Link
	change config.Change
	undo   bool
	heard  [][]byte // what the engine itself sent
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) bytes(n int) []byte {
	n = min(n, len(d.data))
	b := slices.Clone(d.data[:n])
	d.data = d.data[n:]
	return b
}

func pick[T any](d *decoder, from ...T) T { return from[int(d.byte())%len(from)] }

// offline are configurations that were made while no engine ran, so that nobody has looked at the carpdevs.
var offline = [][]string{
	{},
	{"vhid 1"},
	{"vhid 1", "vhid 1"}, // for the same carpdev, as will turn out
	{"vhid 1", "carpdev em1"},
}

func offlineMachine(t *testing.T, which int) *config.Machine {
	m := config.NewMachine()
	m.Sysctl.Log = int(Debug)
	for n, line := range offline[which] {
		ch := config.Change{Kind: config.ForInterface, Name: fmt.Sprint("carp", n)}
		for _, l := range []string{"create", line, fmt.Sprintf("alias 192.168.1.%d/24", 10+n)} {
			c, err := config.ParseLine(l)
			if err != nil {
				t.Fatal(err)
			}
			ch.Clauses = append(ch.Clauses, c)
		}
		p, err := m.Plan(ch, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Commit(p)
	}
	return m
}

func (d *decoder) clock() Clock {
	switch d.byte() % 8 {
	case 0:
		return Clock{} // not known
	case 1: // somebody has set it
		return Clock{Wall: int64(d.byte())<<33 | int64(d.byte())}
	}
	return Clock{Wall: d.wall + int64(d.now-1000*second)/1e6}
}

// event returns the next event for the engine, and lets time pass before.
func (d *decoder) event(e *Engine, sent *[]Sent) Event {
	what := d.byte()
	switch what >> 5 { // time passes: not at all, mostly
	case 1:
		d.now += Instant(d.byte()) * second / 256
	case 2:
		d.now += Instant(d.byte()) * second
	case 3:
		d.now += Instant(1) << (d.byte() % 50)
	case 4:
		if at := e.Deadline(); at > d.now {
			d.now = at - Instant(d.byte()%2)
		}
	}
	switch what % 16 {
	default:
		if at := e.Deadline(); at > d.now && what>>5 != 4 {
			d.now = at
		}
		return &Tick{d.clock()}
	case 1:
		return &Links{d.clock(), d.newLinks()}
	case 2, 3, 4:
		return &Configure{d.clock(), d.plan(e, d.interfaceChange())}
	case 5:
		return &Configure{d.clock(), d.plan(e, d.otherChange())}
	case 6, 7, 8, 9:
		return d.packet(e)
	case 10, 11: // how the oldest send ended, and often a good one
		if len(*sent) > 0 {
			ev := (*sent)[0]
			*sent = (*sent)[1:]
			ev.Clock, ev.Errno = d.clock(), pick(d, config.OK, config.EIO, config.ENOMEM, config.EIO)
			return &ev
		}
		return &Sent{d.clock(), pick(d, "carp9", ""), false, config.EIO}
	case 12:
		return &LinkMade{d.clock(), pick(d, "carp0", "carp1", "carp9"), d.byte()%2 == 1}
	case 14:
		return &Claimed{d.clock(), 2 + int(d.byte()%2), 1 + d.byte()%2, config.MAC{2}}
	case 15:
		return &Duplicate{d.clock(), 2 + int(d.byte()%2), pick(d, fuzzAddrs...).Addr(), config.MAC{2, 0, 0, 0, 0, d.byte() % 4}}
	case 13: // what was put into force last is taken back, or done again
		d.undo = d.byte()%2 == 1
		return &Configure{d.clock(), d.plan(e, d.change)}
	}
}

// newLinks returns what the host may have: two Ethernets, and one that can be no carpdev.
func (d *decoder) newLinks() []config.Link {
	d.links = nil
	if b := d.byte(); b&1 == 0 {
		l := em0(b >> 4)
		l.Up, l.Running = b&2 == 0, b&4 == 0
		if b&8 != 0 {
			l.Index, l.Addrs = 7, nil // another one, unnumbered
		}
		d.links = append(d.links, l)
	}
	if b := d.byte(); b&1 == 0 {
		l := config.Link{Index: 3, Name: "em1", MTU: 9000, Up: b&2 == 0, Running: b&4 == 0, Ethernet: true, Multicast: b&8 == 0,
			Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8"), netip.MustParsePrefix("fd00::1/64")}}
		d.links = append([]config.Link{l}, d.links...)
	}
	return append(d.links, config.Link{Index: 1, Name: "lo", Up: true, Running: true, Loopback: true,
		Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}})
}

var fuzzAddrs = []netip.Prefix{
	netip.MustParsePrefix("192.168.1.10/24"), netip.MustParsePrefix("192.168.1.11/32"), netip.MustParsePrefix("10.0.0.10/8"),
	netip.MustParsePrefix("172.16.0.1/16"), netip.MustParsePrefix("fd00::10/64"), netip.MustParsePrefix("224.0.0.1/4"),
	netip.MustParsePrefix("0.0.0.0/0"),
}

func (d *decoder) clause() config.Clause {
	c := config.Clause{Word: config.Word(d.byte() % byte(config.Holder+2))}
	switch c.Word {
	case config.VHID:
		c.N = 1 + int(d.byte()%4)
	case config.Advbase, config.Advskew:
		c.N = min(int(d.byte()), config.AdvbaseMax)
	case config.PassPhrase:
		c.Pass = pick(d, config.NewPass(""), config.NewPass("x"))
	case config.Carpdev:
		c.Text = pick(d, "em0", "em1", "lo", "carp1", "em9")
	case config.State:
		c.Text = pick(d, "master", "BACKUP", "init", "")
	case config.Description, config.Request:
		c.Text = string(d.bytes(1))
	case config.AddAddr, config.DelAddr:
		c.Addr = pick(d, fuzzAddrs...)
	case config.DelFirst, config.DropFirst, config.DropAll:
		c.Text = pick(d, "inet", "inet6")
	case config.Order:
		c.N = int(d.byte())
	case config.InGroup, config.LeaveGroup:
		c.Text = "lan"
	}
	return c
}

// interfaceChange returns a change of one of two interfaces; half of them are such that work.
func (d *decoder) interfaceChange() config.Change {
	ch := config.Change{Kind: config.ForInterface, Name: pick(d, "carp0", "carp0", "carp1", "em0")}
	if b := d.byte(); b&1 == 0 {
		ch.Clauses = []config.Clause{{Word: config.Need}, {Word: config.VHID, N: 1 + int(b>>1&1)}}
		ch.Clauses = append(ch.Clauses, config.Clause{Word: config.AddAddr, Addr: fuzzAddrs[b>>2&3]})
		ch.Clauses = append(ch.Clauses, config.Clause{Word: config.Advskew, N: int(b >> 4)})
	}
	for n := d.byte() % 4; n > 0; n-- {
		ch.Clauses = append(ch.Clauses, d.clause())
	}
	return ch
}

func (d *decoder) otherChange() config.Change {
	b := d.byte()
	if b&1 == 0 {
		return config.Change{Kind: config.ForGroup, Name: pick(d, "carp", "lan", "x"), Clauses: []config.Clause{
			{Word: pick(d, config.Demote, config.Undemote), N: int(d.byte() % 129)}}}
	}
	return config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{
		{Word: config.SetSysctl, Text: pick(d, "allow", "preempt", "log", "x", "replay", "demoteskew"), N: pick(d, 1, 0, 7, -1, 2)}}}
}

// plan asks as a server does; what is refused becomes a change of nothing.
func (d *decoder) plan(e *Engine, ch config.Change) config.Plan {
	d.change = ch
	p, err := e.Plan(ch)
	if err != nil {
		return config.Plan{Done: true}
	}
	if d.undo && ch.Kind == config.ForInterface {
		return p.Undo()
	}
	return p
}

// same returns the same event for another engine, which has a configuration of its own.
func (d *decoder) same(e *Engine, ev Event) Event {
	if c, ok := ev.(*Configure); ok {
		ev = &Configure{c.Clock, d.plan(e, d.change)}
		d.undo = false
	}
	return ev
}

// packet returns an advert of a peer, mostly of one with our key, and mostly whole; one of our own; or rubbish.
func (d *decoder) packet(e *Engine) Event {
	b := d.byte()
	clock := d.clock()
	p := peer{
		src: pick(d, "192.168.1.99", "192.168.1.1", "10.0.0.99", "192.168.1.3"), vhid: 1 + b&1, carpdev: 2 + int(b>>1&1),
		base: pick(d, byte(1), 0, 255, 2, 1), skew: pick(d, byte(0), 255, 1, 100), demote: pick(d, byte(0), 0, 1, 255),
		sealed: b&4 == 0, pass: pick(d, "", "x"), addrs: []string{pick(d, "192.168.1.10", "192.168.1.11", "10.0.0.10")},
	}
	if n := int(d.byte()); n%8 != 0 && len(e.ordered) > 0 {
		c := e.ordered[n%len(e.ordered)]
		p.vhid, p.carpdev, p.pass, p.addrs = c.cfg.VHID(), c.link.Index, c.cfg.Pass.Reveal(), []string{}
		for _, a := range c.cfg.Addrs {
			p.addrs = append(p.addrs, a.Addr().String())
		}
		if n&16 == 0 {
			own := e.claims(c.nodes[0])
			p.base, p.skew, p.demote = own.advbase, own.advskew, own.demote
		}
	}
	if b&64 != 0 {
		p.src, p.dst = pick(d, "fe80::99", "fe80::1", "2001:db8::9"), "ff02::12"
	}
	if d.byte()&1 == 0 { // often one that is new
		p.sealAt = e.clock.read(d.now) + lead + 4
	}
	pkt := p.packet()
	pkt.Clock = clock
	switch b >> 3 { // of 32
	case 0:
		pkt.Payload = d.bytes(int(d.byte()))
	case 1:
		if len(d.heard) > 0 {
			pkt.Payload = slices.Clone(d.heard[int(d.byte())%len(d.heard)])
		}
	case 2:
		pkt.TTL = int(d.byte())
	case 3:
		pkt.Dst = pick(d, netip.MustParseAddr("192.168.1.1"), netip.Addr{}, netip.MustParseAddr("ff02::12"))
	case 4:
		pkt.Payload[int(d.byte())%len(pkt.Payload)] ^= 1 << (d.byte() % 8)
	case 5:
		pkt.Carpdev, pkt.Src = int(d.byte())-1, netip.Addr{}
	case 6:
		pkt.Payload = append(pkt.Payload, d.bytes(3)...)
	}
	return pkt
}

// An inspector steps an engine and knows from its effects alone how things stand: what it says and what it does must agree.
type inspector struct {
	t     *testing.T
	d     *decoder
	e     *Engine
	text  string // the effects of the last step
	sent  []Sent // one for each advert and probe of the last step
	state map[string]State
	link  map[string]*Ensure // as last asked for
	stamp map[string]int64   // the time in the last counter of each carp
}

func newInspector(t *testing.T, m *config.Machine, d *decoder) *inspector {
	return &inspector{t: t, d: d, e: New(m, rand.NewPCG(1, 2), nil), state: map[string]State{}, link: map[string]*Ensure{}, stamp: map[string]int64{}}
}

func (i *inspector) step(now Instant, ev Event) []Effect {
	i.t.Helper()
	effects := i.e.Step(now, ev)
	var text bytes.Buffer
	i.sent = i.sent[:0]
	for _, f := range effects {
		i.effect(f, ev)
		if s, ok := f.(*SendAdvert); ok {
			fmt.Fprintf(&text, "%s %d %s %s %t %x\n", s.Carp, s.Carpdev, s.From, s.Dst, s.BowOut, s.Packet)
			continue
		}
		fmt.Fprintf(&text, "%T %+v\n", f, f)
	}
	i.text = text.String()
	i.machine(now, ev)
	return effects
}

// effect checks one effect, in its place.
func (i *inspector) effect(f Effect, ev Event) {
	i.t.Helper()
	switch f := f.(type) {
	case *SendAdvert:
		i.advert(f, ev)
	case *Ensure:
		if f.Carpdev == 0 || f.MAC[5] == 0 || f.MAC != config.VirtualMAC(f.MAC[5]) {
			i.t.Fatalf("a link without a carpdev or a MAC: %+v", f)
		}
		i.link[f.Carp] = f
	case *Remove:
		if i.link[f.Carp] == nil {
			i.t.Fatalf("%s: no link to remove", f.Carp)
		}
		delete(i.link, f.Carp)
	case *Announce:
		l := i.link[f.Carp]
		if l == nil || !l.Master || l.MAC != f.MAC || l.Carpdev != f.Carpdev || len(f.Addrs) == 0 {
			i.t.Fatalf("%+v announced, the link is %+v", f, l)
		}
		for _, a := range f.Addrs {
			if !slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
				i.t.Fatalf("%s: %s announced, the link has %v", f.Carp, a, l.Addrs)
			}
		}
	case *Claim:
		if l := i.link[f.Carp]; l == nil || !l.Master || l.Carpdev != f.Carpdev || f.VHID == 0 {
			i.t.Fatalf("%+v, the link is %+v", f, l)
		}
	case *Transition:
		l := i.link[f.Carp]
		if f.From != i.state[f.Carp] || f.From == f.To || f.Reason == "" || f.VHID == 0 {
			i.t.Fatalf("%+v from %s", f, i.state[f.Carp])
		}
		if (l != nil && l.Master) != (f.To == Master) || f.To != Init && l == nil {
			i.t.Fatalf("%+v with the link %+v", f, l)
		}
		i.state[f.Carp] = f.To
	case *Probe:
		if f.Carpdev == 0 {
			i.t.Fatalf("%+v", f)
		}
		i.sent = append(i.sent, Sent{Carp: f.Carp, IPv6: f.IPv6})
	case *Log:
		if f.Text == "" || f.Level < Alert || f.Level > Debug {
			i.t.Fatalf("%+v", f)
		}
	case *Publish, *PublishGroups, *Persist, *PersistGroups:
	default:
		i.t.Fatalf("unknown effect %T", f)
	}
}

// advert: a whole packet, later than the one before it, that says what the host decides by, and not from a backup.
func (i *inspector) advert(f *SendAdvert, ev Event) {
	i.t.Helper()
	header := wire.IPv4Header
	if f.Dst.Is6() {
		header = wire.IPv6Header
	}
	if len(f.Packet) != header+wire.Size || f.Dst.Is4() && wire.Checksum(f.Packet[:header]) != 0 || f.Carpdev == 0 || !f.Dst.IsMulticast() {
		i.t.Fatalf("bad packet %+v", f)
	}
	ad, err := wire.Parse(f.Packet[header:])
	at, sealed := ad.Sealed()
	if err != nil || !sealed || ad.Version != wire.Version || ad.VHID == 0 || f.From != config.VirtualMAC(ad.VHID) || ad.IsBowOut() != f.BowOut {
		i.t.Fatalf("bad advert %+v, %v", ad, err)
	}
	who := fmt.Sprint(f.Carp, ad.VHID)
	if at <= i.stamp[who] {
		i.t.Fatalf("%s: counter's time %d after %d", who, at, i.stamp[who])
	}
	i.stamp[who] = at
	l := i.link[f.Carp]
	if f.BowOut == (l != nil && l.Master) {
		i.t.Fatalf("advert %+v while the link is %+v", ad, l)
	}
	if f.BowOut {
		return
	}
	i.sent = append(i.sent, Sent{Carp: f.Carp, IPv6: f.Dst.Is6()})
	i.d.heard = append(i.d.heard, slices.Clone(f.Packet[header:]))
	switch ev.(type) {
	case *Tick, *Packet: // nothing changes on the way
		c := i.e.carps[f.Carp]
		if own := i.e.claims(c.nodes[0]); own != (terms{ad.Advbase, ad.Advskew, ad.Demote}) || !c.nodes[0].auth.Verify(&ad) {
			i.t.Fatalf("advert %+v, but it is %+v", ad, own)
		}
	}
}

// machine checks what must hold after every step.
func (i *inspector) machine(now Instant, ev Event) {
	i.t.Helper()
	if at := i.e.Deadline(); at != 0 && at <= now {
		i.t.Fatalf("after %T at %d the deadline is %d", ev, now, at)
	}
	if len(i.e.carps) != len(i.e.machine.Interfaces) || len(i.e.ordered) != len(i.e.carps) {
		i.t.Fatalf("%d configured, %d carps, %d in order", len(i.e.machine.Interfaces), len(i.e.carps), len(i.e.ordered))
	}
	reached, demotion := 0, i.e.machine.Groups["carp"].Demotion()
	for name, c := range i.e.carps {
		n, l, state := c.nodes[0], i.link[name], c.nodes[0].state
		link, exists := i.e.Link(c.cfg.Carpdev)
		should := c.cfg.Up && c.cfg.VHID() != 0 && len(c.cfg.Addrs) > 0 && exists && link.Usable() && !c.broken
		if _, ends := ev.(*Shutdown); ends {
			should = false
		}
		switch {
		case c.cfg != i.e.machine.Interfaces[name] || len(c.nodes) != 1 || !slices.Contains(i.e.ordered, c):
			i.t.Fatalf("%s is not what is configured", name)
		case should != c.running || c.running != (state != Init):
			i.t.Fatalf("%s: should run %t, runs %t, is %s", name, should, c.running, state)
		case state != i.state[name]:
			i.t.Fatalf("%s is %s, its events say %s", name, state, i.state[name])
		case (state == Master) != (l != nil && l.Master):
			i.t.Fatalf("%s is %s with the link %+v", name, state, l)
		case state != Init && (l.Carpdev != link.Index || l.MAC != c.cfg.Lladdr() || !slices.Equal(l.Addrs, c.cfg.Addrs)):
			i.t.Fatalf("%s: %+v has the link %+v", name, c.cfg, l)
		case (state == Init) != (n.deadline == 0):
			i.t.Fatalf("%s is %s, its deadline %d", name, state, n.deadline)
		case n.deadline != 0 && (n.slot < 0 || n.due > n.deadline):
			i.t.Fatalf("%s: its deadline %d would be missed: %d, slot %d", name, n.deadline, n.due, n.slot)
		case failing(c) != slices.Contains(i.e.failing, c) || failing(c) && state == Init:
			i.t.Fatalf("%s is %s: failing %+v", name, state, c.out)
		case (c.defence.due != 0) != slices.Contains(i.e.defending, c) || c.defence.due != 0 && state != Master:
			i.t.Fatalf("%s is %s: defence due %d", name, state, c.defence.due)
		case int(c.demotion) != min(i.e.GroupDemotion("carp")+i.e.lan(c), config.DemoteMax):
			i.t.Fatalf("%s: demotion %d of %d", name, c.demotion, i.e.GroupDemotion("carp"))
		case c.attached && n.vhid != 0 && i.e.byVHID[vhidOn{link.Index, n.vhid}] != n:
			i.t.Fatalf("%s: no advert reaches it", name)
		}
		if c.attached && n.vhid != 0 {
			reached++
		}
		if exists && !link.Usable() {
			demotion++
		}
		for _, o := range c.out {
			if o.failing {
				demotion++
			}
		}
	}
	if got := i.e.GroupDemotion("carp"); got != min(demotion, config.DemoteMax) {
		i.t.Fatalf("demotion %d, not %d", got, demotion)
	}
	if reached != len(i.e.byVHID) || len(i.e.timers) > len(i.e.carps) {
		i.t.Fatalf("%d vhids and %d timers for %d carps", len(i.e.byVHID), len(i.e.timers), reached)
	}
	for name := range i.link {
		if i.e.carps[name] == nil {
			i.t.Fatalf("%s is gone and has a link", name)
		}
	}
}

func failing(c *carp) bool { return c.out[inet].failing || c.out[inet6].failing }

// lan is what a carp's other group adds to its demotion.
func (e *Engine) lan(c *carp) int {
	if !c.inGroup("lan") {
		return 0
	}
	return e.GroupDemotion("lan")
}

// judge hands a packet over. One that is refused, at a moment when nothing else is due, changes counters alone.
func (i *inspector) judge(p *Packet, now Instant) {
	i.t.Helper()
	type all struct {
		state    State
		deadline Instant
		tie      tie
		rival    bool
		memory   Memory
	}
	snapshot := func() map[string]all {
		m := map[string]all{}
		for name, c := range i.e.carps {
			n := c.nodes[0]
			m[name] = all{n.state, n.deadline, n.tie, n.rival, *n.memory}
		}
		return m
	}
	due := i.e.Deadline() != 0 && i.e.Deadline() <= now
	stats, before, clock := i.e.Stats(), snapshot(), i.e.clock
	if p.Wall != 0 {
		clock.observe(now, p.Wall)
	}
	effects := i.step(now, p)
	after := i.e.Stats()
	packets := config.Ipackets
	if p.Dst.Is6() {
		packets = config.Ipackets6
	}
	if after[packets] != stats[packets]+1 {
		i.t.Fatalf("%d packets, %d before", after[packets], stats[packets])
	}
	stats[packets]++
	refusals := uint64(0)
	for c := config.Badif; c <= config.Badaddrs; c++ {
		refusals += after[c] - stats[c]
	}
	refusals += after[config.VRRP] - stats[config.VRRP]
	if i.e.machine.Sysctl.Allow == 0 {
		refusals++
	}
	if refusals > 1 {
		i.t.Fatalf("refused %d times", refusals)
	}
	if refusals == 0 {
		ad, err := wire.Parse(p.Payload)
		n := i.e.byVHID[vhidOn{p.Carpdev, ad.VHID}]
		if err != nil || p.TTL != wire.TTL || ad.Version != wire.Version || n == nil || !n.carp.running || !n.verify(&ad) && n.previous == nil {
			i.t.Fatalf("accepted: %+v, %+v, %v", p, ad, err)
		}
	}
	if refusals == 0 || due {
		return
	}
	if !reflect.DeepEqual(snapshot(), before) || i.e.clock != clock {
		i.t.Fatalf("a refused packet changes %+v to %+v", before, snapshot())
	}
	for _, f := range effects {
		if _, ok := f.(*Log); !ok {
			i.t.Fatalf("a refused packet: %T %+v", f, f)
		}
	}
}

// heals: once all is well again, no demotion of the engine's own stays behind at a carp that runs, and each of these is master.
func (i *inspector) heals(d *decoder) {
	i.t.Helper()
	d.data, d.undo = nil, false
	i.step(d.now, &Links{Links: append(d.newLinks(), config.Link{Index: 9, Name: "em9", Up: true, Running: true, Ethernet: true, Multicast: true})})
	for _, name := range i.e.Names() {
		i.step(d.now, &LinkMade{Carp: name})
		short := config.Change{Kind: config.ForInterface, Name: name, Clauses: []config.Clause{{Word: config.Advbase}, {Word: config.Advskew, N: 10}}}
		i.step(d.now, &Configure{Plan: d.plan(i.e, short)}) // so that nobody has to be waited for long
	}
	for n := 0; n < 1000 && i.e.Deadline() != 0 && !i.well(); n++ {
		d.now = i.e.Deadline()
		i.step(d.now, &Tick{})
		for todo := slices.Clone(i.sent); len(todo) > 0; todo = todo[1:] {
			ev := todo[0]
			i.step(d.now, &ev)
			todo = append(todo, i.sent...)
		}
	}
	if !i.well() {
		i.t.Fatalf("a host does not recover: %v, demotion %d, %d failing", i.state, i.e.Demotion("carp"), len(i.e.failing))
	}
}

func (i *inspector) well() bool {
	for _, c := range i.e.carps {
		if c.running && (failing(c) || c.suppressed || c.nodes[0].state != Master) {
			return false
		}
	}
	return true
}

// ends: after the end there is nothing left, and every master has said so.
func (i *inspector) ends(d *decoder) {
	i.t.Helper()
	masters := map[string]bool{}
	for name, s := range i.state {
		if s == Master {
			masters[name] = true
		}
	}
	for _, f := range i.step(d.now, &Shutdown{}) {
		if s, ok := f.(*SendAdvert); ok && s.BowOut { // one for each family
			delete(masters, s.Carp)
		}
	}
	if len(masters) != 0 || len(i.link) != 0 {
		i.t.Fatalf("masters that went without a word: %v, links left: %v", masters, i.link)
	}
}
