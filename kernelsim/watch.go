package main

import "time"

const (
	lookEvery  = 100 * time.Millisecond
	hangsAfter = time.Second // without a beat
	// starvesAfter is how long an engine is without a beat until it is let run first: on a busy host it may only wait for its turn. One that gets
	// its turn beats each 250 milliseconds.
	starvesAfter = 400 * time.Millisecond
)

// A watch looks at the beats of an engine. The zero value has seen none.
type watch struct {
	beats uint64
	at    time.Time
	still time.Duration
}

// hangs reports whether there was no beat for so long, in which this process has looked all the time: if the whole host stood still, nobody
// knows yet.
func (w *watch) hangs(at time.Time, beats uint64, patience time.Duration) bool {
	switch {
	case beats != w.beats || w.at.IsZero():
		w.beats, w.still = beats, 0
	default:
		w.still += min(at.Sub(w.at), 2*lookEvery)
	}
	w.at = at
	return w.still >= patience
}

// starves reports whether it is time to let the engine run before other processes, to tell one that waits for its turn from one that hangs.
func (w *watch) starves() bool { return w.still >= starvesAfter }
