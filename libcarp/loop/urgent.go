package loop

import (
	"carp/libcarp/config"
	"carp/libcarp/engine"
)

// urgentBelow is the interval of adverts, in nanoseconds, below which the loop must not wait for its turn among the other processes: on a busy machine
// that takes some ten milliseconds, and a lease of two intervals runs out meanwhile.
const urgentBelow = engine.Instant(100e6)

// intervalOf is the shortest time between two adverts of a carp, before any demotion.
func intervalOf(i *config.Interface) engine.Instant {
	skew := uint8(config.AdvskewMax)
	for _, n := range i.Nodes {
		skew = min(skew, n.Advskew)
	}
	return engine.Instant(i.Advbase)*1e9 + engine.Instant(skew)*1e9/256
}

// hurry tells Urgent when the first carp with a short interval begins to run, and when none does any more.
func (l *Loop) hurry(carp string, fast bool) {
	if fast {
		l.fast[carp] = true
	} else {
		delete(l.fast, carp)
	}
	if urgent := len(l.fast) > 0; urgent != l.urgent {
		l.urgent = urgent
		if l.Urgent != nil {
			l.Urgent(urgent)
		}
	}
}
