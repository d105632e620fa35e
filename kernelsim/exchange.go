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

// An exchange is how a new program takes over from this one, on SIGHUP. A is the engine that serves, B that of the new program, and C the spare:
// another one of the old program, which goes on if B does not do well.
//
//	   current     next        spare       old   until                      otherwise
//	0  A serves                                  SIGHUP
//	1  A serves    B starts                      B is prepared              B dies, or 5 s pass: B goes; 0
//	2  A serves    B prepared  C starts          C is prepared              B or C dies, or 5 s pass: both go; 0
//	3  A leaves    B prepared  C prepared        A has left                 5 s pass, or A dies: B goes on, as after a death; 4
//	4  B goes on               C prepared  A     B has served for 1 s       B dies, hangs or lets a lease run low: it is killed,
//	                                             (C goes)                   and C goes on in its place; 0, with C as A
//	5  B serves                                  A and C are reaped         B dies: as any engine does
//	6  the supervisor executes the new program in its own place, or, where that fails, stays what it is; 0, with B as A
//
// When B dies in 3, C goes on once A has left; when C dies in 3, B goes on without a trial. When A dies in 1 or 2, B goes on if it is prepared,
// else another one of the old program. An engine that goes on takes over what the one before has left: the leases do not run out, and nobody
// bows out. Where one does run out first, the supervisor bows out for its carp (giveUp).
//
// A SIGHUP on the way is remembered (wanted), and begins another exchange when this one is over. A SIGTERM waits until the current engine is
// prepared and not about to leave: then B and C are killed unless they are current, and the current engine bows out, as it always does.

// exchangeWithin is how long a new engine may take to make itself ready, and then an old one to leave.
const exchangeWithin = 5 * time.Second

// How a new engine in charge proves itself.
const (
	provesFor  = time.Second            // it has to do well for so long, once it serves, until the spare is sent away
	proofEvery = 100 * time.Millisecond // it is looked at so often at least
	reserveMax = 200 * time.Millisecond // it has to renew the longest leases before only this is left: the spare needs some hundredths of a second

	proofLate  = 10 * time.Millisecond // where this process itself looks so late, the whole host may have stood still,
	proofGrace = 5 * time.Millisecond  // and the engine gets a moment to renew
)

// exchange begins one, or remembers that one is wanted, where another is under way or no engine serves yet.
func (s *supervisor) exchange(program string) {
	if s.ends != nil {
		return
	}
	s.wanted = s.next != nil || s.current == nil || !s.current.served || s.current.isNew || s.old != nil || s.spare != nil
	if s.wanted {
		return
	}
	in := s.cellFor(program)
	e, err := s.start(program, in.cell)
	if err != nil {
		s.refuse(err.Error())
		return
	}
	if in.unconfined != nil {
		s.logs.printf("kernelsim: the new engine process is not confined to its files: %v", in.unconfined)
	}
	in.close()
	s.foreign = foreignCell{}
	s.next = e
	s.patience.Reset(exchangeWithin)
}

// A foreignCell is for engines of another program. It is kept as long as none can be started, if it keeps them in: each SIGHUP would cost a thread
// otherwise.
type foreignCell struct {
	*cell
	program    os.FileInfo
	unconfined error // what it cannot keep in
}

func (s *supervisor) cellFor(program string) *foreignCell {
	info, err := os.Stat(program)
	c := &s.foreign
	if c.cell != nil && c.unconfined == nil && err == nil && c.program != nil && os.SameFile(info, c.program) {
		return c
	}
	if c.cell != nil {
		c.close()
	}
	c.program = info
	c.cell, c.unconfined = newCell(s.dir, program)
	return c
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
		var err error
		if s.spare, err = s.start(self(), s.cell); err != nil {
			s.spare = nil
			s.noExchange(fmt.Sprintf("no spare: %v", err))
			return
		}
		s.patience.Reset(exchangeWithin)
	case saysGone:
		s.next = nil // where the old one is leaving already, the spare goes on
		if s.ends == nil {
			s.patience.Stop()
		}
		if !s.current.leaves {
			s.dismiss()
		}
		e.kill()
		go func() { s.refuse(e.why()); e.close() }()
	}
}

// heardSpare follows the spare.
func (s *supervisor) heardSpare(ev event) {
	e := s.spare
	switch ev.what {
	case saysPrepared:
		e.prepared = true
		if s.next != nil && s.ends == nil {
			s.patience.Reset(exchangeWithin)
			s.current.leaves = true
			s.current.tell(tellLeave)
		}
	case saysGone:
		s.dismiss()
		if s.next != nil && !s.current.leaves {
			s.noExchange("the spare ended")
		}
	}
}

// noExchange sends the new engine away, which is not in charge yet.
func (s *supervisor) noExchange(why string) {
	s.next.discard()
	s.next = nil
	if s.ends == nil {
		s.patience.Stop()
	}
	s.dismiss()
	s.refuse(why)
}

// dismiss sends the spare away.
func (s *supervisor) dismiss() {
	s.proof.Stop()
	s.proven.Stop()
	if s.spare != nil {
		s.spare.discard()
		s.spare = nil
	}
}

// charge lets the engine of a new program go.
func (s *supervisor) charge(e *engineProcess) {
	s.current = e
	e.isNew = true
	s.letGo(e)
	if s.tries(e) {
		s.proveIn(0)
	}
}

func (s *supervisor) proveIn(d time.Duration) {
	s.provesAt = now() + engine.Instant(d)
	s.proof.Reset(d)
}

// tries reports whether an engine in charge has to prove itself.
func (s *supervisor) tries(e *engineProcess) bool { return e.isNew && s.spare != nil }

// prove ends a new engine that does not renew a lease while the spare still can.
func (s *supervisor) prove(at engine.Instant) {
	if s.current == nil || !s.tries(s.current) {
		return
	}
	late := time.Duration(at - s.provesAt)
	next := at + engine.Instant(proofEvery)
	for _, e := range s.keeps.Masters() {
		latest := e.Until - reserve(e)
		switch {
		case e.Until <= at: // nothing can be saved
		case latest <= at && late >= proofLate:
			s.proveIn(proofGrace)
			return
		case latest <= at:
			s.current.fail("it does not go on")
			return
		default:
			next = min(next, latest)
		}
	}
	s.proveIn(time.Duration(next - at))
}

// trust sends the spare away once a new engine has done well for long enough. One without masters has no leases to renew, and one whose leases ran
// out in spite of it may hang too: its loop has to have come round since it served, and not to stand still.
func (s *supervisor) trust() {
	if e := s.current; e != nil && s.tries(e) && (s.keeps.Beats() == e.beats || s.watch.starves()) {
		s.proven.Reset(proofEvery)
		return
	}
	s.dismiss()
}

// reserve is what the spare needs of a lease. An engine that does well renews it before: with each advert, which leaves an interval of it.
func reserve(e *record.Entry) engine.Instant {
	return min(e.Interval/2, engine.Instant(reserveMax))
}

// fallBack lets the spare go on in the place of a new engine that is dead.
func (s *supervisor) fallBack() {
	e := s.current
	s.keeps.Orphan()
	s.chargeSpare()
	s.hurry(s.current, true)
	s.giveUp(now())
	go func() { s.refuse(e.why()); e.close() }()
}

// chargeSpare lets the spare go.
func (s *supervisor) chargeSpare() {
	s.current, s.spare = s.spare, nil
	s.dismiss()
	if s.current.prepared {
		s.letGo(s.current)
	}
}

// change lets the new engine go: the old one has left.
func (s *supervisor) change() {
	if s.ends == nil {
		s.patience.Stop()
	}
	old := s.current
	s.keeps.Orphan()
	next := s.next
	s.current, s.next, s.old = nil, nil, old
	switch {
	case next != nil:
		s.charge(next)
	case s.spare != nil: // the new one died a moment ago
		s.chargeSpare()
	default:
		s.startAgain()
	}
	if s.current != nil {
		s.hurry(s.current, true)
	}
	s.giveUp(now())
	if old.reaped { // that was heard first
		s.old = nil
		old.close()
		return
	}
	time.AfterFunc(time.Second, old.kill)
}

// losePatience ends a new engine that does not become ready, or an old one that does not leave.
func (s *supervisor) losePatience() {
	e := s.next
	if e == nil {
		return
	}
	if s.current.leaves {
		s.logs.printf("kernelsim: the engine does not leave, killing it")
		s.current.kill()
		return
	}
	why := "not ready"
	if e.prepared {
		why = "its spare is not ready"
	}
	s.noExchange(fmt.Sprintf("%s within %v", why, exchangeWithin))
}

// programOf returns the path that a process with that argv[0] was started with: that of a new program, once one is installed there. Where
// argv[0] is no such path, it is that of the file that runs.
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
	fds := []int{ // in the order in which inherit has them
		int(s.held.Lock.Fd()), int(s.ctl.Fd()), int(s.record.Fd()), int(s.kept.Fd()), s.parting.Fd(),
		int(s.current.alive.Fd()), int(s.current.ready.Fd()),
	}
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
	// A SIGHUP that comes before the new program listens must not end it. A SIGTERM may: then the engine, seeing nobody above it, bows out and
	// clears up. One that came before would be forgotten.
	signal.Ignore(syscall.SIGHUP)
	if len(s.terms) > 0 {
		return
	}
	s.logs.flush() // not closed: others log meanwhile, and have to be heard where this fails
	err := syscall.Exec(program, os.Args, append(os.Environ(), envHeld+"="+heirloom))
	signal.Notify(s.hups, syscall.SIGHUP)
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
