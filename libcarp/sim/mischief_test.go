package sim

import "testing"

// What is broken on purpose is found, by the rule that is about it, and shrunk without losing it.
func TestMischief(t *testing.T) {
	rules := [mischiefs]string{
		Sluggish: "takeover and adverts in time", Hasty: "no change without a cause", Deafened: "two masters", Misread: "preempt, demote, yield",
		Liar: "what is said is what is decided by", Backwards: "effects", Forgetful: "every cause of demotion can be undone",
		Gullible: "a refused packet changes counters alone", Credulous: "a recorded advert is refused", Suspicious: "a live peer is not refused", Stubborn: "two masters", Idle: "no master",
	}
	for m := Honest + 1; m < mischiefs; m++ {
		found := map[string]int{}
		seed := uint64(1)
		for ; seed < 1000 && found[rules[m]] == 0; seed++ {
			s := NewScenario(seed)
			r := Run(s, m, nil)
			if r.Violation == nil {
				continue
			}
			found[r.Violation.Rule]++
			if r.Violation.Rule != rules[m] {
				continue
			}
			small := Shrink(s, m, rules[m])
			if again := Run(small, m, nil); again.Violation == nil || again.Violation.Rule != rules[m] {
				t.Errorf("%v: seed %d: shrunk from %d faults to %v, and no longer found", m, seed, len(s.Faults), small.Kept())
			}
			t.Logf("%v: seed %d: %v; shrunk from %d faults to %d", m, seed, r.Violation, len(s.Faults), len(small.Kept()))
		}
		if found[rules[m]] == 0 {
			t.Errorf("%v: not found by %q in %d seeds: %v", m, rules[m], seed-1, found)
		}
	}
}
