package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// Random is where the engine's randomness comes from; math/rand/v2's sources have this form.
type Random interface{ Uint64() uint64 }

// An Engine is every virtual host of one machine. It is not safe for concurrent use.
type Engine struct {
	// Verbose makes it log everything, whatever net.inet.carp.log says.
	Verbose bool

	machine *config.Machine
	random  Random
	clock   hybridClock

	links   []config.Link // sorted by index
	carps   map[string]*carp
	ordered []*carp // by creation: effects have the same order on every run
	byVHID  map[vhidOn]*node
	timers  timers
	failing []*carp // those that cannot send over one family or the other
	// defending are those whose addresses a stranger has claimed not long ago.
	defending []*carp
	memory    func(carp string, vhid uint8) *Memory
	seq       int

	stats   config.Stats
	effects []Effect
	adverts []*SendAdvert // reused by every Step
	used    int
	kept    Kept // reused by Changes
	// Of this Step:
	touched   []*node  // of which something is to be kept
	counted   []*carp  // whose counters are others now
	worse     []string // groups that were demoted
	regrouped bool     // that is to be published already
}

// A vhidOn finds the node that an advert is for.
type vhidOn struct {
	carpdev int
	vhid    uint8
}

// A carp is one carp interface.
type carp struct {
	cfg        *config.Interface
	link       config.Link // of the carpdev, while attached
	attached   bool        // the carpdev exists
	missed     bool        // that it does not was told
	suppressed bool        // it exists and has lost its link: the host is demoted
	running    bool
	own        bool // its MAC is the carpdev's own, and follows that
	ensured    bool // a link was asked for
	broken     bool // and could not be made
	nodes      []*node
	demotion   uint8 // the sum over its groups; see recount
	stats      config.Stats
	counted    bool   // it is in Engine.counted
	digested   uint64 // see digest; 0: not made yet

	out  [families]sending
	seen [families]Peer // whose advert was accepted last

	sources  sourceLog
	vrrpLog  Instant // when a VRRP router with our virtual MAC was last named
	baseSeen bool    // the one message about another advbase was made
	defence  defence
}

// A family is that of an advert.
type family uint8

const (
	inet family = iota
	inet6
	families
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return inet
	}
	return inet6
}

// has reports whether the carp has an address of the family, and so sends and waits for adverts over it. A link-local one counts,
// as on OpenBSD of today (ip_carp.c: carp_addr_updated).
func (c *carp) has(f family) bool {
	for _, p := range c.cfg.Addrs {
		if familyOf(p.Addr()) == f {
			return true
		}
	}
	return false
}

// A node is one virtual host of a carp.
type node struct {
	carp    *carp
	vhid    uint8
	advskew uint8
	state   State

	deadline Instant // of what the state waits for; 0: nothing
	due      Instant // where it stands in timers, at most deadline
	slot     int     // in timers, -1: not there
	seq      int

	auth     *wire.Auth
	authLL   []*wire.Auth // with link-local addresses, where there are any
	previous []oldAuth    // of the lists of addresses that a peer may still use

	late     Instant // by how much the timer that is fed now has run late
	deferred bool    // a late timer was given more time already

	memory   *Memory
	restored bool // the clock was raised to the memory's newest time

	heard    Instant // when an advert over IPv4 was last accepted
	accepted Instant // when an advert was last accepted, of whichever family
	others   bool    // an advert of other software was accepted
	arrived  Instant // when an advert of anybody's last arrived, whether accepted or not
	unheard  bool    // another master, whose adverts do not arrive, was told of
	tie      tie
	rival    bool             // another master was heard: announce with the next advert
	garp     int              // adverts until the second gratuitous ARP; 0: none is due
	prepared [families]uint64 // counters of the bow-outs that the last adverts came with
	touched  bool             // it is in Engine.touched
}

// An oldAuth is the HMAC over a list of addresses that was replaced.
type oldAuth struct {
	auth  *wire.Auth
	until Instant
}

// New returns an engine for the configuration. Its interfaces come to life with the first event, [Links] or [Resume]. memory returns where a
// virtual host keeps the counters that it must remember; when it is nil, they live as long as the engine.
func New(m *config.Machine, random Random, memory func(carp string, vhid uint8) *Memory) *Engine {
	if memory == nil {
		memory = func(string, uint8) *Memory { return new(Memory) }
	}
	e := &Engine{machine: m, random: random, memory: memory, carps: map[string]*carp{}, byVHID: map[vhidOn]*node{}}
	for _, i := range m.Sorted() {
		e.add(i)
	}
	return e
}

// Deadline returns when the engine wants a Tick, at the latest; 0: not before something else happens.
func (e *Engine) Deadline() Instant {
	at := e.nextProbe()
	if d := e.nextDefence(); d != 0 && (at == 0 || d < at) {
		at = d
	}
	if len(e.timers) > 0 && (at == 0 || e.timers[0].due < at) {
		at = e.timers[0].due
	}
	return at
}

// Step tells the engine what happened and returns what has to be done, in this order. The effects are valid until the next Step.
func (e *Engine) Step(now Instant, ev Event) []Effect {
	e.effects, e.used = e.effects[:0], 0
	e.worse, e.regrouped = e.worse[:0], false
	e.untouch()
	if wall := ev.wall(); wall != 0 {
		e.clock.observe(now, wall)
	}
	e.giveWay(now)
	switch ev := ev.(type) {
	case *Packet:
		e.receive(now, ev)
	case *Foreign:
		e.foreign(ev)
	case *Claimed:
		e.claimed(now, ev)
	case *Duplicate:
		e.duplicate(now, ev)
	case *Tick:
	case *Sent:
		e.sentAdvert(now, ev)
	case *Links:
		e.setLinks(now, ev.Links)
	case *Resume:
		e.resume(now, ev)
	case *Configure:
		e.configure(now, &ev.Plan)
	case *LinkMade:
		e.linkMade(now, ev)
	case *Shutdown:
		e.shutdown(now)
	default:
		panic(fmt.Sprintf("engine: unknown event %T", ev))
	}
	e.tellWorse(now)
	e.expire(now)
	e.probe(now)
	e.defend(now)
	return e.effects
}

// giveWay makes a master that slept a backup, before anything lets it advertise or announce: it is more than two intervals since its last
// advert, and the peers are about to take over or have done so.
func (e *Engine) giveWay(now Instant) {
	if len(e.timers) == 0 || e.timers[0].due > now {
		return
	}
	for _, c := range e.ordered {
		for _, n := range c.nodes {
			if e.overslept(n, now) {
				e.feed(n, late, now, reasonLate)
			}
		}
	}
}

// overslept reports whether a node is a master whose next advert is more than an interval late.
func (e *Engine) overslept(n *node, now Instant) bool {
	return n.state == Master && now-n.deadline > e.interval(n)
}

// expire feeds the deadlines that have come.
func (e *Engine) expire(now Instant) {
	for {
		n, deadline := e.timers.next(now)
		if n == nil {
			return
		}
		in, reason := timer, reasonTimeout
		n.late = now - deadline
		if n.state == Backup && n.late > tolerance && !n.deferred {
			// We slept: what the master said meanwhile may wait in a queue, or could not be heard.
			in, reason = late, reasonLate
		}
		e.feed(n, in, now, reason)
	}
}

func (e *Engine) emit(f Effect) { e.effects = append(e.effects, f) }

func (e *Engine) logf(level Level, format string, args ...any) {
	if e.Verbose || e.machine.Sysctl.Log >= int(level) {
		e.emit(&Log{Level: level, Text: fmt.Sprintf(format, args...)})
	}
}

func (e *Engine) publish(c *carp) { e.emit(&Publish{Carp: c.cfg.Name}) }

// interval returns the time between two adverts: advbase + advskew/256 s, 1/256 s when both are 0 (ip_carp.c: carp_setrun).
func (e *Engine) interval(n *node) Instant {
	return Instant(max(e.claims(n).speed(), 1)) * second / 256
}

// armMasterDown makes a BACKUP wait three intervals, from now, for a master of either family: NetBSD sends none over IPv6, and a backup
// with a timer for each would flap beside it.
func (e *Engine) armMasterDown(n *node, now Instant) {
	n.deferred = false
	e.timers.arm(n, now+3*e.interval(n))
}

// tolerance is how late a BACKUP's timer may run on a busy machine before it means that the host, or this process, has slept.
const tolerance = 20 * second / 1000

// deferTakeover gives the master as much more time to be heard as we were late, at most an interval, and once only: a machine whose timers
// are always late has to take over too.
func (e *Engine) deferTakeover(n *node, now Instant) {
	n.deferred = true
	e.timers.arm(n, now+min(n.late, e.interval(n)))
}

func (e *Engine) disarm(n *node, _ Instant) { n.deadline = 0 }

// oddTimer logs, in the kernel's words, a timer that should not run in INIT.
func (e *Engine) oddTimer(n *node, _ Instant) {
	e.logf(Debug, "%s: master_down event in INIT state", n.carp.cfg.Name)
}

// garpAfter is how many adverts later a master announces once more.
const garpAfter = 2

// locktime is how long a Linux client keeps a MAC that it has just learnt before it accepts another (arp(7): locktime, 1 s), and a little more.
const locktime = Instant(1100e6)

// garps returns how many adverts later a master announces for the last time. With the carpdev's own MAC every fail-over gives clients another
// MAC to learn: after two fail-overs within a second a client may have refused the earlier announcements, so the last waits for locktime.
func (e *Engine) garps(n *node) int {
	if n.carp.own {
		return max(garpAfter, int(locktime/e.interval(n))+1)
	}
	return garpAfter
}

// masterDown makes the node master: an advert at once, then the announcement, which is repeated after two more adverts for switches
// that look at layer 3 (ip_carp.c: carp_master_down, sc_delayed_arp).
func (e *Engine) masterDown(n *node, now Instant) {
	e.count(n.carp, config.Preempt)
	e.sendAdvert(n, now, false)
	e.announce(n)
	n.garp = e.garps(n)
	e.timers.arm(n, now+e.interval(n))
}

// advertise is what a MASTER's timer does.
func (e *Engine) advertise(n *node, now Instant) {
	e.sendAdvert(n, now, false)
	second, last := n.garp != 0 && n.garp == e.garps(n)-garpAfter+1, n.garp == 1
	n.garp = max(n.garp-1, 0)
	if second || last || n.rival {
		n.rival = false
		e.announce(n)
	}
	if second {
		e.claim(n)
	}
	e.timers.arm(n, now+e.interval(n))
}

// heardRival remembers that another host answered for the address a moment ago. The next advert comes with an announcement, so that clients
// and switches learn who is master.
func (e *Engine) heardRival(n *node, _ Instant) { n.rival = true }

// announce tells the network of all the carp's addresses. Only the first virtual host does so, since they are at its MAC.
func (e *Engine) announce(n *node) {
	c := n.carp
	if n != c.nodes[0] {
		return
	}
	addrs := make([]netip.Addr, 0, len(c.cfg.Addrs))
	for _, p := range c.cfg.Addrs {
		addrs = append(addrs, p.Addr())
	}
	e.emit(&Announce{Carp: c.cfg.Name, Carpdev: c.link.Index, MAC: c.cfg.Lladdr(), Addrs: addrs})
}

// ensure asks for the carp's link as it has to be now.
func (e *Engine) ensure(c *carp) {
	if !c.attached || c.cfg.VHID() == 0 {
		return
	}
	c.ensured = true
	vhids := make([]uint8, len(c.nodes))
	for i, n := range c.nodes {
		vhids[i] = n.vhid
	}
	e.emit(&Ensure{
		Carp: c.cfg.Name, Carpdev: c.link.Index, MAC: c.cfg.Lladdr(), Own: c.own, VHIDs: vhids, Addrs: slices.Clone(c.cfg.Addrs), Peers: c.peers(),
		Master: c.nodes[0].state == Master,
	})
}

// remove takes the carp's link away.
func (e *Engine) remove(c *carp) {
	if c.ensured {
		c.ensured = false
		e.emit(&Remove{Carp: c.cfg.Name})
	}
}

// halt makes every node INIT. With bowOut those that were master say so: a peer that hears it takes over at once. OpenBSD says so only on
// `down`; we do whenever a master gives up its address by command, which saves clients three intervals.
func (e *Engine) halt(c *carp, now Instant, reason string, bowOut bool) {
	c.running = false
	for f := range c.out { // nothing can be found out in INIT; as a master it will see
		if c.out[f].failing {
			defer e.recover(c, family(f), now)
		}
	}
	for _, n := range c.nodes {
		wasMaster := n.state == Master
		e.feed(n, halt, now, reason)
		if wasMaster && bowOut {
			e.sendAdvert(n, now, true)
		}
	}
}

// settle starts or stops a carp as its configuration and its carpdev demand (ip_carp.c: carp_setrun).
func (e *Engine) settle(c *carp, now Instant, reason string) {
	should := c.cfg.Up && c.cfg.VHID() != 0 && len(c.cfg.Addrs) > 0 && c.attached && !c.suppressed && !c.broken
	switch {
	case should && !c.running:
		c.running = true
		for _, n := range c.nodes {
			e.feed(n, run, now, reasonRun)
		}
	case !should && c.running:
		e.halt(c, now, reason, false)
	}
}

// shutdown lets every master bow out and removes every link, so that nobody answers for an address that nobody watches.
func (e *Engine) shutdown(now Instant) {
	for _, c := range e.ordered {
		e.halt(c, now, reasonShutdown, true)
	}
	for _, c := range e.ordered {
		e.remove(c)
		e.publish(c)
	}
}

func utoa(n uint8) string { return strconv.Itoa(int(n)) }

// A sourceLog remembers who was named for what, so that each source is named once a minute, and a flood of sources costs nothing but the
// memory here.
type sourceLog [8]struct {
	src  netip.Addr
	what string
	at   Instant
}

const sourceLogEvery = 60 * second

// allow reports whether src may be logged now. When every place is taken by a source of the last minute, nobody else is.
func (l *sourceLog) allow(src netip.Addr, what string, now Instant) bool {
	free := -1
	for i := range l {
		switch {
		case l[i].at == 0 || now-l[i].at >= sourceLogEvery:
			free = i
		case l[i].src == src && l[i].what == what:
			return false
		}
	}
	if free < 0 {
		return false
	}
	l[free].src, l[free].what, l[free].at = src, what, now
	return true
}
