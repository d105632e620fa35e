package engine

import (
	"net/netip"
	"slices"

	"carp/libcarp/config"
)

// A stranger that says a shared address is at his MAC takes the clients with him until somebody says otherwise. So a master announces at once, and
// again after defendEvery; for as long as the stranger goes on, it announces each defendEvery. RFC 5227, section 2.4(c), allows one answer in 10 s
// and no more, which leaves the last word to a stranger that answers the first announcement; it also makes him silent when he hears a second one
// within 10 s. The second comes after a client's locktime, within which he may have refused the first.

// defendEvery is how often a carp's addresses are defended at most: later than locktime, and well within RFC 5227's DEFEND_INTERVAL.
const defendEvery = 2 * second

// A defence is what a carp does about strangers.
type defence struct {
	last  Instant // when it last announced because of one
	due   Instant // when it does so again; 0: not
	heard bool    // one was heard since last
	named sourceLog

	// A stranger that may turn out to be a peer until due.
	addr netip.Addr // not valid: none
	mac  config.MAC
}

// duplicate answers a stranger. Between hosts with CARP there is nothing to defend: they have virtual MACs, or adverts come with what they announce, and
// whoever is master afterwards announces then. Only UCARP, which has its own MAC, may announce long before its advert: as a master it does so whenever
// it hears another one. To answer that would take the clients from it, to a host that is about to give way; so where other software was heard its next
// advert is waited for.
func (e *Engine) duplicate(now Instant, ev *Duplicate) {
	if isVirtual(ev.MAC) || e.isOurs(ev.MAC) {
		return
	}
	i := slices.IndexFunc(e.ordered, func(c *carp) bool { return c.answersFor(ev.Carpdev, ev.Addr) })
	if i < 0 {
		return
	}
	c := e.ordered[i]
	n, d := c.nodes[0], &c.defence
	if e.contested(n, now) {
		n.rival = true
		return
	}
	d.heard = true
	if d.due != 0 {
		if !d.addr.IsValid() {
			e.nameStranger(c, ev.Addr, ev.MAC, now)
		}
		return
	}
	d.due = now
	if n.others {
		d.due += 2 * e.interval(n)
		d.addr, d.mac = ev.Addr, ev.MAC
	} else {
		e.nameStranger(c, ev.Addr, ev.MAC, now)
	}
	if d.last != 0 {
		d.due = max(d.due, d.last+defendEvery)
	}
	e.defending = append(e.defending, c)
}

// contested reports whether another member was heard not long ago: then who answers is being settled.
func (e *Engine) contested(n *node, now Instant) bool {
	return n.accepted != 0 && now-n.accepted <= 3*e.interval(n)
}

// nameStranger logs that a stranger claims an address, once a minute (if_ether.c: in_arpinput; nd6_nbr.c: nd6_na_input, which does not say who).
func (e *Engine) nameStranger(c *carp, addr netip.Addr, mac config.MAC, now Instant) {
	switch {
	case !e.Verbose && e.machine.Sysctl.Log < int(Crit) || !c.defence.named.allow(addr, mac.String(), now):
	case addr.Is4():
		e.logf(Crit, "duplicate IP address %s sent from ethernet address %s", addr, mac)
	default:
		e.logf(Crit, "nd6_na_input: duplicate IP6 address %s sent from ethernet address %s", addr, mac)
	}
}

// answersFor reports whether the carp is master of a shared address.
func (c *carp) answersFor(carpdev int, addr netip.Addr) bool {
	return c.attached && c.link.Index == carpdev && len(c.nodes) > 0 && c.nodes[0].state == Master &&
		slices.ContainsFunc(c.cfg.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr })
}

// isVirtual reports whether a MAC is that of a virtual host, of whatever vhid, or of one whose hosts share its traffic (ip_carp.c: carp_set_enaddr): there
// the first byte is 1.
func isVirtual(mac config.MAC) bool {
	virtual := config.VirtualMAC(0)
	return mac[0]&^1 == virtual[0] && string(mac[1:5]) == string(virtual[1:5])
}

// isOurs reports whether this host has the MAC, on whichever interface: another one may be on the same network.
func (e *Engine) isOurs(mac config.MAC) bool {
	return slices.ContainsFunc(e.links, func(l config.Link) bool { return l.MAC == mac }) ||
		slices.ContainsFunc(e.ordered, func(c *carp) bool { return c.cfg.Lladdr() == mac })
}

// defend announces what is to be announced now.
func (e *Engine) defend(now Instant) {
	e.defending = slices.DeleteFunc(e.defending, func(c *carp) bool {
		if d := &c.defence; d.due != 0 && now >= d.due {
			e.answerStranger(c, now)
		}
		return c.defence.due == 0
	})
}

func (e *Engine) answerStranger(c *carp, now Instant) {
	n, d := c.nodes[0], &c.defence
	again := d.heard
	stranger, mac := d.addr, d.mac
	d.end()
	if e.contested(n, now) { // since then: what was heard will be answered with the next advert, or has been
		return
	}
	if stranger.IsValid() {
		e.nameStranger(c, stranger, mac, now)
	}
	e.announce(n)
	d.last = now
	if again {
		d.due = now + defendEvery
	}
}

// end forgets what is still to be done.
func (d *defence) end() { d.due, d.heard, d.addr = 0, false, netip.Addr{} }

// nextDefence returns when the next announcement is due; 0: none.
func (e *Engine) nextDefence() (at Instant) {
	for _, c := range e.defending {
		if at == 0 || c.defence.due < at {
			at = c.defence.due
		}
	}
	return at
}
