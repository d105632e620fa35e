package engine

import (
	"hash/fnv"
	"net/netip"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// A Kept is what the next engine of a host has to know of a virtual host to go on where this one ends.
type Kept struct {
	Carp    string
	VHID    uint8
	Config  uint64 // stands for the carp's whole configuration
	Carpdev int    // its index
	State   State

	Deadline      Instant // of what the state waits for
	Heard         Instant // when an advert over IPv4 was last accepted
	Announcements int     // adverts until the second gratuitous ARP
	Rival         bool    // another master was heard
	Failing       [families]bool
	Probes        [families]int     // how many tries have to succeed, when more than usual
	Recovered     [families]Instant // when it last ceased to fail
	// A rival that claims what we do, and how many of its adverts came in a row.
	TieSrc    netip.Addr // without a zone
	TieSealed bool
	Ties      int
	Previous  [previousMax]OldKey // that a peer may still use
	// BowOuts are the counters of the bow-outs that are prepared, see [SendAdvert]; 0: there is none. One that was sent in our name must not be
	// taken for another host's if it comes back.
	BowOuts [families]uint64
}

// An OldKey stands for a previous list of addresses, see [wire.Auth.Fixed].
type OldKey struct {
	Fixed [wire.FixedSize]byte
	Until Instant // 0: there is none
}

// Resume is the first event, in place of [Links], of an engine that goes on where another one has ended. A virtual host in Nodes whose
// configuration and carpdev are the same as then goes on in the state that it had, without a transition. The others start as usual.
type Resume struct {
	Clock
	Links []config.Link
	Nodes []Kept
	Ended []Kept // those that cannot go on, since it took too long: their bow-outs may have been sent
}

// touch takes note that what has to be kept of a node has changed.
func (e *Engine) touch(n *node) {
	if !n.touched {
		n.touched = true
		e.touched = append(e.touched, n)
	}
}

func (e *Engine) touchAll(c *carp) {
	for _, n := range c.nodes {
		e.touch(n)
	}
}

// untouch begins a new Step.
func (e *Engine) untouch() {
	for _, n := range e.touched {
		n.touched = false
	}
	e.touched = e.touched[:0]
	for _, c := range e.counted {
		c.counted = false
	}
	e.counted = e.counted[:0]
}

// Changes calls tell with what is to be kept of each virtual host that the last Step has changed. One that was destroyed is told of in
// state INIT. The Kept is valid only during the call.
func (e *Engine) Changes(tell func(*Kept)) {
	for _, n := range e.touched {
		c := n.carp
		e.kept = Kept{
			Carp: c.cfg.Name, VHID: n.vhid, Config: c.digest(), Carpdev: c.link.Index, State: n.state, Deadline: n.deadline, Heard: n.heard,
			Announcements: n.garp, Rival: n.rival, BowOuts: n.prepared,
		}
		for f, o := range c.out {
			e.kept.Failing[f], e.kept.Probes[f], e.kept.Recovered[f] = o.failing, o.probes, o.recovered
		}
		if t := n.tie; t.count > 0 {
			e.kept.TieSrc, e.kept.TieSealed, e.kept.Ties = t.src.WithZone(""), t.sealed, t.count
		}
		for i, o := range n.previous {
			if fixed, ok := o.auth.Fixed(); ok {
				e.kept.Previous[i] = OldKey{fixed, o.until}
			}
		}
		tell(&e.kept)
	}
}

// digest returns a hash of the configuration as want/ has it, never 0. It is made anew only after a change.
func (c *carp) digest() uint64 {
	if c.digested == 0 {
		h := fnv.New64a()
		h.Write(config.FormatWant(c.cfg.Clauses()))
		c.digested = max(h.Sum64(), 1)
	}
	return c.digested
}

// resume takes in the links and lets every carp that can go on do so; the others start as with [Links]. See [Resume].
func (e *Engine) resume(now Instant, ev *Resume) {
	e.takeLinks(ev.Links)
	for i := range ev.Ended {
		e.bowedOut(&ev.Ended[i])
	}
	for _, c := range e.ordered {
		e.goOn(c, ev, now)
		if link, ok := e.Link(c.cfg.Carpdev); ok && !link.Usable() && !ev.knows(c) {
			c.suppressed = true // as before; else its link was lost meanwhile, which is news
		}
	}
	e.recount()
	var slept []*node // masters that were without an engine for too long: they are backups before any link answers, and told of after that
	for _, c := range e.ordered {
		for _, n := range c.nodes {
			if e.overslept(n, now) {
				n.state = Backup
				e.enter(n, Master)
				e.armMasterDown(n, now)
				slept = append(slept, n)
			}
		}
	}
	for _, c := range e.ordered {
		e.attach(c, now)
		e.lost(c, ev)
	}
	for _, n := range slept {
		e.tell(n, Master, reasonLate)
	}
}

// lost tells of a carp that ran under the engine before, and whose carpdev has gone, or lost its link, without that one's knowledge.
func (e *Engine) lost(c *carp, ev *Resume) {
	link, there := e.Link(c.cfg.Carpdev)
	if c.running || there && link.Usable() {
		return
	}
	reason := reasonCarpdev
	if !there {
		reason = reasonNoCarpdev
		e.emit(&Remove{Carp: c.cfg.Name}) // whatever is left of it
	}
	for _, n := range c.nodes {
		for _, k := range slices.Concat(ev.Nodes, ev.Ended) {
			if k.Carp == c.cfg.Name && k.VHID == n.vhid && k.State != Init {
				e.touch(n)
				e.tell(n, k.State, reason)
			}
		}
	}
}

// knows reports whether a carp ran under the engine before.
func (ev *Resume) knows(c *carp) bool {
	return slices.ContainsFunc(slices.Concat(ev.Nodes, ev.Ended), func(k Kept) bool { return k.Carp == c.cfg.Name && k.State != Init })
}

// Fits reports whether a virtual host can go on as what is kept of it: it is configured as it was, and its carpdev is there, and works.
func (e *Engine) Fits(k *Kept, links []config.Link) bool {
	c := e.carps[k.Carp]
	if c == nil || k.State == Init || k.Config != c.digest() || !slices.ContainsFunc(c.nodes, func(n *node) bool { return n.vhid == k.VHID }) {
		return false
	}
	i := slices.IndexFunc(links, func(l config.Link) bool { return l.Name == c.cfg.Carpdev })
	return i >= 0 && links[i].Index == k.Carpdev && links[i].Usable()
}

// goOn makes a carp what it was, if all its virtual hosts are known and nothing has changed.
func (e *Engine) goOn(c *carp, ev *Resume, now Instant) {
	known := make([]*Kept, len(c.nodes))
	for i, n := range c.nodes {
		for j := range ev.Nodes {
			if k := &ev.Nodes[j]; k.Carp == c.cfg.Name && k.VHID == n.vhid {
				known[i] = k
			}
		}
		if k := known[i]; k == nil || !e.Fits(k, ev.Links) {
			for _, k := range known {
				e.bowedOut(k)
			}
			return
		}
	}
	c.running = true
	for i, n := range c.nodes {
		k := known[i]
		n.state, n.garp, n.rival, n.heard = k.State, max(k.Announcements, 0), k.Rival, min(k.Heard, now)
		if n.state == Master {
			n.prepared, n.tie = k.BowOuts, tie{k.TieSrc, k.TieSealed, max(k.Ties, 0)}
		}
		n.remember(k.Previous[:], now)
		switch at := k.Deadline; n.state {
		case Master:
			e.timers.arm(n, min(max(at, 1), now+e.interval(n)))
		case Backup: // it has heard nothing meanwhile: it waits for another advert, two intervals at least
			e.timers.arm(n, min(max(at, now+2*e.interval(n)), now+3*e.interval(n)))
		}
		for f, failing := range k.Failing {
			c.out[f].probes, c.out[f].recovered = min(max(k.Probes[f], 0), probesMax), min(k.Recovered[f], now)
			if failing && !c.out[f].failing {
				c.out[f].failing, c.out[f].errors, c.out[f].probeAt = true, sendErrorLimit*len(c.nodes), now
			}
		}
		e.touch(n)
	}
	if slices.ContainsFunc(c.out[:], func(o sending) bool { return o.failing }) {
		e.failing = append(e.failing, c)
	}
}

// remember lets a peer use previous lists of addresses for as long as it could.
func (n *node) remember(previous []OldKey, now Instant) {
	for _, o := range previous {
		if o.Until <= now || o.Until > now+previousFor {
			continue
		}
		if auth, err := wire.AuthOf(n.carp.cfg.Pass.Key(), o.Fixed); err == nil {
			n.previous = append(n.previous, oldAuth{auth, o.Until})
		}
	}
}

// bowedOut takes note of bow-outs that were sent in our name.
func (e *Engine) bowedOut(k *Kept) {
	if k == nil {
		return
	}
	c := e.carps[k.Carp]
	if c == nil {
		return
	}
	for _, n := range c.nodes {
		for _, counter := range k.BowOuts {
			if t := timeOf(counter); n.vhid == k.VHID && counter != 0 && t <= heardMax && !n.memory.hasSent(counter) {
				n.memory.sent(counter)
			}
		}
	}
}
