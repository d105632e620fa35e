package engine

import (
	"errors"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// receive judges a packet in OpenBSD's order, so that each fault is counted as there (spec E.5; ip_carp.c: carp_proto_input_c).
// A packet that is refused changes counters alone.
func (e *Engine) receive(now Instant, p *Packet) {
	link := e.linkIndex(p.Carpdev)
	e.count(nil, config.Ipackets)
	if e.machine.Sysctl.Allow == 0 {
		return
	}
	if link == nil || !p.Dst.IsMulticast() && !e.hasCarps(p.Carpdev) {
		e.count(nil, config.Badif)
		e.logf(Info, "carp: packet received on non-carp interface: %s", linkName(link))
		return
	}
	if p.TTL != wire.TTL {
		e.count(nil, config.Badttl)
		e.logf(Notice, "carp: received ttl %d != 255 on %s", p.TTL, link.Name)
		return
	}
	ad, err := wire.Parse(p.Payload)
	switch {
	case errors.Is(err, wire.ErrShort):
		e.count(nil, config.Badlen)
		e.logf(Info, "carp: packet too short %d on %s", wire.IPv4Header+len(p.Payload), link.Name)
		return
	case err != nil:
		e.count(nil, config.Badsum)
		e.logf(Info, "carp: checksum failed on %s", link.Name)
		return
	}
	n := e.byVHID[vhidOn{p.Carpdev, ad.VHID}]
	if n == nil || !n.carp.running || !p.Dst.IsMulticast() {
		e.count(nil, config.Badvhid)
		return
	}
	c := n.carp
	c.stats[config.Ipackets]++
	if ad.Version != wire.Version {
		e.count(c, config.Badver)
		e.logf(Notice, "%s: invalid version %d != 2", c.cfg.Name, ad.Version)
		return
	}
	ok, present := n.verify(&ad, now)
	if !ok {
		e.count(c, config.Badauth)
		e.wrongHash(c, p, now)
		return
	}
	if n.sent.has(ad.Counter) {
		e.count(c, config.Badauth)
		e.logf(Warning, "%s: replay or network loop detected", c.cfg.Name)
		return
	}
	if present { // a peer's, not our own come back: nobody needs the previous lists any more
		n.previous = nil
	}
	e.accept(n, &ad, p, now)
}

// wrongHash: OpenBSD says it at level 6 only and names nobody, but it is what one gets for two misconfigured hosts, both master
// (wire.md, choice 9).
func (e *Engine) wrongHash(c *carp, p *Packet, now Instant) {
	if (e.Verbose || e.machine.Sysctl.Log >= int(Alert)) && c.hashLog.allow(p.Src, now) {
		e.logf(Alert, "%s: incorrect hash from %s: pass phrase or address list differs", c.cfg.Name, p.Src)
	}
}

// verify accepts the HMAC over the present list of addresses, and over previous ones until the peer uses the present one, so
// that an address can be added on one host after the other (wire.md, choice 6).
func (n *node) verify(ad *wire.Advert, now Instant) (ok, present bool) {
	if n.auth.Verify(ad) || n.authLL != nil && n.authLL.Verify(ad) {
		return true, true
	}
	return slices.ContainsFunc(n.previous, func(o oldAuth) bool { return now < o.until && o.auth.Verify(ad) }), false
}

// accept acts on an advert of somebody with our key.
func (e *Engine) accept(n *node, ad *wire.Advert, p *Packet, now Instant) {
	t, sealed := ad.Sealed()
	if sealed {
		e.clock.hear(now, t)
	}
	own, peer := e.claims(n), terms{ad.Advbase, ad.Advskew, ad.Demote}
	if peer.advbase != own.advbase && !peer.isBowOut() && !n.carp.baseSeen {
		// Two hosts with unequal advbase and demotion can flap for ever (wire.md, choice 10).
		n.carp.baseSeen = true
		e.logf(Warning, "%s: %s advertises advbase %d, ours is %d", n.carp.cfg.Name, p.Src, peer.advbase, own.advbase)
	}
	in, reason := heard, ""
	switch n.state {
	case Backup:
		in, reason = decideBackup(own, peer, e.machine.Sysctl.Preempt != 0)
	case Master:
		tied := false
		if in, tied, reason = decideMaster(own, peer); !tied {
			n.tie = tie{}
		} else if n.tie.yields(n.carp.source(), p.Src, sealed) {
			in = yield
		}
	}
	e.feed(n, in, now, reason)
}

func linkName(l *config.Link) string {
	if l == nil {
		return "?"
	}
	return l.Name
}
