package sim

import "slices"

// Shrink finds a smaller list of faults that still breaks the same rule (delta debugging, Zeller and Hildebrandt, 2002).
func Shrink(s *Scenario, mischief Mischief, rule string) *Scenario {
	var left []int
	for n := range s.Faults {
		if !s.Faults[n].off {
			left = append(left, n)
		}
	}
	breaks := func(keep []int) bool {
		r := Run(s.Only(keep), mischief, nil)
		return r.Violation != nil && r.Violation.Rule == rule
	}
	for size := (len(left) + 1) / 2; size > 0; {
		smaller := false
		for at := 0; at < len(left); {
			without := append(slices.Clone(left[:at]), left[min(at+size, len(left)):]...)
			if breaks(without) {
				left, smaller = without, true
			} else {
				at += size
			}
		}
		if !smaller || size > len(left) {
			size /= 2
		}
	}
	return s.Only(left)
}

// Only returns the scenario with those faults alone, by their places in the list.
func (s *Scenario) Only(keep []int) *Scenario {
	c := *s
	c.Faults = slices.Clone(s.Faults)
	for n := range c.Faults {
		c.Faults[n].off = !slices.Contains(keep, n)
	}
	return &c
}

// Kept returns the places of the faults that are in force.
func (s *Scenario) Kept() (keep []int) {
	for n := range s.Faults {
		if !s.Faults[n].off {
			keep = append(keep, n)
		}
	}
	return keep
}
