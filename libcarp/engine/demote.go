package engine

import (
	"slices"

	"carp/libcarp/config"
)

// The demotion of a group is what its holders say plus what the engine sees itself: 1 for each carp in it whose carpdev has lost its
// link, 1 for each that cannot send. The latter are derived and never counted up and down, so no cause can be left behind.

// Demotion returns the engine's own part of a group's demotion.
func (e *Engine) Demotion(group string) (sum int) {
	for _, c := range e.ordered {
		if c.inGroup(group) {
			sum += c.causes()
		}
	}
	return sum
}

// causes returns how much a carp demotes its groups by.
func (c *carp) causes() (sum int) {
	if c.suppressed {
		sum++
	}
	for _, o := range c.out {
		if o.failing {
			sum++
		}
	}
	return sum
}

// GroupDemotion returns the whole demotion of a group, at most 255.
func (e *Engine) GroupDemotion(group string) int {
	sum := e.Demotion(group)
	if g := e.machine.Groups[group]; g != nil {
		sum += g.Demotion()
	}
	return min(sum, config.DemoteMax)
}

// Causes returns the engine's own holders of a group's demotion, as displays name them.
func (e *Engine) Causes(group string) map[string]int {
	held := map[string]int{}
	for _, c := range e.ordered {
		if !c.inGroup(group) {
			continue
		}
		if c.suppressed {
			held["carpdev"]++
		}
		for _, o := range c.out {
			if o.failing {
				held["snderrors"]++
			}
		}
	}
	return held
}

// recount computes every carp's demotion anew: the sum over its groups, or, where that is 0, what the carp causes itself; at most 255. It is called
// after every change of a cause, for each of hundreds of carps when their carpdev loses its link: so it goes over the carps and not over every pair.
func (e *Engine) recount() {
	groups := map[string]int{}
	for name, g := range e.machine.Groups {
		groups[name] = g.Demotion()
	}
	for _, c := range e.ordered {
		if n := c.causes(); n > 0 {
			for _, g := range c.cfg.Groups {
				groups[g] += n
			}
		}
	}
	for _, c := range e.ordered {
		sum := 0
		for _, g := range c.cfg.Groups {
			sum += min(groups[g], config.DemoteMax)
		}
		if sum == 0 { // it is in no group
			sum = c.causes()
		}
		c.demotion = uint8(min(sum, config.DemoteMax))
	}
}

func (c *carp) inGroup(group string) bool {
	return slices.Contains(c.cfg.Groups, group)
}

// demoted is called after one of the engine's own causes came (by 1) or went (by -1) at a carp: it counts anew and tells.
func (e *Engine) demoted(c *carp, by int, cause string) {
	e.recount()
	if !e.regrouped {
		e.regrouped = true
		e.emit(&PublishGroups{})
	}
	for _, g := range c.cfg.Groups {
		e.logf(Err, "carp: %s demoted group %s by %d to %d (%s)", c.cfg.Name, g, by, e.GroupDemotion(g), cause)
	}
	if by <= 0 {
		return
	}
	for _, g := range c.cfg.Groups {
		if !slices.Contains(e.worse, g) {
			e.worse = append(e.worse, g)
		}
	}
}

// tellWorse lets the masters of the groups that were demoted in this Step say so, once each, however many carps demoted them.
func (e *Engine) tellWorse(now Instant) {
	for _, c := range e.ordered {
		if slices.ContainsFunc(e.worse, c.inGroup) {
			e.advertiseNow(c, now)
		}
	}
}

// advertiseDemotion lets every master of a group say at once that it is demoted, so that a healthier peer takes over now and not after
// an interval (ip_carp.c: carp_group_demote_adj).
func (e *Engine) advertiseDemotion(group string, now Instant) {
	for _, c := range e.ordered {
		if c.inGroup(group) {
			e.advertiseNow(c, now)
		}
	}
}

// advertiseNow lets the masters of a carp send an advert that their timers do not ask for yet.
func (e *Engine) advertiseNow(c *carp, now Instant) {
	for _, n := range c.nodes {
		if n.state == Master {
			e.sendAdvert(n, now, false)
			e.timers.arm(n, now+e.interval(n))
		}
	}
}
