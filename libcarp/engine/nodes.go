package engine

// A NodeView is all of a virtual host that an event may change, counters apart. Two that are equal stand for the same node in the same state.
type NodeView struct {
	Carp     string
	VHID     uint8
	State    State
	Deadline Instant // 0: nothing is waited for
	Running  bool

	Advbase, Advskew, Demote uint8 // what its adverts say and what it decides by

	Suppressed, Failing      bool // its part of the host's demotion
	SendErrors, SendSuccess  int
	Ties, Announcements      int
	Rival, Deferred, OldKeys bool
}

// Nodes appends all virtual hosts to dst, in the order of their carps' creation.
func (e *Engine) Nodes(dst []NodeView) []NodeView {
	for _, c := range e.ordered {
		for _, n := range c.nodes {
			t := e.claims(n)
			dst = append(dst, NodeView{
				Carp: c.cfg.Name, VHID: n.vhid, State: n.state, Deadline: n.deadline, Running: c.running,
				Advbase: t.advbase, Advskew: t.advskew, Demote: t.demote,
				Suppressed: c.suppressed, Failing: c.failing, SendErrors: c.sendErrors, SendSuccess: c.sendSuccess,
				Ties: n.tie.count, Announcements: n.garp, Rival: n.rival, Deferred: n.deferred, OldKeys: len(n.previous) > 0,
			})
		}
	}
	return dst
}
