package engine

import (
	"net/netip"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// packetMax is the longest packet that we send: an IPv6 header and an advert.
const packetMax = 40 + wire.Size

// sendErrorLimit is how many sends in a row must fail, times the number of nodes, before the host is demoted, and how many must succeed before
// it no longer is (ip_carp.h: CARP_SENDAD_MAX_ERRORS, CARP_SENDAD_MIN_SUCCESS).
const sendErrorLimit = 3

// How many probes in a row must succeed before a backup believes that it can send again: three, and twice as many each time that
// it was wrong within a minute, lest a host whose adverts alone fail takes over and gives way for ever.
const (
	probesMax   = 96
	probesReset = 60 * second
)

// demotedSkew is what a demoted host claims at least with net.inet.carp.demoteskew (ip_carp.c 1.137).
const demotedSkew = 240

// claims returns what the node's adverts say, and what it decides by: they must never differ.
func (e *Engine) claims(n *node) terms {
	t := terms{advbase: n.carp.cfg.Advbase, advskew: n.advskew, demote: n.carp.demotion}
	if e.machine.Sysctl.DemoteSkew != 0 && t.demote > 0 {
		t.advskew = max(t.advskew, demotedSkew)
	}
	return t
}

// source returns the address that the carp's adverts over a family come from: the carpdev's first, else its own first. Over IPv6 to a group
// or to a link-local peer it is a link-local one, if there is any.
func (c *carp) source(f family) netip.Addr {
	unspecified := netip.IPv4Unspecified()
	if f == inet6 {
		unspecified = netip.IPv6Unspecified()
	}
	local := f == inet6 && (!c.cfg.Peer6.IsValid() || c.cfg.Peer6.IsLinkLocalUnicast() || c.cfg.Peer6.IsMulticast())
	for _, addrs := range [][]netip.Prefix{c.link.Addrs, c.cfg.Addrs} {
		first := unspecified
		for _, p := range addrs {
			a := p.Addr()
			switch {
			case familyOf(a) != f:
			case f == inet || a.IsLinkLocalUnicast() == local:
				return a
			case first == unspecified:
				first = a
			}
		}
		if first != unspecified {
			return first
		}
	}
	return unspecified
}

// destination returns where the carp's adverts over a family go.
func (c *carp) destination(f family) netip.Addr {
	peer, group := c.cfg.Peer, wire.GroupIPv4
	if f == inet6 {
		peer, group = c.cfg.Peer6, wire.GroupIPv6
	}
	if peer.IsValid() {
		return peer
	}
	return group
}

// peers returns the destinations that are not the groups.
func (c *carp) peers() (peers []netip.Addr) {
	for _, p := range []netip.Addr{c.cfg.Peer, c.cfg.Peer6} {
		if p.IsValid() {
			peers = append(peers, p)
		}
	}
	return peers
}

// advert takes the next of the adverts that Steps reuse.
func (e *Engine) advert() *SendAdvert {
	if e.used == len(e.adverts) {
		e.adverts = append(e.adverts, new(SendAdvert))
	}
	e.used++
	return e.adverts[e.used-1]
}

// restore lets the clock go on from what the memory knows of the last engine's.
func (e *Engine) restore(n *node, now Instant) {
	if !n.restored {
		n.restored = true
		e.clock.hear(now, n.memory.Newest)
	}
}

// sendAdvert builds and emits the node's adverts, one for each family that it has addresses of.
func (e *Engine) sendAdvert(n *node, now Instant, bowOut bool) {
	e.restore(n, now)
	for f := inet; f < families; f++ {
		if n.carp.has(f) {
			e.sendOver(f, n, now, bowOut)
		}
	}
}

func (e *Engine) sendOver(f family, n *node, now Instant, bowOut bool) {
	c, t := n.carp, e.claims(n)
	if bowOut {
		t.advbase, t.advskew = wire.BowOut, wire.BowOut
	}
	ad := wire.Advert{
		Version: wire.Version, Type: wire.Type, Authlen: wire.Authlen,
		VHID: n.vhid, Advbase: t.advbase, Advskew: t.advskew, Demote: t.demote,
	}
	random := e.random.Uint64()
	ad.Seal(e.clock.stamp(now, n.memory.Newest, random))
	ad.HMAC = n.auth.Sum(ad.Counter)
	n.memory.sent(ad.Counter)

	s := e.advert()
	s.Carp, s.VHID, s.Carpdev, s.From, s.Dst, s.BowOut = c.cfg.Name, n.vhid, c.link.Index, c.macOf(n), c.destination(f), bowOut
	s.Interval = e.interval(n)
	header := wire.IPv4Header
	if f == inet6 {
		header = wire.IPv6Header
		wire.MarshalIPv6(s.buf[:], c.source(f), s.Dst)
		e.count(c, config.Opackets6) // before sending, failures included (ip_carp.c: carp_send_ad)
	} else {
		wire.MarshalIPv4(s.buf[:], uint16(random>>16), c.source(f), s.Dst)
		e.count(c, config.Opackets)
	}
	s.Packet = s.buf[:header+wire.Size]
	ad.Marshal(s.Packet[header:])
	s.Prepared = nil
	if !bowOut {
		e.prepare(f, n, s, &ad, uint16(random>>16))
	}
	e.emit(s)
}

// prepare makes the bow-out that follows an advert, for the case that nobody else can make it any more. Its time is the next one; if it is never sent, another
// advert may have the same, with another header.
func (e *Engine) prepare(f family, n *node, s *SendAdvert, last *wire.Advert, id uint16) {
	ad := *last
	ad.Advbase, ad.Advskew = wire.BowOut, wire.BowOut
	ad.Seal(min(timeOf(last.Counter)+1, wire.SealMax))
	ad.HMAC = n.auth.Sum(ad.Counter)
	header := len(s.Packet) - wire.Size
	if f == inet {
		wire.MarshalIPv4(s.prepared[:], id+1, n.carp.source(f), s.Dst)
	} else {
		wire.MarshalIPv6(s.prepared[:], n.carp.source(f), s.Dst)
	}
	s.Prepared = s.prepared[:len(s.Packet)]
	ad.Marshal(s.Prepared[header:])
	n.prepared[f] = ad.Counter
	e.touch(n)
}

// macOf returns where the node's adverts come from: the interface's own link-level address for the leader, for others their virtual MAC.
func (c *carp) macOf(n *node) config.MAC {
	if n == c.nodes[0] {
		return c.cfg.Lladdr()
	}
	return config.VirtualMAC(n.vhid)
}

// sending is how a carp's sending over one family goes.
type sending struct {
	errors    int     // consecutive
	successes int     // consecutive, counted while failing
	failing   bool    // the host is demoted for it
	probeAt   Instant // when a failing backup tries again
	probes    int     // how many tries have to succeed, when more than usual
	recovered Instant // when it last ceased to fail
}

// What OpenBSD calls the causes and the function that failed, by family.
var (
	sendErrorCause = [families]string{"snderrors", "snd6errors"}
	sendFunction   = [families]string{"ip_output", "ip6_output"}
)

// sentAdvert takes note of how a send ended (ip_carp.c: carp_send_ad).
func (e *Engine) sentAdvert(now Instant, ev *Sent) {
	c := e.carps[ev.Carp]
	if c == nil || !c.running { // in INIT nothing can be found out any more, so that a failure would demote the host for good
		return
	}
	f := inet
	if ev.IPv6 {
		f = inet6
	}
	o, limit := &c.out[f], sendErrorLimit*len(c.nodes)
	switch {
	case ev.Errno == config.EHOSTDOWN: // a unicast peer that is switched off is not our fault
	case ev.Errno == config.OK && !o.failing:
		o.errors = 0
	case ev.Errno == config.OK:
		if o.successes++; o.successes >= max(limit, o.probes) {
			e.recover(c, f, now)
		}
	default:
		if ev.Errno == config.ENOMEM {
			e.count(c, config.Onomem)
		} else {
			e.logf(Warning, "%s: %s failed: %d", c.cfg.Name, sendFunction[f], ev.Errno)
		}
		o.successes = 0
		if o.errors++; o.errors >= limit && !o.failing {
			e.fail(c, f, now)
		}
	}
}

// fail demotes the host, since a carp of it cannot send.
func (e *Engine) fail(c *carp, f family, now Instant) {
	o := &c.out[f]
	o.failing, o.successes, o.probeAt = true, 0, now
	e.touchAll(c)
	if o.recovered != 0 && now-o.recovered < probesReset {
		o.probes = min(2*max(o.probes, sendErrorLimit), probesMax)
	} else {
		o.probes = 0
	}
	if !slices.Contains(e.failing, c) {
		e.failing = append(e.failing, c)
	}
	e.demoted(c, 1, "> "+sendErrorCause[f])
}

// recover takes that back.
func (e *Engine) recover(c *carp, f family, now Instant) {
	o := &c.out[f]
	o.failing, o.errors, o.recovered = false, 0, now
	e.touchAll(c)
	if !c.out[inet].failing && !c.out[inet6].failing {
		e.failing = slices.DeleteFunc(e.failing, func(o *carp) bool { return o == c })
	}
	e.demoted(c, -1, "< "+sendErrorCause[f])
}

// probe lets the carps that failed to send, and are backups now, try.
func (e *Engine) probe(now Instant) {
	for _, c := range e.failing {
		for f := range c.out {
			if o := &c.out[f]; o.failing && now >= o.probeAt && c.nodes[0].state == Backup {
				o.probeAt = now + e.interval(c.nodes[0])
				e.emit(&Probe{Carp: c.cfg.Name, Carpdev: c.link.Index, IPv6: family(f) == inet6})
			}
		}
	}
}

// nextProbe returns when the next probe is due; 0: none.
func (e *Engine) nextProbe() (at Instant) {
	for _, c := range e.failing {
		for f := range c.out {
			if o := &c.out[f]; o.failing && c.nodes[0].state == Backup && (at == 0 || o.probeAt < at) {
				at = o.probeAt
			}
		}
	}
	return at
}
