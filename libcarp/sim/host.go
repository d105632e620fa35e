package sim

import (
	"fmt"
	"net/netip"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

// A host is one of ours: an engine, and what carries out its effects as libcarp/loop does.
type host struct {
	w    *World
	id   int32
	plan *HostPlan

	machine *config.Machine
	engine  *engine.Engine
	up      bool
	gen     uint32 // of this life; what was asked for in another is void

	// The monotonic clock reads base + (time since epoch) · (1 + ppm/10⁶).
	epoch int64
	base  engine.Instant
	wall  int64 // what the wall clock is ahead of the monotonic one, in milliseconds

	tickGen uint32
	armed   engine.Instant // the deadline that the timer waits for; 0: none
	pending bool           // a tick is under way

	hands     []chore
	handsFree int64 // when the hands are done with what they have
	broken    []bool
	retrying  bool

	asleep  int
	keeps   bool // what arrives during this sleep waits
	backlog []int32
	chores  []func() // what was to be done meanwhile
	woken   engine.Instant

	// What faults did to it, counted, since they may overlap.
	downs, linkDown, linkGone, renumbered, flaky, noLinks, deaf int
	sendFails, probeFails                                       [2]int // over IPv4 and IPv6
	late                                                        int64  // how late a tick may be

	carps   []carp
	byVhost []int // place in carps, -1
	nodes   []engine.NodeView
	before  []engine.NodeView
	stats   config.Stats
	links   []config.Link
	manual  int // the demotion set by hand

	memories map[memoryKey]*engine.Memory // they outlive the engine
	kept     []engine.Kept                // what the next engine needs, by carp
	track    track
	saved    map[*Fault]snapshot
	frame    *frame // that is heard now

	outcome []engine.Sent
	packet  engine.Packet
	tickEv  engine.Tick
	sentEv  engine.Sent
}

// A carp is what the world knows of a carp interface, apart from the engine: for the checks.
type carp struct {
	vhost   int
	lan     int
	name    string
	base    uint8 // as configured
	skew    uint8
	answers bool           // the last Ensure
	reset   engine.Instant // when a master was heard last, or the wait began anew
	sent    engine.Instant // when the last advert was sent
	tie     tieCount

	failures, successes [2]int         // of sending over a family, in a row
	heard4              engine.Instant // when an advert over IPv4 was last accepted; 0: never
	flaps               int            // takeovers from a master that was heard, while adverts alone fail, since the last fault

	sentCounters
	recent    recent              // when adverts of ours were accepted
	delivered history             // counters of adverts, whatever became of them
	all       map[uint64]struct{} // of them, where there is an attacker
	lifts     []lift              // by station

	downs, strangers, extra int // counted faults: down, other pass phrase, other addresses

	told                                                  engine.State // while effects are checked
	ensured, quiet, advertised, called, gaveWay, bowedOut bool
}

func (w *World) addHost(p *HostPlan) {
	h := &host{w: w, id: int32(len(w.stations)), plan: p, machine: config.NewMachine(), base: engine.Instant(p.Uptime), wall: p.Wall, late: p.Late}
	h.byVhost = make([]int, len(w.vhosts))
	for n := range h.byVhost {
		h.byVhost[n] = -1
	}
	for n, c := range p.Carps {
		v := &w.scenario.VHosts[c.VHost]
		h.byVhost[c.VHost] = n
		h.carps = append(h.carps, carp{vhost: c.VHost, lan: v.LAN, name: fmt.Sprintf("carp%d", n), base: v.Advbase, skew: c.Advskew})
	}
	h.broken = make([]bool, len(h.carps))
	w.stations = append(w.stations, station{host: h})
	for n := range w.lans {
		w.lans[n].members = append(w.lans[n].members, h.id)
	}
	w.push(p.Boot, boot, h.id, 0, 0)
}

// local returns what the host's monotonic clock says.
func (h *host) local() engine.Instant {
	d := h.w.now - h.epoch
	return h.base + engine.Instant(d+d/1e6*h.plan.Drift+d%1e6*h.plan.Drift/1e6)
}

// when returns when the host's clock will say at.
func (h *host) when(at engine.Instant) int64 {
	d := int64(at - h.local())
	if d <= 0 {
		return h.w.now
	}
	return h.w.now + d/(1e6+h.plan.Drift)*1e6 + d%(1e6+h.plan.Drift)*1e6/(1e6+h.plan.Drift) + 2
}

func (h *host) clock() engine.Clock {
	return engine.Clock{Wall: max(h.wall+int64(h.local())/millisecond, 1)}
}

type memoryKey struct {
	carp string
	vhid uint8
}

func (h *host) memory(carp string, vhid uint8) *engine.Memory {
	if h.memories == nil {
		h.memories = map[memoryKey]*engine.Memory{}
	}
	key := memoryKey{carp, vhid}
	if h.memories[key] == nil {
		h.memories[key] = new(engine.Memory)
	}
	return h.memories[key]
}

// boot starts the engine; the first time it is configured too.
func (h *host) boot(first bool) {
	h.up = true
	h.gen++
	h.engine = engine.New(h.machine, newRandom(h.w.random.src.Uint64(), h.w.random.src.Uint64()).src, h.memory)
	h.armed, h.pending, h.hands, h.handsFree, h.outcome = 0, false, nil, 0, h.outcome[:0]
	h.tickGen++
	h.stats, h.woken, h.retrying = config.Stats{}, 0, false
	h.begins()
	for n := range h.carps {
		c := &h.carps[n]
		c.answers, c.reset, c.sent, h.broken[n] = false, h.local(), h.local(), false
		c.failures, c.successes, c.heard4 = [2]int{}, [2]int{}, 0
	}
	h.nodes = h.engine.Nodes(h.nodes[:0])
	h.feed(&engine.Links{Clock: h.clock(), Links: h.makeLinks()})
	if first {
		h.sysctl("replay", h.w.mischief.replay(h))
		if h.w.scenario.DemoteSkew {
			h.sysctl("demoteskew", 1)
		}
		if h.plan.Preempt {
			h.sysctl("preempt", 1)
		}
		for n := range h.carps {
			c := &h.carps[n]
			v := &h.w.scenario.VHosts[c.vhost]
			line := fmt.Sprintf("create carpdev em%d vhid %d advbase %d advskew %d pass %q", c.lan, v.VHID, c.base, c.skew, v.Pass)
			for _, a := range v.Addrs {
				line += " alias " + a.String()
			}
			h.configure(n, line)
		}
	}
	h.w.push(h.w.now+millisecond, watch, h.id, 0, h.gen)
}

// crash ends it without a word.
func (h *host) crash() {
	h.up = false
	h.gen++
	for _, i := range h.backlog {
		h.w.release(i)
	}
	h.backlog = h.backlog[:0]
	for n := range h.nodes {
		h.nodes[n].State, h.carps[n].answers = engine.Init, false
	}
}

// reboot sets the monotonic clock back and loses the memory, as a reboot does and a new process does not.
func (h *host) reboot() {
	wall := h.wall + int64(h.local())/millisecond
	h.epoch, h.base = h.w.now, engine.Instant(second)
	h.wall = wall - int64(h.base)/millisecond
	h.forgets()
}

// makeLinks returns the host's interfaces: em0 on the first LAN, and so on.
func (h *host) makeLinks() []config.Link {
	h.links = h.links[:0]
	for n := range h.w.lans {
		if n == h.plan.FlapLAN && h.linkGone > 0 {
			continue
		}
		l := config.Link{
			Index: n + 2, Name: fmt.Sprintf("em%d", n), MAC: config.MAC{2, 0, 0, 0, byte(n), byte(h.id)}, MTU: 1500, Ethernet: true, Multicast: true,
			Up: true, Running: n != h.plan.FlapLAN || h.linkDown == 0,
		}
		if !h.plan.Unnumbered {
			addr := h.plan.Addr
			if n == h.plan.FlapLAN && h.renumbered > 0 {
				addr[3] ^= 0x80
			}
			l.Addrs = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), addr[2], addr[3]}), 16), netip.PrefixFrom(linkLocal(addr), 64)}
		}
		h.links = append(h.links, l)
	}
	return slices.Clone(h.links)
}

// linkLocal is a station's IPv6 address on every LAN. Its order among others is not that of the IPv4 address.
func linkLocal(addr [4]byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 14: addr[3] ^ 0x55, 15: addr[2]})
}

// relink tells the engine of the interfaces as they are now.
func (h *host) relink() {
	h.do(func() {
		links := h.makeLinks()
		if h.up {
			h.feed(&engine.Links{Clock: h.clock(), Links: links})
		}
	})
}

// do does something now, or once the host wakes.
func (h *host) do(f func()) {
	if h.asleep > 0 {
		h.chores = append(h.chores, f)
		return
	}
	f()
}

// configure changes a carp as ifconfig(8) would ask for it: "advskew 20 alias 10.0.0.1/24".
func (h *host) configure(n int, line string) {
	fields, err := config.Fields(line)
	if err != nil {
		h.w.fail("configuration", "%s: %v", line, err)
		return
	}
	ch := config.Change{Kind: config.ForInterface, Name: h.carps[n].name}
	for len(fields) > 0 {
		_, hasArg, _ := config.Lookup(fields[0])
		args := 1
		if hasArg {
			args = 2
		}
		c, err := config.ParseClause(fields[0], fields[1:args]...)
		if err != nil {
			h.w.fail("configuration", "%s: %v", line, err)
			return
		}
		ch.Clauses, fields = append(ch.Clauses, c), fields[args:]
	}
	h.change(ch)
}

func (h *host) sysctl(name string, value int) {
	h.change(config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: name, N: value}}})
}

func (h *host) demote(word config.Word, n int) {
	h.change(config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: word, N: n}}})
}

// change puts a change into force, or into the stored configuration while the host is down.
func (h *host) change(ch config.Change) {
	var env config.Env
	if h.up {
		env = h.engine
	}
	p, err := h.machine.Plan(ch, env)
	if err != nil {
		h.w.fail("configuration", "host %d: %s: %v", h.id, ch.Name, err)
		return
	}
	if !h.up {
		h.machine.Commit(p)
		return
	}
	h.feed(&engine.Configure{Clock: h.clock(), Plan: p})
}

// keep is what loop does with its record.
func (h *host) keep(k *engine.Kept) {
	for len(h.kept) < len(h.carps) {
		h.kept = append(h.kept, engine.Kept{})
	}
	h.kept[carpOf(k.Carp)] = *k
}

// succeed lets another engine go on where this one has ended: nobody moves, unless it took too long.
func (h *host) succeed() {
	ev := &engine.Resume{Clock: h.clock(), Links: h.makeLinks()}
	for _, k := range h.kept {
		if k.State != engine.Init {
			ev.Nodes = append(ev.Nodes, k)
		}
	}
	now, was := h.local(), slices.Clone(h.nodes)
	h.gen++ // the hands die too
	h.engine = engine.New(h.machine, newRandom(h.w.random.src.Uint64(), h.w.random.src.Uint64()).src, h.memory)
	h.armed, h.pending, h.hands, h.handsFree, h.outcome = 0, false, nil, 0, h.outcome[:0]
	h.tickGen++
	h.stats, h.retrying = config.Stats{}, false
	h.begins()
	for n := range was {
		c := &h.carps[n]
		h.broken[n], c.failures, c.successes = false, [2]int{}, [2]int{}
		c.reset = max(c.reset, now-engine.Instant(claimOf(&was[n]).interval())) // it was deaf
	}
	h.feed(ev)
	h.goesOn(now, was)
	h.w.push(h.w.now+millisecond, watch, h.id, 0, h.gen)
	for n := range h.carps {
		c := &h.carps[n]
		if c.answers != (h.nodes[n].State == engine.Master) {
			h.w.fail("who goes on answers", "host %d %s: %v, answers %v", h.id, c.name, h.nodes[n].State, c.answers)
		}
		if h.nodes[n].State != engine.Master { // who goes on knows of ties what the other knew
			c.tie = tieCount{}
		}
	}
}

// arrive takes a frame in.
func (h *host) arrive(i int32) {
	switch {
	case !h.up || h.asleep > 0 && (!h.keeps || len(h.backlog) >= 64) || Deafened.on(h):
		h.w.release(i)
	case h.asleep > 0:
		h.backlog = append(h.backlog, i)
	default:
		h.hear(i)
	}
}

func (h *host) hear(i int32) {
	f := &h.w.frames[i]
	p := &h.packet
	p.Clock, p.Carpdev = h.clock(), f.lan+2
	p.Src, p.TTL, p.Payload = f.parts()
	p.Dst = wire.GroupIPv4
	if f.six() {
		p.Dst = wire.GroupIPv6
	}
	h.frame = f
	h.feed(p)
	h.frame = nil
	h.w.release(i)
}

func (h *host) tick(gen uint32) {
	if gen != h.tickGen || !h.up {
		return
	}
	h.pending = false
	if h.asleep > 0 {
		return // waking looks at the deadlines
	}
	h.w.Events++
	h.tickEv.Clock = h.clock()
	h.feed(&h.tickEv)
}

// feed gives the engine an event, carries out what it asks for, and sets the timer.
func (h *host) feed(ev engine.Event) {
	h.step(ev)
	for len(h.outcome) > 0 && h.up {
		h.sentEv = h.outcome[0]
		h.outcome = h.outcome[:copy(h.outcome, h.outcome[1:])]
		h.sentEv.Clock = h.clock()
		h.w.Events++
		h.step(&h.sentEv)
	}
	h.arm()
}

func (h *host) step(ev engine.Event) {
	now := h.local()
	h.tell()
	var effects []engine.Effect
	if h.w.mischief == Honest {
		effects = h.engine.Step(now, ev)
	} else {
		effects = h.w.mischief.step(h, now, ev)
	}
	h.engine.Changes(h.keep)
	h.before, h.nodes = h.nodes, h.engine.Nodes(h.before[:0])
	h.check(now, ev, effects)
	for _, f := range effects {
		h.carryOut(f)
	}
}

// arm sets the timer to the engine's deadline, and some time after that: timers are late.
func (h *host) arm() {
	deadline := h.engine.Deadline()
	if h.pending && deadline == h.armed || !h.up {
		return
	}
	h.tickGen++
	h.pending, h.armed = deadline != 0, deadline
	if deadline == 0 {
		return
	}
	if at := h.w.mischief.ring(h, h.when(deadline)+h.w.random.below(h.late+1)); at != 0 {
		h.w.push(at, tick, h.id, 0, h.tickGen)
	}
}

// rearm draws a new lateness.
func (h *host) rearm() {
	if h.up && h.asleep == 0 {
		h.pending = false
		h.arm()
	}
}

// carpOf returns the place of a carp: its name's number.
func carpOf(name string) int {
	n := 0
	for _, d := range name[len("carp"):] {
		n = n*10 + int(d-'0')
	}
	return n
}

// carryOut does what loop does.
func (h *host) carryOut(f engine.Effect) {
	switch f := f.(type) {
	case *engine.SendAdvert:
		n := carpOf(f.Carp)
		if f.BowOut {
			h.chore(chore{carp: n, lan: f.Carpdev - 2, packet: slices.Clone(f.Packet)})
			return
		}
		errno, family := config.OK, familyOf(f.Packet)
		switch {
		case h.sendFails[family] > 0:
			errno = config.ENOMEM
		case h.flaky > 0 && h.w.random.chance(50):
			errno = config.EIO
		}
		h.outcome = append(h.outcome, engine.Sent{Carp: f.Carp, IPv6: family == 1, Errno: errno})
		if errno == config.OK {
			h.w.transmit(h.id, &h.w.lans[f.Carpdev-2], f.Packet)
		}
	case *engine.Probe:
		errno, family := config.OK, 0
		if f.IPv6 {
			family = 1
		}
		if h.probeFails[family] > 0 || h.flaky > 0 && h.w.random.chance(50) {
			errno = config.EIO
		}
		h.outcome = append(h.outcome, engine.Sent{Carp: f.Carp, IPv6: f.IPv6, Errno: errno})
	case *engine.Ensure:
		h.chore(chore{carp: carpOf(f.Carp), link: true})
	case *engine.Transition:
		n := carpOf(f.Carp)
		h.w.mix(uint64(h.id)<<16 | uint64(n)<<8 | uint64(f.To))
		if h.w.Trace != nil {
			h.w.tracef("host %d %s vhid %d: %s -> %s (%s)", h.id, f.Carp, f.VHID, f.From, f.To, f.Reason)
		}
		h.w.changed(h.carps[n].vhost, h.id, f.From, f.To)
	case *engine.PublishGroups:
		h.w.disturbed() // another demotion: another master may be due
	}
}

// sleep: the whole host, or the engine's process. What arrives meanwhile waits in the socket, or is not heard.
func (h *host) sleep(keeps bool) {
	if h.asleep++; h.asleep == 1 {
		h.keeps = keeps
	}
}

// wake: first what waited, or first the timer, as it comes.
func (h *host) wake() {
	if h.asleep--; h.asleep > 0 {
		return
	}
	if h.up {
		h.woken = h.local()
		if h.w.random.chance(50) {
			h.tickEv.Clock = h.clock()
			h.feed(&h.tickEv)
		}
		for _, i := range h.backlog {
			h.hear(i)
		}
		h.backlog = h.backlog[:0]
	}
	for len(h.chores) > 0 {
		f := h.chores[0]
		h.chores = h.chores[1:]
		f()
	}
	h.rearm()
}

// familyOf returns 0 for a packet of IPv4, 1 for one of IPv6.
func familyOf(packet []byte) int {
	if packet[0]>>4 == 6 {
		return 1
	}
	return 0
}

// sends reports whether a carp's adverts come out over one family at least.
func (h *host) sends(n int) bool {
	v := &h.w.scenario.VHosts[h.carps[n].vhost]
	return v.has(0) && h.sendFails[0] == 0 || v.has(1) && h.sendFails[1] == 0
}

// takesPart reports whether the host takes part: others hear it and it hears them.
func (h *host) takesPart(n int) bool {
	return h.up && h.asleep == 0 && h.sends(n) && h.machine.Sysctl.Allow != 0 && h.nodes[n].State != engine.Init
}
