package sim

import (
	"slices"

	"carp/libcarp/engine"
)

// A Result is how a scenario ended.
type Result struct {
	Violation  *Violation // nil: every rule held
	Hash       uint64
	Events     uint64 // adverts sent and delivered, outcomes of sends, ticks
	Accepted   uint64 // adverts that our hosts accepted
	Refused    uint64 // first-delivered adverts of live hosts that our hosts refused before these had heard them
	Crowded    uint64 // the same in a crowd
	Coincident uint64 // and for a counter of their own
	Attacks    uint64 // packets that the attacker sent
	Time       int64  // simulated, in nanoseconds
}

// Run runs a scenario. The trace may be nil.
func Run(s *Scenario, mischief Mischief, trace func(at int64, line string)) Result {
	w := newWorld(s)
	w.Trace, w.mischief = trace, mischief
	w.run(s.Calm)
	w.settle()
	return Result{
		Violation: w.failure, Hash: w.hash, Events: w.Events, Accepted: w.accepted, Refused: w.refused, Crowded: w.crowded, Coincident: w.coincident,
		Attacks: w.tape.sent, Time: w.now,
	}
}

// settle lets the cluster come to rest after the last fault, and sees that it does: within the protocol's bound the one right master, and
// every cause of a demotion gone.
func (w *World) settle() {
	longest := int64(0)
	for n := range w.vhosts {
		for _, m := range w.vhosts[n].members {
			c, _, _, _ := w.vhosts[n].look(w, m)
			longest = max(longest, c.interval())
		}
	}
	longest = max(longest, second/10)
	const most = 110 // probes: 96, and some time around them
	for range most {
		w.run(w.now + longest)
		if w.failure != nil {
			return
		}
		if !w.failing() {
			break
		}
	}
	if w.failing() {
		w.fail("every cause of demotion can be undone", "%d intervals after the last fault somebody still cannot send", most)
		return
	}
	w.run(w.now + 15*longest)
	since := w.now
	w.run(w.now + 8*longest)
	if w.failure != nil || w.noise > 0 {
		return
	}
	for id := range w.stations {
		if h := w.stations[id].host; h != nil && h.up {
			lost := 0
			for n := range h.nodes {
				if h.nodes[n].Suppressed {
					lost++
				}
			}
			if d := h.engine.GroupDemotion("carp"); d != h.manual+lost || lost > 0 && h.linkDown == 0 {
				w.fail("every cause of demotion can be undone", "host %d: %d; by hand %d, carriers lost %d", id, d, h.manual, lost)
			}
		}
	}
	for n := range w.vhosts {
		if v := &w.vhosts[n]; !v.restless(w) {
			v.settled(w, since)
		}
	}
}

// failing reports whether a host still believes that it cannot send.
func (w *World) failing() bool {
	for id := range w.stations {
		if h := w.stations[id].host; h != nil && h.up && slices.ContainsFunc(h.nodes, func(n engine.NodeView) bool { return n.Failing != [2]bool{} }) {
			return true
		}
	}
	return false
}
