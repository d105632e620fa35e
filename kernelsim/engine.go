package main

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
	"carp/libcarp/loop"
	"carp/libcarp/statedir"
)

// runEngine is the engine process; it returns the exit code.
func runEngine(args []string) int {
	logs := openLog(os.Stderr, slices.Contains(args[2:], argStderr))
	defer logs.close()
	pause, err := time.ParseDuration(args[1])
	if err == nil {
		err = serve(statedir.Dir(args[0]), pause, slices.Contains(args[2:], argVerbose), slices.Contains(args[2:], argGate), logs)
	}
	if err != nil {
		logs.log(engine.Err, fmt.Sprintf("kernelsim: %v", err))
		return 1
	}
	return 0
}

// serve runs the loop until SIGTERM, or until the supervisor is gone. First it silences what an engine before it has left, and pauses.
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
	go func() { // the supervisor never writes: this ends when it does
		io.Copy(io.Discard, os.NewFile(fdAlive, "alive"))
		held.Listener.Close() // so that the next one sees at once that nobody serves any more
		stop()
	}()
	machine, err := dir.LoadMachine()
	if err != nil {
		logs.printf("kernelsim: %v", err) // what could be read counts
	}
	debug := func(string, ...any) {}
	if verbose {
		debug = logs.debugf
	}
	h, err := openHost(dir, os.NewFile(fdRecord, "record"), machine, gate, debug, logs.printf)
	if err != nil {
		return err
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
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
	ready := os.NewFile(fdReady, "ready")
	say := func(what byte) {
		if _, err := ready.Write([]byte{what}); err != nil {
			debug("kernelsim: ready: %v", err)
		}
	}
	l := loop.New(loop.Options{
		Machine: machine, Host: h, Store: store, Random: rand.NewChaCha8(seed), Memory: memory, Log: logs.log, Verbose: verbose,
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
	return l.Run(ctx, server, func() { say(saysServes) })
}
