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

// serve makes itself ready and waits to be told to go. Then it goes on with what an engine before it has kept; where there is nothing, it silences what that has left,
// and pauses. It runs the loop until SIGTERM, until the supervisor is gone, or until another engine takes over.
func serve(dir statedir.Dir, pause time.Duration, verbose, gate bool, logs *logger) error {
	if err := confine(); err != nil {
		return err
	}
	// Neither a terminal that goes nor a reader of our log that dies may end the engine.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if _, err := unix.FcntlInt(fdReady, unix.F_DUPFD_CLOEXEC, fdLast); err != nil {
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
	select {
	case <-goes:
	case <-ctx.Done():
		select { // who ends before it has begun leaves what another one has left
		case <-goes:
		case <-time.After(time.Second):
			return nil
		}
	}

	resumes := len(kept.Orphans()) > 0
	machine, err := dir.LoadMachine()
	if err != nil {
		logs.printf("kernelsim: %v", err) // what could be read counts
	}
	h, adopt, err := openHost(dir, os.NewFile(fdRecord, "record"), machine, gate, debug, logs.printf)
	if err != nil {
		return err
	}
	if !resumes {
		if err := adopt(); err != nil {
			h.Close()
			return err
		}
		adopt = nil
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	store, err := statedir.OpenStore(dir, machine, logs.printf)
	if err != nil {
		h.Close()
		return err
	}
	defer store.Close()
	var memory func(string, uint8) *engine.Memory
	if kept, err := statedir.OpenMemory(dir); err != nil {
		logs.printf("kernelsim: %v", err) // what is refused is known as long as this engine lives
	} else {
		memory = loop.MemoryIn(kept, logs.printf)
	}
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		h.Close()
		return fmt.Errorf("failed to read random bytes: %w", err)
	}
	l := loop.New(loop.Options{
		Machine: machine, Host: h, Store: store, Random: rand.NewChaCha8(seed), Memory: memory, Log: logs.log, Verbose: verbose,
		Clock: engineClock(), Record: kept, Adopt: adopt, HandOver: leaves, Leaving: logs.flush,
		Resumed: func() { say(saysResumed) },
		Urgent: func(urgent bool) {
			if urgent {
				say(saysUrgent)
			} else {
				say(saysCalm)
			}
		},
	})
	server := statedir.NewServer(held.Listener, l)
	defer server.Close()
	err = l.Run(ctx, server, func() { say(saysServes) })
	if err == nil && ctx.Err() == nil { // it has left
		say(saysLeft) // what was to be written is
		// Not for long: meanwhile this process's watchers would put its gate back for that of the next engine.
		logs.closeWithin(leftPatience)
		os.Exit(0) // without clearing up
	}
	return err
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
