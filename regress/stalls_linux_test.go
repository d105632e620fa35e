package regress

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A shared machine stands still now and then: another one has its processors. Whoever is not run for longer than the leases last loses them, and a test
// that fails then says nothing about us. So a thread on each processor measures how late it wakes, a test that fails says how long the machine stood
// still meanwhile, and regress/again runs it again where that was long enough to matter.
const (
	stallTick = 5 * time.Millisecond
	stallMin  = 20 * time.Millisecond // what is shorter is forgotten
)

type stall struct {
	end   time.Time
	lasts time.Duration
}

var stalls struct {
	sync.Mutex
	all []stall
}

// watchStalls measures until the process ends.
func watchStalls() {
	tick := unix.NsecToTimespec(int64(stallTick))
	for cpu := range runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			var on unix.CPUSet
			on.Set(cpu)
			unix.SchedSetaffinity(0, &on) // where that is not permitted, it sees what stops all of them
			for {
				before := time.Now()
				unix.Nanosleep(&tick, nil)
				after := time.Now()
				if late := after.Sub(before) - stallTick; late >= stallMin {
					stalls.Lock()
					stalls.all = append(stalls.all, stall{after, late})
					stalls.Unlock()
				}
			}
		}()
	}
}

// stoodStill returns the longest stall since then.
func stoodStill(since time.Time) (longest time.Duration) {
	stalls.Lock()
	defer stalls.Unlock()
	for _, s := range stalls.all {
		if s.end.After(since) {
			longest = max(longest, s.lasts)
		}
	}
	return longest
}

// sayStalls lets a test that fails say how long the machine stood still. regress/again reads it.
func sayStalls(t *testing.T) {
	began := time.Now()
	t.Cleanup(func() {
		if d := stoodStill(began); t.Failed() && d > 0 {
			t.Logf("the machine stood still for %d ms", d.Milliseconds())
		}
	})
}
