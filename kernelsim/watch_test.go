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

// An engine without a beat for 0.4 seconds is let run first, until there is one.
func TestStarves(t *testing.T) {
	var w watch
	start := time.Now()
	look := func(at time.Duration, beats uint64, starves bool) {
		t.Helper()
		if w.hangs(start.Add(at), beats, hangsAfter); w.starves() != starves {
			t.Errorf("after %v: %v", at, !starves)
		}
	}
	at := time.Duration(0)
	for ; at < 5*time.Second; at += lookEvery {
		look(at, uint64(at/(250*time.Millisecond)), false)
	}
	for from := at; at < from+500*time.Millisecond; at += lookEvery {
		look(at, 100, at-from >= starvesAfter)
	}
	look(at, 101, false)
}

func steps(n int, d time.Duration) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}
