package sim

import (
	"fmt"
	"strings"
	"testing"
)

func report(t *testing.T, seed uint64) Result {
	s := NewScenario(seed)
	r := Run(s, Honest, nil)
	if r.Violation == nil {
		return r
	}
	small := Shrink(s, Honest, r.Violation.Rule)
	var lines []string
	again := Run(small, Honest, func(at int64, line string) {
		lines = append(lines, fmt.Sprintf("%d.%06d %s", at/second, at%second/1000, line))
	})
	if n := len(lines); n > 40 {
		lines = append(lines[:1:1], lines[n-40:]...)
	}
	t.Errorf("seed %d: %v\nshrunk from %d faults to %d: %v\n%v%s", seed, r.Violation, len(s.Faults), len(small.Kept()), again.Violation, small, strings.Join(lines, "\n"))
	return r
}

func TestSeeds(t *testing.T) {
	var events uint64
	var time int64
	for seed := uint64(1); seed <= 6000; seed++ {
		r := report(t, seed)
		events += r.Events
		time += r.Time
		if t.Failed() {
			break
		}
	}
	t.Logf("%d events, %d s", events, time/second)
}
