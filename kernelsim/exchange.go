package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
	"carp/libcarp/record"
	"carp/libcarp/statedir"
)

// An exchange is how a new program takes over from this one, on SIGHUP. The supervisor starts the new engine beside the old one; when the new one is ready the old one leaves everything as
// it is, and the new one goes on with it, as after a death. Then the supervisor executes the new program in its own place. Until the new engine was told to go, nothing has changed.

// exchangeWithin is how long a new engine may take to make itself ready, and then an old one to leave.
const exchangeWithin = 5 * time.Second

// exchange begins one, or remembers that one is wanted, where another is under way or no engine serves yet.
func (s *supervisor) exchange(program string) {
	if s.ends != nil {
		return
	}
	s.wanted = s.next != nil || s.current == nil || !s.current.served || s.old != nil
	if s.wanted {
		return
	}
	in, unconfined := newCell(s.dir, program)
	defer in.close()
	e, err := s.start(program, in)
	if err != nil {
		s.refuse(err.Error())
		return
	}
	if unconfined != nil {
		s.logs.printf("kernelsim: the new engine process is not confined to its files: %v", unconfined)
	}
	s.next = e
	s.patience.Reset(exchangeWithin)
}

func (s *supervisor) refuse(why string) {
	s.logs.printf("kernelsim: the new program cannot take over (%s), the old one goes on", why)
}

// heardNext follows a new engine that is not in charge yet.
func (s *supervisor) heardNext(ev event) {
	e := s.next
	switch ev.what {
	case saysPrepared:
		e.prepared = true
		s.patience.Reset(exchangeWithin)
		s.current.leaves = true
		s.current.tell(tellLeave)
	case saysGone:
		s.next = nil // where the old one is leaving already, an engine of this program goes on
		if s.ends == nil {
			s.patience.Stop()
		}
		e.kill()
		go func() { s.refuse(reason(<-e.ended)); e.close() }()
	}
}

// change lets the new engine go: the old one has left.
func (s *supervisor) change() {
	if s.ends == nil {
		s.patience.Stop()
	}
	old := s.current
	s.keeps.Orphan()
	s.current, s.next, s.old = s.next, nil, old
	if s.current == nil { // it died a moment ago
		s.startAgain()
	} else {
		s.current.isNew = true
		s.letGo(s.current)
	}
	if s.current != nil {
		s.hurry(s.current, true)
	}
	s.giveUp(now())
	time.AfterFunc(time.Second, old.kill)
}

// losePatience ends a new engine that does not become ready, or an old one that does not leave.
func (s *supervisor) losePatience() {
	e := s.next
	if e == nil {
		return
	}
	if e.prepared {
		s.logs.printf("kernelsim: the engine does not leave, killing it")
		s.current.kill()
		return
	}
	s.next = nil
	e.kill()
	go func() { <-e.ended; e.close() }()
	s.refuse(fmt.Sprintf("not ready within %v", exchangeWithin))
}

// programOf returns the path that a process with that argv[0] was started with: that of a new program, once one is installed there. Where argv[0] is no such path, it is that of
// the file that runs.
func programOf(argv0 string) (string, error) {
	path, err := exec.LookPath(argv0)
	if err != nil {
		return os.Executable()
	}
	return filepath.Abs(path)
}

// envHeld names, for a supervisor that is executed in the place of another one, what that has held.
const envHeld = "KERNELSIM_HELD"

// execute executes the program in the place of this one. Where that fails this one goes on, with an engine of the new program.
func (s *supervisor) execute(program string) {
	fds := []int{int(s.held.Lock.Fd()), int(s.ctl.Fd()), int(s.record.Fd()), int(s.kept.Fd()), s.parting.Fd(), int(s.current.alive.Fd()), int(s.current.ready.Fd())}
	if s.gate != nil {
		files, err := s.gate.Files()
		if err != nil {
			s.logs.printf("kernelsim: failed to execute %s: %v", program, err)
			return
		}
		for _, f := range files {
			defer f.Close()
			fds = append(fds, int(f.Fd()))
		}
	}
	wanted := 0
	if s.wanted || len(s.hups) > 0 {
		wanted = 1
	}
	heirloom := fmt.Sprintf("%d %d %d", s.current.process.Pid, s.died, wanted)
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			s.logs.printf("kernelsim: failed to execute %s: %v", program, err)
			return
		}
		heirloom += " " + strconv.Itoa(fd)
	}
	// A SIGHUP that comes before the new program listens must not end it. A SIGTERM may: then the engine, seeing nobody above it, bows out and clears up. One that
	// came before would be forgotten.
	signal.Ignore(syscall.SIGHUP)
	if len(s.terms) > 0 {
		return
	}
	s.logs.close()
	err := syscall.Exec(program, os.Args, append(os.Environ(), envHeld+"="+heirloom))
	s.logs = openLog(os.Stderr, s.toStderr)
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	s.logs.printf("kernelsim: failed to execute %s: %v", program, err)
}

// inherit takes over what the program before has held.
func (s *supervisor) inherit(heirloom string) error {
	var values []int64
	for _, word := range strings.Fields(heirloom) {
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", envHeld, err)
		}
		values = append(values, v)
	}
	const before, fixed = 3, 7
	if len(values) < before+fixed {
		return fmt.Errorf("%s: %d words", envHeld, len(values))
	}
	s.died, s.wanted, s.started = engine.Instant(values[1]), values[2] != 0, true
	file := func(n int, name string) *os.File {
		fd := int(values[before+n])
		unix.CloseOnExec(fd)
		return os.NewFile(uintptr(fd), name)
	}
	held, err := statedir.Inherit(uintptr(values[before]), uintptr(values[before+1]))
	if err != nil {
		return err
	}
	held.Dir, s.held = s.dir, held
	if s.ctl, err = share(held.Listener); err != nil {
		return err
	}
	s.record, s.kept = file(2, "record"), file(3, "kept")
	if s.keeps, err = record.Open(s.kept); err != nil {
		return err
	}
	s.parting = inheritParting(s.dir, int(values[before+4]))
	e := &engineProcess{alive: file(5, "alive"), ready: file(6, "ready"), ended: make(chan error, 1), prepared: true, served: true}
	if e.process, err = os.FindProcess(int(values[0])); err != nil {
		return err
	}
	s.current = e
	s.follow(e, waitFor(e.process))
	if gate := values[before+fixed:]; len(gate) > 0 {
		if s.gate, err = inheritGate(s.dir, gate); err != nil {
			return err
		}
	}
	return nil
}
