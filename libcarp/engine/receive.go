package engine

import (
	"errors"
	"net/netip"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// receive judges a packet in OpenBSD's order, so that each fault is counted as there (ip_carp.c: carp_proto_input_c).
// A packet that is refused changes counters alone.
func (e *Engine) receive(now Instant, p *Packet) {
	link, packets := e.linkIndex(p.Carpdev), config.Ipackets
	if p.Dst.Is6() {
		packets = config.Ipackets6
	}
	e.count(nil, packets)
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
	if err != nil {
		if !e.isVRRP(p, now) {
			e.unparsed(p, link.Name, err)
		}
		return
	}
	n := e.byVHID[vhidOn{p.Carpdev, ad.VHID}]
	if n == nil || !n.carp.running || !n.carp.listensTo(p.Dst) {
		e.count(nil, config.Badvhid)
		return
	}
	c := n.carp
	e.countCarp(c, packets)
	n.arrived = now
	if ad.Version != wire.Version {
		if e.isVRRP(p, now) {
			return
		}
		e.count(c, config.Badver)
		e.logf(Notice, "%s: invalid version %d != 2", c.cfg.Name, ad.Version)
		return
	}
	current := n.verify(&ad)
	if !current && !n.verifyPrevious(&ad, now) {
		if e.isVRRP(p, now) {
			return
		}
		e.count(c, config.Badauth)
		e.named(c, Alert, p.Src, "incorrect hash from %s: pass phrase or address list differs", now)
		return
	}
	if n.memory.hasSent(ad.Counter) {
		e.count(c, config.Badauth)
		e.logf(Warning, "%s: replay or network loop detected", c.cfg.Name)
		return
	}
	switch n.memory.judge(&ad, e.machine.Sysctl.Replay, e.clock.behind(now, timeOf(ad.Counter))) {
	case replayed:
		e.count(c, config.Badauth)
		e.count(c, config.Replayed)
		e.named(c, Crit, p.Src, "replayed advertisement from %s", now)
		return
	case altered:
		e.count(c, config.Badauth)
		e.count(c, config.Altered)
		e.named(c, Crit, p.Src, "altered advertisement from %s", now)
		return
	}
	if current { // a peer's, not our own come back: nobody needs the previous lists any more
		n.previous = nil
	}
	e.accept(n, &ad, p, now)
}

// foreign counts adverts that the host has found to be of other vhids.
func (e *Engine) foreign(ev *Foreign) {
	e.stats[config.Ipackets] += ev.IPv4
	e.stats[config.Ipackets6] += ev.IPv6
	if e.machine.Sysctl.Allow != 0 {
		e.stats[config.Badvhid] += ev.IPv4 + ev.IPv6
	}
}

// unparsed counts what is no advert. The texts differ between the families as OpenBSD's do.
func (e *Engine) unparsed(p *Packet, link string, err error) {
	short, six := errors.Is(err, wire.ErrShort), p.Dst.Is6()
	switch {
	case short && six:
		e.count(nil, config.Badlen)
		e.logf(Info, "carp: packet size %d too small on %s", len(p.Payload), link)
	case short:
		e.count(nil, config.Badlen)
		e.logf(Info, "carp: packet too short %d on %s", wire.IPv4Header+len(p.Payload), link)
	case six:
		e.count(nil, config.Badsum)
		e.logf(Info, "carp: checksum failed, on %s", link)
	default:
		e.count(nil, config.Badsum)
		e.logf(Info, "carp: checksum failed on %s", link)
	}
}

// listensTo reports whether the carp takes adverts to that destination: with a unicast peer only unicast ones, else only those to a
// group (ip_carp.c: carp_proto_input_c). Over IPv6 OpenBSD has no peers and does not look.
func (c *carp) listensTo(dst netip.Addr) bool {
	if dst.Is6() {
		return !c.cfg.Peer6.IsValid() || dst.IsMulticast() == c.cfg.Peer6.IsMulticast()
	}
	unicast := c.cfg.Peer.IsValid() && !c.cfg.Peer.IsMulticast()
	return dst.IsMulticast() != unicast
}

// vrrpLogEvery is how often a VRRP router is complained of.
const vrrpLogEvery = 3600 * second

// isVRRP takes note of a packet that is none of ours, if it is VRRP's. A router whose number is one of our vhids has the same virtual MAC, and
// takes its traffic.
func (e *Engine) isVRRP(p *Packet, now Instant) bool {
	vrid, ok := wire.IsVRRP(p.Payload)
	if !ok {
		return false
	}
	n := e.byVHID[vhidOn{p.Carpdev, vrid}]
	if n == nil {
		e.count(nil, config.VRRP)
		return true
	}
	c := n.carp
	e.count(c, config.VRRP)
	if c.vrrpLog == 0 || now-c.vrrpLog >= vrrpLogEvery {
		c.vrrpLog = now
		e.logf(Crit, "%s: VRRP router %s uses virtual MAC %s, choose another vhid", c.cfg.Name, p.Src, config.VirtualMAC(vrid))
	}
	return true
}

// named logs what a source is to blame for, once a minute. OpenBSD says nothing of a wrong hash below level 6, and names nobody, but it
// is what one gets for two misconfigured hosts, both master.
func (e *Engine) named(c *carp, level Level, src netip.Addr, format string, now Instant) {
	if (e.Verbose || e.machine.Sysctl.Log >= int(level)) && c.sources.allow(src, format, now) {
		e.logf(level, "%s: "+format, c.cfg.Name, src)
	}
}

// verify accepts the HMAC over the present list of addresses, with and without link-local ones.
func (n *node) verify(ad *wire.Advert) bool {
	return n.auth.Verify(ad) || slices.ContainsFunc(n.authLL, func(a *wire.Auth) bool { return a.Verify(ad) })
}

// verifyPrevious accepts the HMAC over previous lists until the peer uses the present one, so that an address can be added on one host
// after the other.
func (n *node) verifyPrevious(ad *wire.Advert, now Instant) bool {
	return slices.ContainsFunc(n.previous, func(o oldAuth) bool { return now < o.until && o.auth.Verify(ad) })
}

// accept acts on an advert of somebody with our key.
func (e *Engine) accept(n *node, ad *wire.Advert, p *Packet, now Instant) {
	n.unheard, n.accepted = false, now
	t, sealed := ad.Sealed()
	e.restore(n, now)
	n.others = n.others || !sealed
	if sealed {
		n.memory.accepted(ad.Counter)
		e.clock.hear(now, t)
	}
	four := p.Src.Is4()
	if four {
		n.heard = now
	}
	own, peer := e.claims(n), terms{ad.Advbase, ad.Advskew, ad.Demote}
	n.carp.notePeer(e, p.Src, peer)
	if peer.advbase != own.advbase && !peer.isBowOut() && !n.carp.baseSeen {
		// Two hosts with unequal advbase and demotion can flap for ever: the one with the lower advbase finds the other too slow, who is
		// less demoted and takes it back.
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
		} else if (four || !e.hearsIPv4(n, now)) && n.tie.yields(n.carp.source(familyOf(p.Src)), p.Src, sealed) {
			in = yield
		}
		if in == yield && n.carp.own {
			e.lastWord(n, now)
		}
	}
	e.feed(n, in, now, reason)
}

// lastWord advertises once more before a master gives way. After a partition it may have heard the winner before the winner heard it, who then would not
// know that there are clients to tell: with the carpdev's own MAC they go on to ask this host. With the virtual MAC it is the other way round: they
// need not be told, and an advert would send them here.
func (e *Engine) lastWord(n *node, now Instant) { e.sendAdvert(n, now, false) }

// hearsIPv4: a tie over IPv6 counts only when no IPv4 advert came for three intervals, lest one family says stay and
// the other go.
func (e *Engine) hearsIPv4(n *node, now Instant) bool {
	return n.heard != 0 && n.carp.has(inet) && now-n.heard <= 3*e.interval(n)
}

func linkName(l *config.Link) string {
	if l == nil {
		return "?"
	}
	return l.Name
}
