package engine

import "net/netip"

// A Peer is another host with our key, as its last advert, bow-outs apart, described it.
type Peer struct {
	Addr                     netip.Addr // where the advert came from; the zero Addr when none came
	Advbase, Advskew, Demote uint8
}

// notePeer remembers who was heard last over each family. It is published when something of it has changed, and so not with each advert.
func (c *carp) notePeer(e *Engine, src netip.Addr, t terms) {
	if t.isBowOut() {
		return
	}
	p := Peer{src, t.advbase, t.advskew, t.demote}
	if at := &c.seen[familyOf(src)]; *at != p {
		*at = p
		e.publish(c)
	}
}
