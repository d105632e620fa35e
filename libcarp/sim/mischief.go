package sim

import (
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

// A Mischief breaks something on purpose, to see that the rules notice. It sits between the engine and the world, and on host 0 alone.
type Mischief int

// The mischiefs.
const (
	Honest     Mischief = iota
	Sluggish            // its timer never rings
	Hasty               // its timer rings early, and it is told that it is time
	Deafened            // it hears nothing
	Misread             // it reads advskew 0 in every advert
	Liar                // it says another demotion than it decides by
	Backwards           // its effects come in the opposite order
	Forgetful           // it never learns that a send went well
	Gullible            // a refused packet restarts its timers
	Credulous           // it has net.inet.carp.replay 0, whatever the others have
	Suspicious          // it has 2
	Stubborn            // peers never yield
	Idle                // peers never take over
	mischiefs
)

var mischiefNames = [mischiefs]string{"honest", "sluggish", "hasty", "deafened", "misread", "liar", "backwards", "forgetful", "gullible", "credulous", "suspicious", "stubborn", "idle"}

func (m Mischief) String() string { return mischiefNames[m] }

// on reports whether h is the one.
func (m Mischief) on(h *host) bool { return h.w.mischief == m && h.id == 0 }

const haste = 200 * millisecond

// ring returns when the timer rings that should ring at the given time; 0: never.
func (m Mischief) ring(h *host, at int64) int64 {
	switch {
	case Sluggish.on(h):
		return 0
	case Hasty.on(h):
		return at - haste
	}
	return at
}

// replay returns what the host's net.inet.carp.replay is set to.
func (m Mischief) replay(h *host) int {
	switch {
	case Credulous.on(h):
		return 0
	case Suspicious.on(h):
		return 2
	}
	return h.w.scenario.Replay
}

// step stands in for the engine's Step.
func (m Mischief) step(h *host, now engine.Instant, ev engine.Event) []engine.Effect {
	switch p := ev.(type) {
	case *engine.Tick:
		if Hasty.on(h) {
			now = max(now, h.armed)
		}
	case *engine.Sent:
		if Forgetful.on(h) && p.Errno == config.OK {
			ev = &engine.Tick{Clock: p.Clock}
		}
	case *engine.Packet:
		switch {
		case Misread.on(h):
			if ad, err := wire.Parse(p.Payload); err == nil && !ad.IsBowOut() {
				ad.Advskew = 0
				q := *p
				q.Payload = make([]byte, wire.Size)
				ad.Marshal(q.Payload)
				ev = &q
			}
		case Gullible.on(h):
			before := h.engine.Stats()
			effects := h.engine.Step(now, ev)
			if after := h.engine.Stats(); !isRefused(&before, &after) {
				return effects
			}
			ch := config.Change{Kind: config.ForInterface, Name: h.carps[0].name, Clauses: []config.Clause{{Word: config.Advskew, N: int(h.carps[0].skew)}}}
			plan, err := h.engine.Plan(ch)
			if err != nil {
				panic(err)
			}
			ev = &engine.Configure{Clock: p.Clock, Plan: plan}
		}
	}
	effects := h.engine.Step(now, ev)
	switch {
	case Backwards.on(h):
		slices.Reverse(effects)
	case Liar.on(h):
		for _, f := range effects {
			if s, ok := f.(*engine.SendAdvert); ok {
				b := s.Packet[len(s.Packet)-wire.Size:]
				if ad, err := wire.Parse(b); err == nil {
					ad.Demote++
					ad.Marshal(b)
				}
			}
		}
	}
	return effects
}
