package engine

import "carp/libcarp/config"

// Two masters that do not hear each other's adverts cannot know of each other. That happens behind a hypervisor or a switch which lets only
// a host's own MAC out: adverts from the virtual MAC are lost. So a master also claims its addresses from the carpdev's own MAC, once,
// when its adverts have had two intervals to be heard. A master that hears a claim but no advert logs what is wrong and claims in
// its turn, so that the other host logs it too.

// claim says from the carpdev's own MAC that the carp's first virtual host is master. Where the adverts have that MAC too, a claim would be
// lost or heard just as they are, and none is sent.
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

// claimed follows another host's claim. Its last advert left just before, so a master that has had one within three intervals hears it well.
func (e *Engine) claimed(now Instant, ev *Claimed) {
	n := e.byVHID[vhidOn{ev.Carpdev, ev.VHID}]
	if n == nil || n.state != Master || n.unheard || n.arrived != 0 && now-n.arrived <= 3*e.interval(n) {
		return
	}
	n.unheard = true
	e.logf(Crit, "%s: %s is master too, its adverts from %s do not arrive, see lladdr", n.carp.cfg.Name, ev.From, config.VirtualMAC(n.vhid))
	e.claim(n)
}
