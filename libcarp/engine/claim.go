package engine

import "carp/libcarp/config"

// Two masters that do not hear each other's adverts cannot know of each other: behind a hypervisor or a switch that lets nothing out but a host's own
// Ethernet address, adverts from the virtual one are lost. So a master also claims its addresses from the carpdev's own, once, when its adverts have had two
// intervals to be heard. A master that gets a claim, and no advert, says what is wrong, and claims in its turn, so that the other says it too.

// claim says from the carpdev's own MAC that the carp's leader is master. Where the adverts come from there as well, nothing can be told.
func (e *Engine) claim(n *node) {
	c := n.carp
	if n != c.nodes[0] || c.own {
		return
	}
	f := &Claim{Carp: c.cfg.Name, Carpdev: c.link.Index, VHID: n.vhid}
	for _, p := range c.cfg.Addrs {
		if p.Addr().Is4() {
			f.Addr = p.Addr()
			break
		}
	}
	e.emit(f)
}

// claimed: another host says that it is master. Its last advert left just before.
func (e *Engine) claimed(now Instant, ev *Claimed) {
	n := e.byVHID[vhidOn{ev.Carpdev, ev.VHID}]
	if n == nil || n.state != Master || n.unheard || n.arrived != 0 && now-n.arrived <= 3*e.interval(n) {
		return
	}
	n.unheard = true
	e.logf(Crit, "%s: %s is master too, its adverts from %s do not arrive, see lladdr", n.carp.cfg.Name, ev.From, config.VirtualMAC(n.vhid))
	e.claim(n)
}
