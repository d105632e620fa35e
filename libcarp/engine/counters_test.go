package engine

import (
	"testing"

	"carp/libcarp/config"
)

// The counters go on from where an engine before has ended, those of carps that there are; and it is told what a Step has counted.
func TestCountOn(t *testing.T) {
	h := newMaster(t, "advbase 1")
	machine, carp := h.e.Stats(), h.e.carps["carp0"].stats
	if machine[config.Opackets] == 0 || carp[config.Opackets] == 0 {
		t.Fatalf("nothing is counted: %v, %v", machine, carp)
	}
	next := New(h.e.machine, h.e.random, nil)
	next.CountOn(machine, map[string]config.Stats{"carp0": carp, "carp7": carp})
	if s := next.Stats(); s != machine {
		t.Errorf("the machine has counted %v", s)
	}
	if v, _ := next.View("carp0"); v.Stats != carp {
		t.Errorf("carp0 has counted %v", v.Stats)
	}
	if _, ok := next.View("carp7"); ok {
		t.Error("a carp of the past")
	}
	told := func() (n int, s config.Stats) {
		h.e.Counted(func(name string, its *config.Stats) {
			n++
			s = *its
			if name != "carp0" {
				t.Errorf("%s has counted", name)
			}
		})
		return n, s
	}
	h.until(h.e.Deadline())
	if n, s := told(); n != 1 || s[config.Opackets] != carp[config.Opackets]+1 {
		t.Errorf("after an advert: told %d times, at last %v", n, s)
	}
	h.step(&Foreign{h.clock(), 1, 0}) // counted for the machine alone
	if n, _ := told(); n != 0 {
		t.Errorf("told %d times of nothing", n)
	}
}
