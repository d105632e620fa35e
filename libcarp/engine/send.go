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

// claims returns what the node's adverts say, and what it decides by: they must never differ.
func (e *Engine) claims(n *node) terms {
	return terms{advbase: n.carp.cfg.Advbase, advskew: n.advskew, demote: n.carp.demotion}
}

// source returns the address that the carp's adverts come from: the carpdev's first, else its own first.
func (c *carp) source() netip.Addr {
	for _, p := range c.link.Addrs {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	for _, p := range c.cfg.Addrs {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.IPv4Unspecified()
}

// advert takes the next of the adverts that Steps reuse.
func (e *Engine) advert() *SendAdvert {
	if e.used == len(e.adverts) {
		e.adverts = append(e.adverts, new(SendAdvert))
	}
	e.used++
	return e.adverts[e.used-1]
}

// sendAdvert builds and emits one advert of the node.
func (e *Engine) sendAdvert(n *node, now Instant, bowOut bool) {
	c, t := n.carp, e.claims(n)
	if bowOut {
		t.advbase, t.advskew = wire.BowOut, wire.BowOut
	}
	ad := wire.Advert{
		Version: wire.Version, Type: wire.Type, Authlen: wire.Authlen,
		VHID: n.vhid, Advbase: t.advbase, Advskew: t.advskew, Demote: t.demote,
	}
	random := e.random.Uint64()
	ad.Seal(e.clock.stamp(now, random))
	ad.HMAC = n.auth.Sum(ad.Counter)
	n.sent.add(ad.Counter)

	s := e.advert()
	s.Carp, s.Carpdev, s.From, s.Dst, s.BowOut = c.cfg.Name, c.link.Index, config.VirtualMAC(n.vhid), wire.GroupIPv4, bowOut
	s.Interval = n.interval()
	s.Packet = s.buf[:wire.IPv4Header+wire.Size]
	wire.MarshalIPv4(s.Packet, uint16(random>>16), c.source(), s.Dst)
	ad.Marshal(s.Packet[wire.IPv4Header:])
	e.count(c, config.Opackets) // before sending, failures included (spec E.8)
	e.emit(s)
}

// sentAdvert takes note of how a send ended (spec E.8; ip_carp.c: carp_send_ad).
func (e *Engine) sentAdvert(now Instant, ev *Sent) {
	c := e.carps[ev.Carp]
	if c == nil {
		return
	}
	limit := sendErrorLimit * len(c.nodes)
	switch {
	case ev.Errno == config.OK && !c.failing:
		c.sendErrors = 0
	case ev.Errno == config.OK:
		if c.sendSuccess++; c.sendSuccess >= max(limit, c.probes) {
			e.recover(c, now)
		}
	default:
		if ev.Errno == config.ENOMEM {
			e.count(c, config.Onomem)
		} else {
			e.logf(Warning, "%s: ip_output failed: %d", c.cfg.Name, ev.Errno)
		}
		c.sendSuccess = 0
		if c.sendErrors++; c.sendErrors >= limit && !c.failing {
			e.fail(c, now)
		}
	}
}

// fail demotes the host, since a carp of it cannot send.
func (e *Engine) fail(c *carp, now Instant) {
	c.failing, c.sendSuccess, c.probeAt = true, 0, now
	if c.recovered != 0 && now-c.recovered < probesReset {
		c.probes = min(2*max(c.probes, sendErrorLimit), probesMax)
	} else {
		c.probes = 0
	}
	e.failing = append(e.failing, c)
	e.demoted(c, 1, "> snderrors", now)
}

// recover takes that back.
func (e *Engine) recover(c *carp, now Instant) {
	c.failing, c.sendErrors, c.recovered = false, 0, now
	e.failing = slices.DeleteFunc(e.failing, func(o *carp) bool { return o == c })
	e.demoted(c, -1, "< snderrors", now)
}

// probe lets the carps that failed to send, and are backups now, try.
func (e *Engine) probe(now Instant) {
	for _, c := range e.failing {
		if now >= c.probeAt && c.nodes[0].state == Backup {
			c.probeAt = now + c.nodes[0].interval()
			e.emit(&Probe{Carp: c.cfg.Name, Carpdev: c.link.Index})
		}
	}
}

// nextProbe returns when the next probe is due; 0: none.
func (e *Engine) nextProbe() (at Instant) {
	for _, c := range e.failing {
		if c.nodes[0].state == Backup && (at == 0 || c.probeAt < at) {
			at = c.probeAt
		}
	}
	return at
}
