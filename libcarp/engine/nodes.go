package engine

// A NodeView is all of a virtual host that an event may change, counters apart. Two that are equal stand for the same node in the same state.
type NodeView struct {
	Carp     string
	VHID     uint8
	State    State
	Deadline Instant // 0: nothing is waited for
	Running  bool

	Advbase, Advskew, Demote uint8 // what its adverts say and what it decides by

	Suppressed               bool    // its part of the host's demotion
	Failing                  [2]bool // another, over IPv4 and over IPv6
	SendErrors, SendSuccess  [2]int  // in a row
	Ties, Announcements      int
	Rival, Deferred, OldKeys bool
	Unheard                  bool   // another master, by its adverts
	Newest                   int64  // of its Memory
	Sent, Accepted           uint64 // how many counters went into it
}

// Nodes appends all virtual hosts to dst, in the order of their carps' creation.
func (e *Engine) Nodes(dst []NodeView) []NodeView {
	for _, c := range e.ordered {
		for _, n := range c.nodes {
			t := e.claims(n)
			v := NodeView{
				Carp: c.cfg.Name, VHID: n.vhid, State: n.state, Deadline: n.deadline, Running: c.running,
				Advbase: t.advbase, Advskew: t.advskew, Demote: t.demote,
				Suppressed: c.suppressed, Ties: n.tie.count, Announcements: n.garp, Rival: n.rival, Unheard: n.unheard, Deferred: n.deferred,
				OldKeys: len(n.previous) > 0, Newest: n.memory.Newest, Sent: n.memory.SentTotal, Accepted: n.memory.AcceptedTotal,
			}
			for f, o := range c.out {
				v.Failing[f], v.SendErrors[f], v.SendSuccess[f] = o.failing, o.errors, o.successes
			}
			dst = append(dst, v)
		}
	}
	return dst
}
