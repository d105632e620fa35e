package engine

import (
	"net/netip"
	"slices"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// previousFor is for how long, at most, adverts over a previous list of addresses are accepted. previousMax is how many
// such lists are kept: an administrator changes one address after the other on the backup, and only then the master. When there are more,
// the oldest stays, since the master still has it, and the newest ones.
const (
	previousFor = 300 * second
	previousMax = 8
)

// Plan merges a change with the configuration and checks it against the host's interfaces. Put it into force with [Configure].
func (e *Engine) Plan(ch config.Change) (config.Plan, error) { return e.machine.Plan(ch, e) }

// Refuse returns the error for a user who may not change anything.
func (e *Engine) Refuse(ch config.Change) error { return e.machine.Refuse(ch, e) }

// Link finds a host's interface by its name or an alternative one.
func (e *Engine) Link(name string) (config.Link, bool) {
	for _, l := range e.links {
		if l.Named(name) {
			return l, true
		}
	}
	return config.Link{}, false
}

// Parent chooses the carpdev for an address: the first by index whose subnet holds it. None holds a link-local one, or all do.
func (e *Engine) Parent(addr netip.Addr) (string, bool) {
	if fits := e.fitting(addr); len(fits) > 0 {
		return fits[0], true
	}
	return "", false
}

// fitting returns the interfaces that an address could have as its carpdev, by index.
func (e *Engine) fitting(addr netip.Addr) (names []string) {
	if isLinkLocal(addr) {
		return nil
	}
	for _, l := range e.links {
		if !l.Multicast || !l.Ethernet || l.Loopback {
			continue
		}
		if slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			names = append(names, l.Name)
		}
	}
	return names
}

// tellChosen says where an address has chosen a carpdev while others would have done as well: the administrator may have meant one of them.
func (e *Engine) tellChosen(c *carp, addr netip.Addr) (told bool) {
	others := slices.DeleteFunc(e.fitting(addr), func(name string) bool { return name == c.cfg.Carpdev })
	if len(others) == 0 {
		return false
	}
	e.logf(Crit, "%s: carpdev %s chosen for %s, not %s", c.cfg.Name, c.cfg.Carpdev, addr, strings.Join(others, ", "))
	return true
}

// Active reports whether a carp is in another state than INIT.
func (e *Engine) Active(name string) bool {
	c := e.carps[name]
	return c != nil && c.running
}

func (e *Engine) linkIndex(index int) *config.Link {
	i, ok := slices.BinarySearchFunc(e.links, index, func(l config.Link, index int) int { return l.Index - index })
	if !ok {
		return nil
	}
	return &e.links[i]
}

func (e *Engine) hasCarps(carpdev int) bool {
	return slices.ContainsFunc(e.ordered, func(c *carp) bool { return c.attached && c.link.Index == carpdev })
}

// add takes in a carp of the configuration, without a link yet.
func (e *Engine) add(i *config.Interface) *carp {
	c := &carp{cfg: i}
	e.carps[i.Name] = c
	e.ordered = append(e.ordered, c)
	slices.SortStableFunc(e.ordered, func(a, b *carp) int { return a.cfg.Order - b.cfg.Order })
	e.makeNodes(c)
	e.recount()
	return c
}

// makeNodes makes the nodes that the configuration names, in INIT.
func (e *Engine) makeNodes(c *carp) {
	for _, n := range c.nodes {
		e.timers.drop(n)
	}
	e.unregister(c)
	c.nodes = nil
	for _, w := range c.cfg.Nodes {
		e.seq++
		n := &node{carp: c, vhid: w.VHID, advskew: w.Advskew, slot: -1, seq: e.seq, memory: e.memory(c.cfg.Name, w.VHID)}
		c.nodes = append(c.nodes, n)
	}
	e.authenticate(c)
}

// linkLocal returns the link-local address that goes with the carp's link-level address. Where that is the carpdev's own, so would be the address, and not
// shared; there it is that of the virtual MAC.
func (c *carp) linkLocal() netip.Addr {
	if c.own {
		return config.VirtualMAC(c.cfg.VHID()).LinkLocal()
	}
	return c.cfg.Lladdr().LinkLocal()
}

// authenticate prepares the HMACs. Others include link-local addresses: those that were set, or that and the one which the BSDs make of the
// virtual MAC for every interface with an IPv6 address.
func (e *Engine) authenticate(c *carp) {
	id := wire.Identity{Key: c.cfg.Pass.Key()}
	for _, p := range c.cfg.Addrs {
		id.Addrs = append(id.Addrs, p.Addr())
	}
	for i, n := range c.nodes {
		id.VHID, id.Lladdr = n.vhid, config.MAC{}
		if mac := c.cfg.Lladdr(); i == 0 && mac != config.VirtualMAC(n.vhid) && mac != c.link.MAC {
			id.Lladdr = mac // ip_carp.c: carp_hmac_prepare_ctx
		}
		n.auth, n.authLL = wire.NewAuth(id), nil
		if !c.has(inet6) {
			continue
		}
		own, made := id, id
		own.LinkLocal, made.LinkLocal = true, true
		made.Addrs = append(slices.Clone(id.Addrs), c.linkLocal())
		if slices.ContainsFunc(own.Addrs, isLinkLocal) {
			n.authLL = append(n.authLL, wire.NewAuth(own))
		}
		n.authLL = append(n.authLL, wire.NewAuth(made))
	}
}

func isLinkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// register lets adverts find the nodes of a carp that is attached.
func (e *Engine) register(c *carp) {
	for _, n := range c.nodes {
		if n.vhid != 0 {
			e.byVHID[vhidOn{c.link.Index, n.vhid}] = n
		}
	}
}

// unregister undoes register, before the carp's link or its nodes become others.
func (e *Engine) unregister(c *carp) {
	for _, n := range c.nodes {
		if k := (vhidOn{c.link.Index, n.vhid}); e.byVHID[k] == n {
			delete(e.byVHID, k)
		}
	}
}

// configure puts a plan into force.
func (e *Engine) configure(now Instant, p *config.Plan) {
	if p.Done {
		return
	}
	groups, skewed := e.machine.GroupNames(), e.machine.Sysctl.DemoteSkew != 0
	if e.machine.Commit(*p) {
		e.emit(&PersistGroups{})
	}
	defer e.recount()
	switch p.Change.Kind {
	case config.ForInterface:
		c := e.carps[p.Change.Name]
		switch {
		case c == nil && p.Interface != nil:
			c = e.add(p.Interface)
			e.attach(c, now)
			e.publish(c)
		case c != nil && p.Interface == nil:
			e.destroy(c, now)
		case c != nil:
			e.reconfigure(c, p.Interface, now)
			if slices.ContainsFunc(p.Change.Clauses, isParameter) {
				e.rearm(c, now)
			}
			e.setStates(c, p.States, now)
		}
		if c := e.carps[p.Change.Name]; c != nil && p.Change.Has(config.Await) {
			e.missing(c)
		}
		if chose(p) {
			e.tellChosen(e.carps[p.Change.Name], p.Interface.Addrs[0].Addr())
		}
		if !slices.Equal(groups, e.machine.GroupNames()) {
			e.emit(&PublishGroups{})
		}
	case config.ForGroup:
		e.recount()
		if slices.ContainsFunc(p.Change.Clauses, func(c config.Clause) bool { return c.Word == config.Demote || c.Word == config.Holder }) {
			e.advertiseDemotion(p.Change.Name, now)
		}
		e.emit(&PublishGroups{})
	case config.ForSysctl:
		if skewed != (e.machine.Sysctl.DemoteSkew != 0) {
			e.claimAnew(now)
		}
	}
}

// chose reports whether a plan has a carpdev that nobody has named.
func chose(p *config.Plan) bool {
	return p.Interface != nil && p.Interface.Carpdev != "" && len(p.Interface.Addrs) > 0 && (p.Before == nil || p.Before.Carpdev == "") &&
		!slices.ContainsFunc(p.Change.Clauses, func(c config.Clause) bool { return c.Word == config.Carpdev })
}

// claimAnew lets demoted carps advertise at once what net.inet.carp.demoteskew, which has changed, makes them claim.
func (e *Engine) claimAnew(now Instant) {
	for _, c := range e.ordered {
		if c.demotion > 0 {
			e.rearm(c, now)
			e.advertiseNow(c, now)
		}
	}
}

// isParameter reports whether a clause is one of those that ifconfig(8) sets with SIOCSVH, which restarts the timers.
func isParameter(c config.Clause) bool {
	switch c.Word {
	case config.VHID, config.Advbase, config.Advskew, config.PassPhrase, config.Carpdev, config.State,
		config.Carppeer, config.NoCarppeer, config.Carppeer6, config.NoCarppeer6:
		return true
	}
	return false
}

// destroy bows out first, unlike OpenBSD, whose peers wait for their master-down timers.
func (e *Engine) destroy(c *carp, now Instant) {
	e.halt(c, now, reasonDestroy, true)
	e.detach(c, now)
	for _, n := range c.nodes {
		e.timers.drop(n)
	}
	delete(e.carps, c.cfg.Name)
	e.ordered = slices.DeleteFunc(e.ordered, func(o *carp) bool { return o == c })
	e.publish(c)
}

// reconfigure replaces a carp's configuration. A virtual host that stays who it was keeps its state, also when addresses come and go.
func (e *Engine) reconfigure(c *carp, to *config.Interface, now Instant) {
	from := c.cfg
	sameHost := from.Carpdev == to.Carpdev && slices.EqualFunc(from.Nodes, to.Nodes, func(a, b config.Node) bool { return a.VHID == b.VHID })
	switch {
	case !sameHost:
		e.halt(c, now, reasonConfig, true)
	case !to.Up || len(to.Addrs) == 0:
		e.halt(c, now, reasonDown, true)
	}
	c.cfg, c.digested, c.baseSeen = to, 0, false
	worse := e.regroup(c, from)
	if from.MAC != to.MAC {
		c.own = from.Carpdev == to.Carpdev && c.isOwn()
	}
	if sameHost {
		e.adapt(c, from, now)
	} else {
		e.replace(c, from, now)
	}
	e.touchAll(c)
	e.publish(c)
	if worse {
		e.advertiseNow(c, now)
	}
}

// regroup follows a carp into other groups, and reports whether they demote it more than those it was in.
func (e *Engine) regroup(c *carp, from *config.Interface) (worse bool) {
	if slices.Equal(from.Groups, c.cfg.Groups) {
		return false
	}
	before := c.demotion
	e.recount()
	e.emit(&PublishGroups{})
	return c.demotion > before
}

// replace begins anew, as other virtual hosts or elsewhere.
func (e *Engine) replace(c *carp, from *config.Interface, now Instant) {
	if from.Carpdev != c.cfg.Carpdev {
		e.detach(c, now)
	}
	e.makeNodes(c)
	e.ensure(c) // with the new MAC, where the carpdev stays
	e.attach(c, now)
}

// adapt goes on as the same virtual hosts.
func (e *Engine) adapt(c *carp, from *config.Interface, now Instant) {
	to, otherMAC := c.cfg, from.MAC != c.cfg.MAC
	added := newAddrs(from, to)
	if otherMAC { // clients have to learn all of them anew
		added = newAddrs(&config.Interface{}, to)
	}
	e.rekey(c, from, now)
	for i, n := range c.nodes {
		n.advskew = to.Nodes[i].Advskew
	}
	if otherMAC || from.Peer != to.Peer || from.Peer6 != to.Peer6 || !slices.Equal(from.Addrs, to.Addrs) {
		e.ensure(c)
	}
	if to.Carpdev == "" {
		e.attach(c, now)
	}
	e.settle(c, now, reasonDown)
	e.announceAdded(c, added)
	if otherMAC && c.nodes[0].state == Master {
		c.nodes[0].garp = e.garps(c.nodes[0])
	}
}

// rekey prepares the HMACs anew where key or addresses changed. With the same key, adverts over previous lists of addresses still count.
func (e *Engine) rekey(c *carp, from *config.Interface, now Instant) {
	if from.Pass == c.cfg.Pass && from.MAC == c.cfg.MAC && slices.Equal(from.Addrs, c.cfg.Addrs) {
		return
	}
	old := make([]*wire.Auth, len(c.nodes))
	for i, n := range c.nodes {
		old[i] = n.auth
	}
	e.authenticate(c)
	for i, n := range c.nodes {
		if from.Pass != c.cfg.Pass || !c.running {
			n.previous = nil
			continue
		}
		n.previous = slices.DeleteFunc(n.previous, func(o oldAuth) bool { return now >= o.until })
		if len(n.previous) == previousMax {
			n.previous = slices.Delete(n.previous, 1, 2)
		}
		n.previous = append(n.previous, oldAuth{old[i], now + previousFor})
	}
}

// rearm restarts what the nodes wait for, with their new intervals. Unlike on OpenBSD a master's next advert is never put off: a script
// that sets advskew each half second must not silence it.
func (e *Engine) rearm(c *carp, now Instant) {
	e.touchAll(c)
	for _, n := range c.nodes {
		switch n.state {
		case Backup:
			e.armMasterDown(n, now)
		case Master:
			e.timers.arm(n, min(n.deadline, now+e.interval(n)))
		}
	}
}

// newAddrs returns the addresses of to that from does not have.
func newAddrs(from, to *config.Interface) (added []netip.Addr) {
	for _, p := range to.Addrs {
		if !slices.ContainsFunc(from.Addrs, func(o netip.Prefix) bool { return o.Addr() == p.Addr() }) {
			added = append(added, p.Addr())
		}
	}
	return added
}

// announceAdded tells of addresses that a master got while it was one.
func (e *Engine) announceAdded(c *carp, added []netip.Addr) {
	if len(added) > 0 && c.nodes[0].state == Master {
		e.emit(&Announce{Carp: c.cfg.Name, Carpdev: c.link.Index, MAC: c.cfg.Lladdr(), Addrs: added})
	}
}

// setStates does what `state master` and `state backup` ask for; any other word does nothing (ifconfig.c: setcarp_state).
func (e *Engine) setStates(c *carp, wanted []string, now Instant) {
	for _, s := range wanted {
		for _, n := range c.nodes {
			switch {
			case equalFold(s, "master"):
				e.feed(n, takeOver, now, reasonByHand)
			case equalFold(s, "backup"):
				e.feed(n, yield, now, reasonByHand)
			}
		}
	}
}

// equalFold compares ASCII letters without their case; b is in lower case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range b {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != b[i] {
			return false
		}
	}
	return true
}

// setLinks takes in the host's interfaces as they are now, and lets every carp follow.
func (e *Engine) setLinks(now Instant, links []config.Link) {
	start := e.links == nil
	e.takeLinks(links)
	for _, c := range e.ordered {
		e.attach(c, now)
		if start { // it was configured before kernelsim ran
			e.missing(c)
		}
	}
}

// takeLinks stores a copy of the links, sorted by index.
func (e *Engine) takeLinks(links []config.Link) {
	e.links = slices.Clone(links)
	slices.SortFunc(e.links, func(a, b config.Link) int { return a.Index - b.Index })
}

// attach lets a carp follow its carpdev: found, changed, without its link, gone.
func (e *Engine) attach(c *carp, now Instant) {
	if c.cfg.Carpdev == "" {
		e.choose(c)
	}
	link, ok := e.Link(c.cfg.Carpdev)
	if c.attached && (!ok || link.Index != c.link.Index) {
		e.detach(c, now)
		e.publish(c)
	}
	if !ok {
		return
	}
	changed := !c.attached || !c.link.Equal(&link)
	if changed {
		e.warnOfOwn(c, &link)
	}
	another := !c.attached || c.link.MAC != link.MAC
	c.link, c.attached, c.missed = link, true, false
	moved := false
	if another {
		moved = e.follow(c)
		e.authenticate(c) // the carpdev's MAC plays a part, and there is a virtual one now
	}
	e.register(c)
	if !c.ensured || moved {
		e.ensure(c)
	}
	if moved {
		e.announceAdded(c, newAddrs(&config.Interface{}, c.cfg))
	}
	e.suppress(c, !link.Usable(), now)
	e.settle(c, now, reasonCarpdev)
	if changed {
		e.publish(c)
	}
}

// isOwn reports whether the carp's MAC is the carpdev's own.
func (c *carp) isOwn() bool {
	return c.attached && c.cfg.MAC != config.MAC{} && c.cfg.MAC == c.link.MAC
}

// follow gives a carp that had the carpdev's own MAC the new one of the carpdev, and reports whether that differs. With the old one, which
// is nobody's now, the carp would go unheard: the HMAC covers a MAC that is neither the virtual one nor the carpdev's.
func (e *Engine) follow(c *carp) bool {
	if !c.own || c.isOwn() {
		c.own = c.isOwn()
		return false
	}
	c.cfg.MAC, c.digested = c.link.MAC, 0
	e.touchAll(c)
	e.logf(Warning, "%s: lladdr follows %s: %s", c.cfg.Name, c.link.Name, c.cfg.MAC)
	e.emit(&Persist{Carp: c.cfg.Name})
	return true
}

// warnOfOwn tells of shared addresses that have become the carpdev's own. Nobody is given such an address by a command, which is refused, but one may be
// stored, or be given to the carpdev later.
func (e *Engine) warnOfOwn(c *carp, link *config.Link) {
	for _, p := range c.cfg.Addrs {
		if a := p.Addr(); link.HasAddr(a) && !c.link.HasAddr(a) {
			e.logf(Crit, "%s: %s is an address of %s itself, too: remove it from one of them", c.cfg.Name, a, link.Name)
		}
	}
}

// choose finds a carpdev for a carp that was configured while kernelsim did not run, or before its network was there.
func (e *Engine) choose(c *carp) {
	for _, p := range c.cfg.Addrs {
		name, ok := e.Parent(p.Addr())
		if !ok {
			continue
		}
		parent, _ := e.Link(name)
		taken := slices.ContainsFunc(e.ordered, func(o *carp) bool {
			return o != c && parent.Named(o.cfg.Carpdev) && o.cfg.HasVHID(c.cfg.VHID())
		})
		if taken {
			continue
		}
		c.cfg.Carpdev, c.digested = name, 0
		if !e.tellChosen(c, p.Addr()) {
			e.logf(Warning, "%s: carpdev %s chosen for %s", c.cfg.Name, name, p.Addr())
		}
		e.emit(&Persist{Carp: c.cfg.Name})
		return
	}
}

// missing tells, once, that a carp waits for its carpdev, or for an interface with the subnet of an address. Whoever configured it was told nothing.
func (e *Engine) missing(c *carp) {
	switch {
	case c.attached || c.missed:
		return
	case c.cfg.Carpdev != "":
		e.logf(Crit, "%s: waiting for carpdev %s", c.cfg.Name, c.cfg.Carpdev)
	case len(c.cfg.Addrs) > 0:
		e.logf(Crit, "%s: waiting for an interface with the subnet of %s", c.cfg.Name, c.cfg.Addrs[0].Addr())
	default:
		return
	}
	c.missed = true
}

// suppress takes note that the carpdev has lost its link or has it back (ip_carp.c: carp_carpdev_state).
func (e *Engine) suppress(c *carp, suppressed bool, now Instant) {
	if c.suppressed == suppressed {
		return
	}
	c.suppressed = suppressed
	if !suppressed {
		e.demoted(c, -1, "carpdev")
		return
	}
	e.halt(c, now, reasonCarpdev, false) // nothing can be sent any more
	e.demoted(c, 1, "carpdev")
}

// detach takes a carp off its carpdev, if it is on one: that or the carp is gone, or has been replaced by another one.
func (e *Engine) detach(c *carp, now Instant) {
	e.halt(c, now, reasonNoCarpdev, false)
	e.remove(c)
	e.unregister(c)
	c.attached, c.link = false, config.Link{}
	if c.suppressed {
		c.suppressed = false
		e.demoted(c, -1, "detach")
	}
}

// linkMade halts a carp whose link cannot be made or mended, and starts it again, as a backup, once it can.
func (e *Engine) linkMade(now Instant, ev *LinkMade) {
	c := e.carps[ev.Carp]
	if c == nil || c.broken == ev.Failed {
		return
	}
	c.broken = ev.Failed
	if c.broken {
		e.halt(c, now, reasonNoLink, true)
	}
	e.settle(c, now, reasonNoLink)
	e.publish(c)
}
