package sim

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

// What one host must do at each step: OpenBSD's rules and our choices, as carp(4) has them, written down a second time.

// slowed is the slowest claim that a timer of a host with c may have been set by: with net.inet.carp.demoteskew a demotion makes a host slower, and
// its end does not move a timer.
func (h *host) slowed(c claim) claim {
	if h.w.scenario.DemoteSkew {
		c.skew = max(c.skew, 240)
	}
	return c
}

func claimOf(n *engine.NodeView) claim { return claim{n.Advbase, n.Advskew, n.Demote} }

// source is where the adverts of a carp come from: the carpdev's first address, else its own first.
func (h *host) source(c *carp, six bool) netip.Addr {
	for n := range h.links {
		if h.links[n].Index == c.lan+2 {
			for _, a := range h.links[n].Addrs {
				if a.Addr().Is6() == six {
					return a.Addr()
				}
			}
		}
	}
	for _, a := range h.w.scenario.VHosts[c.vhost].Addrs {
		if a.Addr().Is6() == six {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// check compares what a step did with what it had to do.
func (h *host) check(now engine.Instant, ev engine.Event, effects []engine.Effect) {
	heard := advert{node: -1}
	switch ev := ev.(type) {
	case *engine.Packet:
		var ok bool
		if heard, ok = h.received(now, ev, effects); !ok {
			return
		}
	case *engine.Sent:
		family := 0
		if ev.IPv6 {
			family = 1
		}
		h.outcomes(carpOf(ev.Carp), family, ev.Errno == config.OK)
	case *engine.Configure:
		h.learn(now, &ev.Plan.Change)
	case *engine.Links, *engine.Resume:
		h.linked()
	}
	h.order(effects)
	for n := range h.nodes {
		if heard.node == n {
			h.obeyed(now, n, heard.must, heard.claim)
		} else if h.nodes[n].State != h.before[n].State {
			h.explain(now, n, ev)
		}
		h.changed(now, n)
		h.demoted(n, ev)
		h.advertised(now, n, ev)
		h.truthful(n)
	}
}

// An advert is one that was accepted.
type advert struct {
	node  int // that it is for; -1: none was accepted
	claim claim
	must  engine.State // what it demands of the node
}

// received judges whether a packet was to be accepted; false: it was wrongly.
func (h *host) received(now engine.Instant, p *engine.Packet, effects []engine.Effect) (heard advert, ok bool) {
	stats := h.engine.Stats()
	refused := isRefused(&h.stats, &stats) || h.machine.Sysctl.Allow == 0
	h.sealed(p, &h.stats, &stats, !refused)
	h.stats = stats
	if refused {
		h.unchanged(now, effects)
		if !h.frame.attack && h.frame.from != h.id && h.coincides(p) {
			h.w.coincident++
			h.w.disturbed()
		}
		return advert{node: -1}, true
	}
	h.w.accepted++
	n := h.w.carpFor(h, p.Carpdev-2, p.Payload[1])
	if n < 0 {
		h.w.fail("acceptance", "host %d accepted an advert for vhid %d", h.id, p.Payload[1])
		return heard, false
	}
	if h.coincides(p) || p.TTL != wire.TTL {
		h.w.fail("acceptance", "host %d accepted an advert with TTL %d, its own counter %t", h.id, p.TTL, h.coincides(p))
	}
	said := claim{p.Payload[5], p.Payload[2], p.Payload[4]}
	return advert{n, said, h.demands(now, n, said, p)}, true
}

// changed: a master that slept is none any more, and with another state other waits begin.
func (h *host) changed(now engine.Instant, n int) {
	b, a, c := &h.before[n], &h.nodes[n], &h.carps[n]
	if overslept(b, now) && c.told == engine.Master && !c.gaveWay {
		h.w.fail("a master that slept gives way", "host %d %s: advertised at %d, due again at %d, and MASTER at %d", h.id, c.name, c.sent, b.Deadline, now)
	}
	if a.State != b.State {
		c.tie = tieCount{}
		if a.State == engine.Backup {
			c.reset = now
		}
	}
}

// demoted: only what was sent ends a demotion for what could not be, and what demotes shows in advskew as far as it has to.
func (h *host) demoted(n int, ev engine.Event) {
	b, a, c := &h.before[n], &h.nodes[n], &h.carps[n]
	for f := range a.Failing {
		if _, sent := ev.(*engine.Sent); b.Failing[f] && !a.Failing[f] && !sent {
			c.failures[f] = 0
			if a.State != engine.Init { // there nothing can be found out
				h.w.fail("demotion", "host %d %s: has ceased to fail by %T", h.id, c.name, ev)
			}
		}
	}
	if skew := h.slowed(claim{a.Advbase, c.skew, a.Demote}).skew; a.Demote > 0 && a.Advskew != skew || a.Demote == 0 && a.Advskew != c.skew {
		h.w.fail("demoteskew", "host %d %s: advskew %d, demoted by %d: says %d", h.id, c.name, c.skew, a.Demote, a.Advskew)
	}
	if a.State == engine.Init && a.Failing != [2]bool{} {
		h.w.fail("every cause of demotion can be undone", "host %d %s: demotes the host in INIT, where nothing can be found out", h.id, c.name)
	}
}

// advertised: a master says at once what others have to know, and is not made to wait.
func (h *host) advertised(now engine.Instant, n int, ev engine.Event) {
	b, a, c := &h.before[n], &h.nodes[n], &h.carps[n]
	if b.State != engine.Master {
		return
	}
	silent := a.State == engine.Master && !c.gaveWay && !c.advertised
	if _, configured := ev.(*engine.Configure); configured && silent && a.Deadline > b.Deadline {
		h.w.fail("no change puts an advert off", "host %d %s: from %d to %d", h.id, c.name, b.Deadline, a.Deadline)
	}
	if silent && a.Demote > b.Demote {
		h.w.fail("a demoted master says so at once", "host %d %s: from %d to %d", h.id, c.name, b.Demote, a.Demote)
	}
	if a.State == engine.Init && !c.bowedOut && !overslept(b, now) {
		_, linked := ev.(*engine.Links)
		_, resumed := ev.(*engine.Resume)
		if !linked && !(resumed && !h.usable(n)) { // there nothing can be sent
			h.w.fail("who gives up by command bows out", "host %d %s: %T", h.id, c.name, ev)
		}
	}
}

// truthful: what the effects have told is what the node is.
func (h *host) truthful(n int) {
	a, c := &h.nodes[n], &h.carps[n]
	if c.told != a.State {
		h.w.fail("effects", "host %d %s: told %v, is %v", h.id, c.name, c.told, a.State)
	}
	if c.answers != (a.State == engine.Master) {
		h.w.fail("effects", "host %d %s: %v, answers %v", h.id, c.name, a.State, c.answers)
	}
}

// overslept: a master whose timer is more than an interval late, more than two after its last advert: others have likely taken over.
func overslept(b *engine.NodeView, now engine.Instant) bool {
	return b.State == engine.Master && b.Deadline != 0 && int64(now-b.Deadline) > claimOf(b).interval()
}

// isRefused: what counts as refused is all but the counters of packets and of takeovers.
func isRefused(before, after *config.Stats) bool {
	b, a := *before, *after
	for _, n := range []config.Counter{config.Ipackets, config.Ipackets6, config.Opackets, config.Opackets6, config.Onomem, config.Preempt} {
		b[n], a[n] = 0, 0
	}
	return b != a
}

// linked: a carp demotes the host for its carpdev while that is there and cannot be used, and not otherwise.
func (h *host) linked() {
	for n := range h.nodes {
		lost := false
		for i := range h.links {
			lost = lost || h.links[i].Index == h.carps[n].lan+2 && !h.links[i].Usable()
		}
		if h.nodes[n].Suppressed != lost {
			h.w.fail("demotion", "host %d %s: suppressed %t, carrier lost %t", h.id, h.carps[n].name, h.nodes[n].Suppressed, lost)
		}
	}
}

// outcomes: three failures in a row demote, and it takes three successes in a row at least to undo that, in whatever state (ip_carp.c: carp_send_ad).
func (h *host) outcomes(n, f int, ok bool) {
	c := &h.carps[n]
	if h.before[n].State == engine.Init {
		return
	}
	if ok {
		c.failures[f], c.successes[f] = 0, c.successes[f]+1
	} else {
		c.failures[f], c.successes[f] = c.failures[f]+1, 0
	}
	b, a := &h.before[n], &h.nodes[n]
	switch {
	case a.Failing[f] && !b.Failing[f] && c.failures[f] != 3, !a.Failing[f] && !b.Failing[f] && c.failures[f] >= 3:
		h.w.fail("demotion", "host %d %s: failing %t after %d failures", h.id, c.name, a.Failing[f], c.failures[f])
	case b.Failing[f] && !a.Failing[f] && c.successes[f] < 3:
		h.w.fail("demotion", "host %d %s: has ceased to fail after %d successes", h.id, c.name, c.successes[f])
	}
}

// unchanged: a refused packet changes counters alone. What was due anyway may happen in the same step.
func (h *host) unchanged(now engine.Instant, effects []engine.Effect) {
	due := false
	for n := range h.before {
		b := &h.before[n]
		if b.Deadline != 0 && b.Deadline <= now {
			due = true
			continue
		}
		if *b != h.nodes[n] {
			h.w.fail("a refused packet changes counters alone", "host %d: %+v became %+v", h.id, *b, h.nodes[n])
		}
	}
	for _, f := range effects {
		switch f.(type) {
		case *engine.Log, *engine.Probe: // a probe is due by time
		default:
			if !due {
				h.w.fail("a refused packet changes counters alone", "host %d: effect %T", h.id, f)
			}
		}
	}
}

// coincides reports whether a peer's advert was refused since it carries a counter of our own. Two of ours whose clocks agree to the millisecond
// choose the same one in about 1 of 1,000 adverts; nobody can tell such an advert from our own that came back, since nothing else under the HMAC
// differs. The next advert tells the truth: what the two agree upon is judged from then on.
func (h *host) coincides(p *engine.Packet) bool {
	if len(p.Payload) < wire.Size {
		return false
	}
	n := h.w.carpFor(h, p.Carpdev-2, p.Payload[1])
	return n >= 0 && h.carps[n].has(binary.BigEndian.Uint64(p.Payload[8:16]))
}

// demands returns the state that an accepted advert asks for.
func (h *host) demands(now engine.Instant, n int, heard claim, p *engine.Packet) engine.State {
	b, c := &h.before[n], &h.carps[n]
	own, state := claimOf(b), b.State
	if p.Src.Is4() {
		c.heard4 = now
	}
	if overslept(b, now) {
		state = engine.Backup // it gives way before it listens
	}
	switch state {
	case engine.Backup:
		if own.supersedes(heard, h.machine.Sysctl.Preempt != 0) {
			return engine.Master
		}
	case engine.Master:
		if heard.bowsOut() || !own.ties(heard) {
			c.tie = tieCount{}
			if own.yields(heard) {
				return engine.Backup
			}
			return engine.Master
		}
		if four := p.Src.Is4(); four || c.heard4 == 0 || !h.w.scenario.VHosts[c.vhost].has(0) || int64(now-c.heard4) > 3*own.interval() {
			if c.tie.yields(h.source(c, !four), p.Src, isSealed(p.Payload)) {
				return engine.Backup
			}
		}
	}
	return state
}

// obeyed: a node does what an accepted advert demands, and nothing else.
func (h *host) obeyed(now engine.Instant, n int, must engine.State, heard claim) {
	b, a, c := &h.before[n], &h.nodes[n], &h.carps[n]
	own := claimOf(b)
	switch {
	case a.State != must:
		h.w.fail("preempt, demote, yield", "host %d %s with %+v was %v and is %v after hearing %+v; demanded: %v",
			h.id, c.name, own, b.State, a.State, heard, must)
	case must == engine.Master && b.State == engine.Backup && h.sendFails != [2]int{} && h.probeFails == [2]int{} && h.w.noise == 0:
		h.flapped(c, own, heard)
	case must == engine.Backup:
		c.reset = now
		if int64(a.Deadline-now) != own.masterDown() {
			h.w.fail("master-down time", "host %d %s waits %d ns, not %d", h.id, c.name, a.Deadline-now, own.masterDown())
		}
	}
}

// flapped: a host whose adverts fail while its probes do not takes its probes for proof that it can send, preempts, fails and gives way.
// It does not do so for ever: it asks for more probes each time (engine/send.go), unless its intervals are so long that a minute lies between. A
// master that is too slow for it does not count: it takes over from him whatever it knows of itself, and others do not see that
// it takes part.
func (h *host) flapped(c *carp, own, heard claim) {
	if own.base > 0 && own.patience() <= heard.units() {
		return
	}
	c.flaps++
	intervals := (h.w.now - h.w.lastFault) / own.interval()
	most := 8 + intervals/90
	if own.interval() > 15*second {
		most = 8 + intervals/4
	}
	if int64(c.flaps) > most && !h.w.vhosts[c.vhost].restless(h.w) {
		h.w.fail("no flap", "host %d %s: %d takeovers in %d intervals, and none could be told to others", h.id, c.name, c.flaps, intervals)
	}
}

// explain: no takeover and no yielding without a cause. Silence is a cause, and so is a master that is refused: when that may happen, see host.refuses.
func (h *host) explain(now engine.Instant, n int, ev engine.Event) {
	b, a, c := &h.before[n], &h.nodes[n], &h.carps[n]
	own := claimOf(b)
	_, configured := ev.(*engine.Configure)
	_, linked := ev.(*engine.Links)
	_, resumed := ev.(*engine.Resume)
	_, made := ev.(*engine.LinkMade)
	_, ends := ev.(*engine.Shutdown)
	ok := false
	switch {
	case a.State == engine.Init:
		ok = configured || linked || made || ends || resumed && !h.usable(n)
	case b.State == engine.Init:
		ok = a.State == engine.Backup && (configured || linked || made || resumed)
	case a.State == engine.Master:
		own.skew = min(own.skew, c.skew) // demoteskew may have made it slower since the wait began
		ok = configured || int64(now-c.reset) >= own.masterDown()
	default: // a master whose own timer is more than an interval late, and so more than two since its last advert
		ok = configured || int64(now-c.sent) > own.interval()
	}
	if !ok {
		h.w.fail("no change without a cause", "host %d %s: %v -> %v at %d; waits since %d, advertised at %d; %T", h.id, c.name, b.State, a.State, now, c.reset, c.sent, ev)
	}
}

// usable reports whether a carp's carpdev works, by what the host has told last.
func (h *host) usable(n int) bool {
	return slices.ContainsFunc(h.links, func(l config.Link) bool { return l.Index == h.carps[n].lan+2 && l.Usable() })
}

// goesOn: a new engine leaves everything as it was, but for a master that has been silent for two intervals, and sends no later what was due.
func (h *host) goesOn(now engine.Instant, was []engine.NodeView) {
	for n := range was {
		b, a, c := &was[n], &h.nodes[n], &h.carps[n]
		switch {
		case b.State == engine.Init, overslept(b, now):
		case a.State == engine.Init && !h.usable(n): // its carpdev has gone, of which the engine before had not heard yet
		case a.State != b.State:
			h.w.fail("who succeeds goes on", "host %d %s: was %v, is %v", h.id, c.name, b.State, a.State)
		case b.State == engine.Master && b.Deadline > now && a.Deadline > b.Deadline && c.sent < now: // one that lost its link demotes the others at once
			h.w.fail("who succeeds goes on", "host %d %s: the next advert at %d, not %d", h.id, c.name, a.Deadline, b.Deadline)
		case b.State == engine.Master && b.Deadline <= now && c.sent < now:
			h.w.fail("who succeeds goes on", "host %d %s: an advert that is overdue was sent at %d", h.id, c.name, c.sent)
		case a.Failing != b.Failing:
			h.w.fail("who succeeds goes on", "host %d %s: failing %v, was %v", h.id, c.name, a.Failing, b.Failing)
		}
	}
}

// learn takes note of a change of configuration: a carp's parameters let its wait begin anew (ip_carp.c: carp_setrun).
func (h *host) learn(now engine.Instant, ch *config.Change) {
	if ch.Kind == config.ForInterface {
		for _, c := range ch.Clauses {
			switch c.Word {
			case config.Advbase, config.Advskew, config.PassPhrase, config.State:
				h.carps[carpOf(ch.Name)].reset = now
			}
		}
	}
	for len(h.before) < len(h.nodes) { // a carp was made
		n := len(h.before)
		v := h.nodes[n]
		v.State = engine.Init
		h.before = append(h.before, v)
		h.carps[n].reset, h.carps[n].sent = now, now
	}
}

// order: the address before the advert, the advert before the announcement, the announcement before the event; and a host that gives way is silent
// before it says so. What an advert says is what is decided by.
func (h *host) order(effects []engine.Effect) {
	for n := range h.nodes {
		c := &h.carps[n]
		c.told, c.ensured, c.quiet, c.advertised, c.called, c.gaveWay, c.bowedOut = h.before[n].State, false, false, false, false, false, false
	}
	demoted := false
	for _, f := range effects {
		switch f := f.(type) {
		case *engine.Ensure:
			c := &h.carps[carpOf(f.Carp)]
			c.answers, c.ensured, c.quiet = f.Master, c.ensured || f.Master, c.quiet || !f.Master
		case *engine.Remove:
			c := &h.carps[carpOf(f.Carp)]
			c.answers, c.quiet = false, true
		case *engine.SendAdvert:
			n := carpOf(f.Carp)
			h.says(n, f)
			h.carps[n].advertised = true
			h.carps[n].bowedOut = f.BowOut
		case *engine.Announce:
			c := &h.carps[carpOf(f.Carp)]
			if !c.answers {
				h.w.fail("effects", "host %d %s: announces what it does not answer for", h.id, c.name)
			}
			c.called = c.advertised
		case *engine.Transition:
			c := &h.carps[carpOf(f.Carp)]
			if f.From != c.told || f.From == f.To {
				h.w.fail("effects", "host %d %s: %v -> %v told of one who was %v", h.id, c.name, f.From, f.To, c.told)
			}
			c.told = f.To
			c.gaveWay = c.gaveWay || f.From == engine.Master
			if f.To == engine.Master && !(c.ensured && c.advertised && c.called) {
				h.w.fail("effects", "host %d %s: MASTER told; answers %v, then advertised %v, then announced %v", h.id, c.name, c.ensured, c.advertised, c.called)
			}
			if f.From == engine.Master && !c.quiet {
				h.w.fail("effects", "host %d %s: told that it is no longer MASTER, and still answers", h.id, c.name)
			}
			c.ensured, c.quiet, c.advertised, c.called = false, false, false, false
		case *engine.PublishGroups:
			demoted = true
		}
	}
	if demoted {
		h.demotionAdds()
	}
}

// says: the bytes on the wire are the ones of the decision.
func (h *host) says(n int, f *engine.SendAdvert) {
	c := &h.carps[n]
	b := f.Packet[len(f.Packet)-wire.Size:]
	said := claim{b[5], b[2], b[4]}
	own := claimOf(&h.nodes[n])
	ok := said == own || said == claimOf(&h.before[n]) || said == claim{own.base, own.skew, h.before[n].Demote}
	if said.base == own.base && !ok {
		slowed := h.slowed(own)
		ok = (said.skew == own.skew || said.skew == slowed.skew) && (h.oneByOne() || int(own.demote) > int(h.before[n].Demote)+1)
	}
	if f.BowOut {
		ok = said.bowsOut() && !c.answers
	} else if !c.answers {
		h.w.fail("effects", "host %d %s: advertises before it answers", h.id, c.name)
	}
	if !ok {
		h.w.fail("what is said is what is decided by", "host %d %s: says %+v, decides by %+v (bow-out %v, answers %v)", h.id, c.name, said, own, f.BowOut, c.answers)
	}
	counter := binary.BigEndian.Uint64(b[8:16])
	if counter>>24 <= c.stamp {
		h.w.fail("the sealed time rises", "host %d %s: %d after %d", h.id, c.name, counter>>24, c.stamp)
	}
	c.add(counter)
	c.recent.add(h.w.now)
	c.sent = h.local()
}

// oneByOne: a change of several causes at once demotes by one after the other, and is said meanwhile. A host that loses a carrier is demoted for each carp,
// and ceases to be for those that could not send.
func (h *host) oneByOne() bool {
	changes := 0
	for n := range h.nodes {
		b, a := &h.before[n], &h.nodes[n]
		for _, changed := range []bool{b.Suppressed != a.Suppressed, b.Failing[0] != a.Failing[0], b.Failing[1] != a.Failing[1]} {
			if changed {
				changes++
			}
		}
	}
	return changes > 1
}

// demotionAdds: the demotion is the sum of the causes that there are, and nothing else.
func (h *host) demotionAdds() {
	sum := h.manual
	for n := range h.nodes {
		if h.nodes[n].Suppressed {
			sum++
		}
		for _, failing := range h.nodes[n].Failing {
			if failing {
				sum++
			}
		}
	}
	sum = min(sum, 255)
	for n := range h.nodes {
		if int(h.nodes[n].Demote) != sum || h.engine.GroupDemotion("carp") != sum {
			h.w.fail("demotion", "host %d %s: %d, group %d, causes %d", h.id, h.carps[n].name, h.nodes[n].Demote, h.engine.GroupDemotion("carp"), sum)
		}
	}
}

// watch: nobody waits longer than he may. It comes back when the next could have waited too long.
func (h *host) watch(gen uint32) {
	if gen != h.gen || !h.up {
		return
	}
	now := h.local()
	next := now + engine.Instant(60*second)
	for n := range h.nodes {
		a, c := &h.nodes[n], &h.carps[n]
		own := h.slowed(claimOf(a))
		slack := engine.Instant(3*h.late + 2*millisecond)
		if h.woken != 0 && now-h.woken < engine.Instant(2*own.interval())+slack {
			slack += engine.Instant(own.interval()) // it may wait an interval more when it finds itself late
		}
		var by engine.Instant
		switch a.State {
		case engine.Backup:
			by = max(c.reset+engine.Instant(own.masterDown()), h.woken) + slack
		case engine.Master:
			by = max(max(c.sent, c.reset)+engine.Instant(own.interval()), h.woken) + slack
		default:
			continue
		}
		if h.asleep == 0 && now > by {
			h.w.fail("takeover and adverts in time", "host %d %s: %v at %d, should have acted by %d", h.id, c.name, a.State, now, by)
		}
		next = min(next, by)
	}
	h.w.push(h.when(max(next, now+engine.Instant(millisecond)))+1, watch, h.id, 0, gen)
}
