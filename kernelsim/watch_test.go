package main

import (
	"testing"
	"time"
)

// An engine without a beat for a second hangs; when this process did not look all the while, only the time counts in which it did.
func TestWatch(t *testing.T) {
	const ms = time.Millisecond
	start := time.Now()
	for _, c := range []struct {
		what  string
		beats func(at time.Duration) uint64
		looks []time.Duration // from one to the next
		hangs bool
	}{
		{"beats", func(at time.Duration) uint64 { return uint64(at / (250 * ms)) }, steps(50, 100*ms), false},
		{"none for less than a second", func(time.Duration) uint64 { return 7 }, steps(10, 100*ms), false},
		{"none for a second", func(time.Duration) uint64 { return 7 }, steps(11, 100*ms), true},
		{"none at all", func(time.Duration) uint64 { return 0 }, steps(11, 100*ms), true},
		{"everything stood still for a minute", func(time.Duration) uint64 { return 7 }, []time.Duration{100 * ms, 100 * ms, time.Minute, 100 * ms}, false},
		{"stood still, and goes on", func(at time.Duration) uint64 { return uint64(at / time.Minute) }, append(steps(9, 100*ms), time.Minute, 900*ms), false},
		{"stood still, and then hangs", func(time.Duration) uint64 { return 7 }, append([]time.Duration{time.Minute}, steps(11, 100*ms)...), true},
		{"looks late each time", func(time.Duration) uint64 { return 7 }, steps(7, 200*ms), true},
	} {
		var w watch
		at, hangs := time.Duration(0), false
		for _, step := range c.looks {
			at += step
			hangs = w.hangs(start.Add(at), c.beats(at), hangsAfter) || hangs
		}
		if hangs != c.hangs {
			t.Errorf("%s: hangs %v", c.what, hangs)
		}
	}
}

func steps(n int, d time.Duration) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}
