//go:build carptest

package main

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"carp/libcarp/engine"
	"carp/libcarp/loop"
)

// hangs is told of SIGUSR2, from the start of the process on: an engine that waits to be told to go would not be hit by it.
var hangs = make(chan os.Signal, 1)

// init lets tests wait less.
func init() {
	signal.Notify(hangs, syscall.SIGUSR2)
	if d, err := time.ParseDuration(os.Getenv("KERNELSIM_QUIET")); err == nil {
		quiet = d
	}
}

// A hangingClock lets the loop hang, from SIGUSR2 on, where it asks for the time, as it does at every turn.
type hangingClock struct {
	loop.SystemClock
	hang atomic.Bool
}

func engineClock() loop.Clock {
	c := new(hangingClock)
	go func() { <-hangs; c.hang.Store(true) }()
	return c
}

func (c *hangingClock) Now() engine.Instant {
	if c.hang.Load() {
		select {}
	}
	return c.SystemClock.Now()
}
