package engine

import "carp/libcarp/config"

// count adds to a counter of the machine, and of the carp where it is known.
func (e *Engine) count(c *carp, which config.Counter) {
	e.stats[which]++
	if c != nil {
		e.countCarp(c, which)
	}
}

// countCarp adds to a counter of the carp alone.
func (e *Engine) countCarp(c *carp, which config.Counter) {
	c.stats[which]++
	if !c.counted {
		c.counted = true
		e.counted = append(e.counted, c)
	}
}

// CountOn sets the counters of the machine and of its carps to those that an engine before had; carps that are not configured are passed
// over. It is called before the first Step.
func (e *Engine) CountOn(machine config.Stats, carps map[string]config.Stats) {
	e.stats = machine
	for name, s := range carps {
		if c := e.carps[name]; c != nil {
			c.stats = s
		}
	}
}

// Counted calls tell with the counters of each carp for which the last Step has counted something. They are valid only during the call.
func (e *Engine) Counted(tell func(carp string, s *config.Stats)) {
	for _, c := range e.counted {
		if e.carps[c.cfg.Name] == c { // else it was destroyed
			tell(c.cfg.Name, &c.stats)
		}
	}
}
