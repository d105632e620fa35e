package main

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
)

// How long the last lines may take to be read: of a process, and of an engine in whose place another one works already.
const (
	closePatience = 200 * time.Millisecond
	leftPatience  = 5 * time.Millisecond
)

// A logger writes lines without ever keeping the one who logs: when its reader is slow, lines are dropped and counted.
type logger struct {
	lines   chan logLine // never closed: whoever logs after the end is not heard, and does no harm
	dropped atomic.Int64
	ends    chan struct{} // closed by close
	done    chan struct{} // closed once everything is written
	silent  bool          // on standard error
}

type logLine struct {
	level   engine.Level
	text    string
	written chan struct{} // where it is not nil, there is no text: closed when all before it is written
}

// openLog logs as daemons do: where somebody looks at standard error, a terminal or systemd's journal, lines go there, else to syslogd, and
// where there is none to standard error after all. With always they go there in any case.
func openLog(stderr *os.File, always bool) *logger {
	plain := linesTo(stderr)
	switch {
	case always || isTerminal(stderr):
		return newLogger(plain)
	case isJournal(stderr, os.Getenv("JOURNAL_STREAM")):
		return newLogger(levelsTo(stderr))
	}
	to, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "kernelsim")
	if err != nil {
		return newLogger(plain)
	}
	l := newLogger(syslogTo(to, plain))
	l.silent = true
	return l
}

func newLogger(write func(engine.Level, string)) *logger {
	l := &logger{lines: make(chan logLine, 1024), ends: make(chan struct{}), done: make(chan struct{})}
	go l.work(write)
	return l
}

// work writes lines until close, and then those that are left.
func (l *logger) work(write func(engine.Level, string)) {
	defer close(l.done)
	one := func(line logLine) {
		if line.written != nil {
			close(line.written)
			return
		}
		write(line.level, line.text)
		if n := l.dropped.Swap(0); n > 0 {
			write(engine.Warning, fmt.Sprintf("kernelsim: %d messages dropped", n))
		}
	}
	for {
		select {
		case line := <-l.lines:
			one(line)
		case <-l.ends:
			for n := len(l.lines); n > 0; n-- {
				one(<-l.lines)
			}
			return
		}
	}
}

// printf writes a message of kernelsim's own: all of them say that something is wrong.
func (l *logger) printf(format string, args ...any) {
	l.log(engine.Warning, fmt.Sprintf(format, args...))
}

// debugf writes what option -v asks for.
func (l *logger) debugf(format string, args ...any) {
	l.log(engine.Debug, fmt.Sprintf(format, args...))
}

// log writes a message of the engine; what net.inet.carp.log holds back never comes here.
func (l *logger) log(level engine.Level, text string) {
	select {
	case l.lines <- logLine{level: level, text: text}:
	default:
		l.dropped.Add(1)
	}
}

// flush waits until what was logged is written, where somebody reads it.
func (l *logger) flush() {
	late, written := time.After(closePatience), make(chan struct{})
	select {
	case l.lines <- logLine{written: written}:
	case <-late:
		return
	}
	select {
	case <-written:
	case <-late:
	}
}

// close waits for a reader that reads, and not for one that has stopped.
func (l *logger) close() { l.closeWithin(closePatience) }

func (l *logger) closeWithin(patience time.Duration) {
	close(l.ends)
	select {
	case <-l.done:
	case <-time.After(patience):
	}
}

// isJournal reports whether a file is the one that systemd has named as its journal's; see JOURNAL_STREAM in systemd.exec(5).
func isJournal(f *os.File, stream string) bool {
	var st unix.Stat_t
	if stream == "" || unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", uint64(st.Dev), uint64(st.Ino))
}

// linesTo writes without levels.
func linesTo(w io.Writer) func(engine.Level, string) {
	return func(_ engine.Level, text string) { fmt.Fprintln(w, text) }
}

// levelsTo puts the level before a line as sd-daemon(3) has it.
func levelsTo(w io.Writer) func(engine.Level, string) {
	return func(level engine.Level, text string) { fmt.Fprintf(w, "<%d>%s\n", level, text) }
}

// syslogTo writes to syslogd, whose lines bear our name already; what it does not take, because it is gone for instance, goes to the other. The
// package connects again by itself.
func syslogTo(to *syslog.Writer, other func(engine.Level, string)) func(engine.Level, string) {
	at := map[engine.Level]func(string) error{
		engine.Alert: to.Alert, engine.Crit: to.Crit, engine.Err: to.Err, engine.Warning: to.Warning, engine.Notice: to.Notice, engine.Info: to.Info,
		engine.Debug: to.Debug,
	}
	return func(level engine.Level, text string) {
		write, ok := at[level]
		if !ok {
			write = to.Warning
		}
		if err := write(strings.TrimPrefix(text, "kernelsim: ")); err != nil {
			other(level, text)
		}
	}
}
