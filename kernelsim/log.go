package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"carp/libcarp/engine"
)

// closePatience is how long the last lines may take to be read.
const closePatience = 200 * time.Millisecond

// A logger writes lines without ever keeping the one who logs: when its reader is slow, lines are dropped and counted.
type logger struct {
	lines   chan string
	dropped atomic.Int64
	done    chan struct{}
}

func newLogger(w io.Writer) *logger {
	l := &logger{lines: make(chan string, 1024), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			fmt.Fprintln(w, line)
			if n := l.dropped.Swap(0); n > 0 {
				fmt.Fprintf(w, "kernelsim: %d messages dropped\n", n)
			}
		}
	}()
	return l
}

func (l *logger) printf(format string, args ...any) {
	select {
	case l.lines <- fmt.Sprintf(format, args...):
	default:
		l.dropped.Add(1)
	}
}

// log writes a message of the engine. Standard error has no levels; what net.inet.carp.log holds back never comes here.
func (l *logger) log(_ engine.Level, text string) { l.printf("%s", text) }

// close waits for a reader that reads, and not for one that has stopped.
func (l *logger) close() {
	close(l.lines)
	select {
	case <-l.done:
	case <-time.After(closePatience):
	}
}
