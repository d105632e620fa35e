package loop

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carp/libcarp/engine"
	"carp/libcarp/statedir"
)

// A steppedClock is the system's, off by what a test says.
type steppedClock struct {
	SystemClock
	wall, boottime atomic.Int64 // in milliseconds and nanoseconds
}

func (c *steppedClock) Wall() int64 { return c.SystemClock.Wall() + c.wall.Load() }
func (c *steppedClock) Now() engine.Instant {
	return c.SystemClock.Now() + engine.Instant(c.boottime.Load())
}

// calmCarp has an interval of 156 ms: two of them late, on a busy machine, is rare.
const calmCarp = "create; vhid 1; advbase 0; advskew 40; alias 192.168.1.10/24"

// transitions returns the changes of state in the log.
func (b *bench) transitions() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.logged {
		if _, t, ok := strings.Cut(line, "state transition: "); ok {
			all = append(all, t)
		}
	}
	return all
}

func (b *bench) within(d time.Duration, what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within %v: %s; %q", d, what, b.transitions())
		}
	}
}

func (h *stubHost) sentCounters() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.counters)
}

// A wall clock that is set by a year, to and fro, changes nothing: the master goes on, with its lease, and its counters rise, as its peers demand.
func TestWallClockStep(t *testing.T) {
	clock := new(steppedClock)
	b := startWith(t, statedir.Dir(t.TempDir()), nil, Options{Clock: clock})
	if err := b.change(calmCarp); err != nil {
		t.Fatal(err)
	}
	want := []string{"BACKUP -> MASTER"}
	b.within(5*time.Second, "it is master", func() bool { return len(b.transitions()) == len(want) })
	const year = 365 * 24 * 3600 * 1000
	for _, step := range []int64{year, -year, 0, -year, year, 0} {
		clock.wall.Store(step)
		before := len(b.host.sentCounters())
		b.within(5*time.Second, "adverts go on", func() bool { return len(b.host.sentCounters()) > before+1 })
	}
	if got := b.transitions(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	counters := b.host.sentCounters()
	for n := range counters[1:] {
		if counters[n+1] <= counters[n] {
			t.Errorf("counter %d after %d", counters[n+1], counters[n])
		}
	}
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	for _, l := range b.host.leases {
		if ahead := l.until - l.told; ahead <= 0 || ahead > int64(leaseMax) {
			t.Errorf("a lease ends %v after it was given", time.Duration(ahead))
		}
	}
}

// A machine that was suspended is BACKUP first, whatever it was: others are master by now.
func TestSuspend(t *testing.T) {
	clock := new(steppedClock)
	b := startWith(t, statedir.Dir(t.TempDir()), nil, Options{Clock: clock})
	if err := b.change(calmCarp); err != nil {
		t.Fatal(err)
	}
	want := []string{"BACKUP -> MASTER"}
	for range 3 {
		b.within(5*time.Second, "it is master", func() bool { return len(b.transitions()) >= len(want) })
		clock.boottime.Add(int64(time.Hour))
		slept := int64(clock.Now())
		want = append(want, "MASTER -> BACKUP", "BACKUP -> MASTER")
		b.within(5*time.Second, "it is master again", func() bool { return len(b.transitions()) >= len(want) })
		if got := b.transitions(); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		// From waking up to the advert of a new master no lease is given, and the old one is taken back.
		b.host.mu.Lock()
		shut := false
		for _, l := range b.host.leases {
			if l.until == 0 {
				shut = true
			}
			if l.until > slept && !shut {
				t.Errorf("a lease to %d before it was backup, it woke at %d", l.until, slept)
			}
		}
		if !shut {
			t.Error("the gate was not shut")
		}
		b.host.leases = nil
		b.host.mu.Unlock()
	}
}
