package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
	"carp/libcarp/loop"
	"carp/libcarp/record"
	"carp/libcarp/statedir"
)

// runEngine is the engine process; it returns the exit code.
func runEngine(args []string) int {
	logs := openLog(os.Stderr, slices.Contains(args[2:], argStderr))
	defer logs.close()
	pause, err := time.ParseDuration(args[1])
	if err == nil && !slices.Contains(args[2:], argLayout) {
		err = errors.New("the supervisor is of another version, which has to be ended")
	}
	if err == nil {
		err = serve(statedir.Dir(args[0]), pause, slices.Contains(args[2:], argVerbose), slices.Contains(args[2:], argGate), logs)
	}
	if err != nil {
		logs.log(engine.Err, fmt.Sprintf("kernelsim: %v", err))
		return 1
	}
	return 0
}

// serve makes itself ready, waits to be told to go, opens what it works with, and runs the loop until SIGTERM, until the supervisor is gone, or
// until another engine takes over.
func serve(dir statedir.Dir, pause time.Duration, verbose, gate bool, logs *logger) error {
	makeThreads()
	if err := confine(); err != nil {
		return err
	}
	// Neither a terminal that goes nor a reader of our log that dies may end the engine.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := sayDeath(); err != nil {
		return fmt.Errorf("failed to duplicate a descriptor: %w", err)
	}
	held, err := statedir.Inherit(fdLock, fdCtl)
	if err != nil {
		return err
	}
	kept, err := record.Open(os.NewFile(fdKept, "kept"))
	if err != nil {
		return err
	}
	debug := func(string, ...any) {}
	if verbose {
		debug = logs.debugf
	}
	ready := os.NewFile(fdReady, "ready")
	say := func(what byte) {
		if _, err := ready.Write([]byte{what}); err != nil {
			debug("kernelsim: ready: %v", err)
		}
	}
	goes, leaves := make(chan struct{}), make(chan struct{})
	go func() {
		obey(os.NewFile(fdAlive, "alive"), map[byte]chan struct{}{tellGo: goes, tellLeave: leaves})
		held.Listener.Close() // so that the next one sees at once that nobody serves any more
		stop()
	}()
	say(saysPrepared)
	if !isToGo(ctx, goes) {
		return nil
	}

	options, err := open(ctx, dir, pause, kept, gate, debug, logs)
	if err != nil {
		return err
	}
	defer options.Store.Close()
	options.Log, options.Verbose = logs.log, verbose
	options.HandOver, options.Leaving = leaves, logs.flush
	options.Resumed = func() { say(saysResumed) }
	var said time.Time
	options.Working = func() {
		if at := time.Now(); at.Sub(said) >= time.Second {
			said = at
			say(saysWorks)
		}
	}
	options.Urgent = func(urgent bool) {
		if urgent {
			say(saysUrgent)
		} else {
			say(saysCalm)
		}
	}
	l := loop.New(options)
	server := statedir.NewServer(held.Listener, l)
	defer server.Close()
	err = l.Run(ctx, server, func() {
		say(saysServes)
		go lockMemory() // not before: older kernels wait for every processor
	})
	if err == nil && ctx.Err() == nil { // it has left
		say(saysLeft) // what was to be written is
		logs.closeWithin(leftPatience)
		os.Exit(0) // without clearing up
	}
	return err
}

// sayDeath lets the supervisor know at once when this process dies, see fdLast, where as many descriptors are allowed.
func sayDeath() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	_, err := unix.FcntlInt(fdReady, unix.F_DUPFD_CLOEXEC, int(min(fdLast, uint64(limit.Cur)-1)))
	return err
}

// isToGo waits until an engine is told to go, and reports whether it was. One that has to end before leaves what another one has left, unless it
// is told within a second.
func isToGo(ctx context.Context, goes <-chan struct{}) bool {
	select {
	case <-goes:
		return true
	case <-ctx.Done():
	}
	select {
	case <-goes:
		return true
	case <-time.After(time.Second):
		return false
	}
}

// open returns what the loop works with. Where there is something to go on with, it is adopted later, by the loop; where there is nothing, what an
// engine before has left is silenced here, and a pause follows. The loop closes the host, the caller the store.
func open(
	ctx context.Context, dir statedir.Dir, pause time.Duration, kept *record.Record, gate bool, debug func(string, ...any), logs *logger,
) (o loop.Options, err error) {
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return o, fmt.Errorf("failed to read random bytes: %w", err)
	}
	o = loop.Options{Record: kept, Clock: engineClock(), Random: rand.NewChaCha8(seed)}
	resumes := len(kept.Orphans()) > 0
	if o.Machine, err = dir.LoadMachine(); err != nil {
		logs.printf("kernelsim: %v", err) // what could be read counts
	}
	if o.Host, o.Adopt, err = openHost(dir, os.NewFile(fdRecord, "record"), o.Machine, gate, debug, logs.printf); err != nil {
		return o, err
	}
	defer func() {
		if err != nil {
			o.Host.Close()
		}
	}()
	if !resumes {
		if err := o.Adopt(); err != nil {
			return o, err
		}
		o.Adopt = nil
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	o.Store = statedir.OpenStore(dir, o.Machine, logs.printf)
	memory, unread := statedir.OpenMemory(dir)
	if unread != nil {
		logs.printf("kernelsim: %v", unread) // what is refused is known as long as this engine lives
		return o, nil
	}
	o.Memory = loop.MemoryIn(memory, logs.printf)
	return o, nil
}

// obey closes the channel of what it is told, until the supervisor is gone.
func obey(alive *os.File, on map[byte]chan struct{}) {
	for b := make([]byte, 1); ; {
		if _, err := alive.Read(b); err != nil {
			return
		}
		if c := on[b[0]]; c != nil {
			close(c)
			delete(on, b[0])
		}
	}
}
