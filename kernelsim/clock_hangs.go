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

// init lets tests wait less.
func init() {
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
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	go func() { <-signals; c.hang.Store(true) }()
	return c
}

func (c *hangingClock) Now() engine.Instant {
	if c.hang.Load() {
		select {}
	}
	return c.SystemClock.Now()
}
