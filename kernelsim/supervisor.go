package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
	"carp/libcarp/loop"
	"carp/libcarp/record"
	"carp/libcarp/statedir"
)

// stopWithin is how long an engine may take to bow out and clear up.
const stopWithin = 5 * time.Second

// When an engine dies for the first time within quiet, another one follows at once and goes on where it ended. When one dies again, its masters
// bow out, and the next engine pauses before it begins: pauseMin, twice as long after each further death, and pauseMax at most.
const (
	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
)

var quiet = 60 * time.Second // a variable, so that tests can wait less

// goesWithin is how long an engine that was told to go may take, besides its pause, until it serves, or has come on by a step.
const goesWithin = 10 * time.Second

// sayEvery is how often at most it is said that no engine can be started; it is tried each pauseMin.
const sayEvery = time.Minute

// slack is by how much a lease has to have run out before its master is given up: the engine that could still take it looks at the same
// clock.
const slack = 2 * time.Millisecond

// A supervisor holds what must outlive an engine, and keeps one running. It parses nothing from outside and never accepts
// a connection.
type supervisor struct {
	// What the administrator has said, and whom it tells.
	dir      statedir.Dir
	verbose  bool
	noGate   bool // as if the kernel had no eBPF
	toStderr bool // log to standard error, whatever that is
	logs     *logger
	service  *notifier // systemd, for instance

	// What it holds for the engines: all but the cells go from program to program, see execute and inherit.
	held    *statedir.Held // the lock of the state directory, and the socket for commands
	ctl     *os.File       // that socket, to be handed down
	record  *os.File       // how the carpdevs were before us
	kept    *os.File       // what the next engine needs to go on
	keeps   *record.Record // kept, mapped
	gate    shutter        // nil: there is none
	parting parting
	cell    *cell       // what confines the engines of this program to their files
	foreign foreignCell // of a new program that could not be started; its cell nil: there is none

	// What run waits for, besides the timers below.
	terms  chan os.Signal
	hups   chan os.Signal
	events chan event // of engines

	// The engines. Who is which when is told above exchangeWithin.
	current  *engineProcess // in charge; nil: none, until the timer again
	next     *engineProcess // of a new program, until it is in charge
	spare    *engineProcess // of this program, while a new one takes over: it goes on if that does not
	old      *engineProcess // that has handed over, until it is reaped
	unreaped int            // how many there are in all, dead ones too

	// What it was told while it could not be done.
	wanted bool      // another exchange begins when this one is over
	ends   os.Signal // it ends when there is an engine that can clear up; nil: it was not told to

	// How the engines have done.
	started bool           // one has served
	died    engine.Instant // when the last one that died did; 0: none has
	said    engine.Instant // when it was said last that none can be started; 0: never
	pause   time.Duration  // of the next one before it begins
	watch   watch          // over the current one

	// The timers, stopped when there is nothing to wait for.
	again    *time.Timer // start an engine again
	tooLate  *time.Timer // the first lease of a dead engine has run out
	patience *time.Timer // somebody in an exchange takes too long, or, when told to end, the wait for an engine does
	proof    *time.Timer // look again whether a new engine in charge renews the leases, at provesAt
	proven   *time.Timer // it has done so for long enough
	provesAt engine.Instant
}

// A shutter is the gate as the supervisor has it: it keeps it for the engines, and shuts it when one has died and none goes on.
type shutter interface {
	Files() ([]*os.File, error)
	ShutAll()
	Close() error
}

// A parting is how the supervisor bows out for an engine that has died.
type parting interface {
	Send(carpdev int, frame []byte) error
	SetDown(carp string) error
	Fd() int
	Close() error
}

// run returns when it is told to end, or when no engine can run at all.
func (s *supervisor) run() (err error) {
	makeThreads()
	lockMemory() // option -n says where it may not
	// One for each: however many ask for a new program, who asks for the end is heard.
	s.terms, s.hups = make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(s.terms, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(s.hups, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)

	s.logs = openLog(os.Stderr, s.toStderr)
	defer func() {
		if err != nil && s.logs.silent {
			s.logs.log(engine.Err, fmt.Sprintf("kernelsim: %v", err))
		}
		s.logs.close()
	}()
	s.service = newNotifier(os.Getenv)
	s.events = make(chan event, 16)
	s.again, s.tooLate, s.patience, s.proof, s.proven = stopped(), stopped(), stopped(), stopped(), stopped()
	program, err := programOf(os.Args[0])
	if err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	if s.cell, err = newCell(s.dir, self()); err != nil {
		s.logs.printf("kernelsim: the engine process is not confined to its files: %v", err)
	}
	if err := keepCaps(); err != nil {
		return err
	}
	if s.current == nil {
		if s.current, err = s.start(self(), s.cell); err != nil {
			return fmt.Errorf("failed to start the engine: %w", err)
		}
	}
	if s.wanted {
		s.exchange(program)
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if s.ends != nil && s.settled() {
			return s.stop()
		}
		select {
		case s.ends = <-s.terms:
			s.service.stopping()
			s.patience.Reset(stopWithin)
		case <-s.hups:
			s.exchange(program)
		case ev := <-s.events:
			if err := s.heard(ev, program); err != nil {
				return err
			}
		case <-s.again.C:
			s.successor()
		case <-s.tooLate.C:
			s.giveUp(now())
		case <-s.patience.C:
			if s.ends != nil {
				return s.stop()
			}
			s.losePatience()
		case <-s.proof.C:
			s.prove(now())
		case <-s.proven.C:
			s.trust()
		case at := <-look.C:
			s.look(at)
		}
	}
}

// share returns a listening socket as a file to be handed down. The file that its method File returns would, whenever it is handed down, take
// O_NONBLOCK from the socket itself: then an engine that serves could wait in accept for ever, and never leave.
func share(l *net.UnixListener) (*os.File, error) {
	f, err := os.Open(os.DevNull) // one that os does not know as non-blocking
	if err != nil {
		return nil, err
	}
	raw, err := l.SyscallConn()
	if err == nil {
		controlled := raw.Control(func(fd uintptr) { err = dup(int(fd), int(f.Fd())) })
		err = errors.Join(err, controlled)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to duplicate a descriptor: %w", err)
	}
	return f, nil
}

// dup makes the descriptor to another name of what from is open on, and closes it on exec.
func dup(from, to int) error {
	if err := unix.Dup2(from, to); err != nil {
		return err
	}
	unix.CloseOnExec(to)
	return nil
}

func now() engine.Instant { return loop.SystemClock{}.Now() }

// stopped returns a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// open takes what the engines need, or finds it, when this process has executed itself anew.
func (s *supervisor) open() (err error) {
	if heirloom := os.Getenv(envHeld); heirloom != "" {
		os.Unsetenv(envHeld)
		if err := s.inherit(heirloom); err != nil {
			return err
		}
		s.logs.printf("kernelsim: the new program has taken over") // not before another SIGHUP is heard
		return nil
	}
	if s.held, err = statedir.Acquire(s.dir); err != nil {
		return err
	}
	if s.ctl, err = share(s.held.Listener); err != nil {
		return err
	}
	if s.record, err = newMemory("carp-record"); err != nil {
		return err
	}
	if s.kept, err = newMemory("carp-kept"); err != nil {
		return err
	}
	if s.keeps, err = record.Init(s.kept); err != nil {
		return err
	}
	if s.parting, err = openParting(s.dir); err != nil {
		return err
	}
	s.gate = s.openGate()
	return nil
}

// close gives everything back that open has taken, also when that failed.
func (s *supervisor) close() {
	for _, c := range []*cell{s.cell, s.foreign.cell} {
		if c != nil {
			c.close()
		}
	}
	if s.gate != nil {
		s.gate.Close()
	}
	if s.parting != nil {
		s.parting.Close()
	}
	for _, f := range []*os.File{s.kept, s.record, s.ctl} {
		if f != nil {
			f.Close()
		}
	}
	if s.held != nil {
		s.held.Close()
	}
}

// openGate makes the gate, or says why there is none.
func (s *supervisor) openGate() shutter {
	var err error = errors.New("option -g")
	if !s.noGate {
		var g shutter
		if g, err = newGate(s.dir); err == nil {
			return g
		}
	}
	s.logs.printf("kernelsim: no gate (%v): a host that hangs goes on to answer", err)
	return nil
}

// heard follows what happens to the engines.
func (s *supervisor) heard(ev event, program string) error {
	switch e := ev.of; {
	case e == s.next:
		s.heardNext(ev)
	case e == s.spare:
		s.heardSpare(ev)
	case e == s.current && ev.what == saysPrepared:
		e.prepared = true
		s.letGo(e)
	case e == s.current && ev.what == saysWorks:
		if s.waitsFor(e) {
			s.watch = watch{}
		}
	case e == s.current && ev.what == saysServes:
		e.served, s.started = true, true
		e.beats, s.watch = s.keeps.Beats(), watch{}
		s.service.ready()
		if s.tries(e) {
			s.proven.Reset(provesFor)
		}
	case e == s.current && ev.what == saysLeft:
		s.change()
	case e == s.current && ev.what == saysGone:
		return s.dead()
	}
	if ev.what == saysReaped {
		s.unreaped--
		ev.of.reaped = true
	}
	if s.old != nil && ev.of == s.old && ev.what == saysReaped {
		s.old.close()
		s.old = nil
	}
	// The new program does not know of other engines, and would never reap them. A dead one may be reaped before it is known to be gone.
	if s.current != nil && s.current.served && s.current.isNew && s.unreaped == 1 && !s.current.reaped && s.ends == nil {
		s.current.isNew = false
		s.execute(program)
	}
	if s.wanted && s.ends == nil {
		s.exchange(program)
	}
	return nil
}

// dead follows the death of the engine that is to serve.
func (s *supervisor) dead() error {
	e := s.current
	e.kill() // it has closed all that it had: nothing can be left of it
	if s.tries(e) {
		s.fallBack()
		return nil
	}
	s.current = nil
	if !s.started {
		e.close()
		<-e.ended
		return errors.New("the engine did not start") // it has said why
	}
	at := now()
	say := e.prepared || s.maySay(at) // what keeps it from its beginnings, too few threads for one, may do so for long
	go func() {
		if why := reason(<-e.ended); say {
			s.logs.printf("kernelsim: the engine ended (%s), starting it again", why)
		}
		e.close()
	}()
	first := s.died == 0 || time.Duration(at-s.died) > quiet
	s.died = at
	s.keeps.Orphan()
	if first {
		s.pause = 0
		s.successor()
		if s.current != nil {
			s.hurry(s.current, true)
		}
		s.giveUp(at) // where it is too late already
		return nil
	}
	s.giveUpAll(at)
	s.pause = min(max(2*s.pause, pauseMin), pauseMax)
	switch {
	case e.served:
		s.successor()
	case e.prepared: // the next one may not come as far as to pause either
		s.again.Reset(pauseMin)
	default: // nor is there any point in haste
		s.again.Reset(s.pause)
	}
	return nil
}

// successor puts an engine in the place of a dead one: that of a new program, if there is one that is ready; else this program's, of which
// there may be a spare.
func (s *supervisor) successor() {
	if e := s.next; e != nil {
		s.next = nil
		s.patience.Stop()
		if e.prepared {
			s.charge(e)
			return
		}
		e.discard()
	}
	if s.spare != nil {
		s.chargeSpare()
		return
	}
	s.startAgain()
}

// letGo lets an engine go on with what is kept, or begin.
func (s *supervisor) letGo(e *engineProcess) {
	s.watch = watch{}
	e.goesOn = len(s.keeps.Orphans()) > 0
	e.tell(tellGo)
}

// startAgain starts an engine, or tries later. What that takes, a process, threads, descriptors, may be missing for long: other hosts need not wait
// until the leases have run out.
func (s *supervisor) startAgain() {
	var err error
	if s.current, err = s.start(self(), s.cell); err != nil {
		s.current = nil
		at := now()
		s.giveUpAll(at)
		if s.maySay(at) {
			s.logs.printf("kernelsim: failed to start the engine: %v; trying again", err)
		}
		s.again.Reset(pauseMin)
	}
}

// maySay reports whether it is time to say again that no engine can be started.
func (s *supervisor) maySay(at engine.Instant) bool {
	if s.said != 0 && at-s.said < engine.Instant(sayEvery) {
		return false
	}
	s.said = at
	return true
}

// giveUp bows out for the masters of a dead engine whose leases have run out before another one went on, and waits for the next.
func (s *supervisor) giveUp(at engine.Instant) {
	var first engine.Instant
	for _, e := range s.keeps.Orphans() {
		end := e.Until + engine.Instant(slack)
		switch {
		case e.State != engine.Master:
		case end <= at:
			s.bowOut(e, at)
		case first == 0 || end < first:
			first = end
		}
	}
	s.tooLate.Stop()
	if first != 0 {
		s.tooLate.Reset(time.Duration(first - at))
	}
}

// giveUpAll shuts the gate and bows out for all: nobody may take over while this host answers.
func (s *supervisor) giveUpAll(at engine.Instant) {
	s.tooLate.Stop()
	if s.gate != nil {
		s.gate.ShutAll()
	}
	for _, e := range s.keeps.Orphans() {
		s.bowOut(e, at)
	}
}

// bowOut bows out for a master of a dead engine, and takes what is kept of the virtual host away, so that the next engine does not go on with
// it. Where its last advert is too old, another host is master already, and a bow-out would make a third one master too.
func (s *supervisor) bowOut(e *record.Entry, at engine.Instant) {
	if !s.keeps.Take(e.Slot, record.GivenUp) || e.State != engine.Master {
		return
	}
	if s.gate == nil {
		if err := s.parting.SetDown(e.Carp); err != nil {
			s.logs.printf("%s: %v", e.Carp, err)
			return
		}
	}
	if at-e.Sent >= 2*e.Interval {
		return
	}
	for i := range e.Frames {
		if f := &e.Frames[i]; len(f.Bytes()) > 0 {
			if err := s.parting.Send(f.Carpdev, f.Bytes()); err != nil {
				s.logs.printf("%s: bow-out: %v", e.Carp, err)
			}
		}
	}
}

// look ends an engine that hangs, or does not come as far as to serve.
func (s *supervisor) look(at time.Time) {
	e := s.current
	if e == nil || !e.prepared {
		return
	}
	beats := s.keeps.Beats()
	if e.served && beats != s.watch.beats { // the loop is alive, and not this process alone
		s.service.feed(at)
	}
	patience := hangsAfter
	if s.waitsFor(e) { // what it does before the loop beats nowhere
		patience, beats = goesWithin+s.pause, s.watch.beats
	}
	if s.watch.hangs(at, beats, patience) {
		s.watch = watch{}
		if s.tries(e) {
			e.fail("it hangs")
			return
		}
		s.logs.printf("kernelsim: the engine hangs, killing it")
		e.kill()
	} else if starves := e.served && s.watch.starves(); starves != e.lifted {
		e.lifted = starves
		s.hurry(e, starves || e.urgent.Load())
	}
}

// waitsFor reports whether an engine has goesWithin for each step until it serves: hundreds of links take their time on a busy host. One of a new
// program that is to go on has no such time, for there is another that can.
func (s *supervisor) waitsFor(e *engineProcess) bool { return !e.served && !(e.goesOn && s.tries(e)) }

// settled reports whether there is an engine in charge that can be told to end: one that is ready, and is not leaving for another.
func (s *supervisor) settled() bool {
	return s.current != nil && s.current.prepared && !s.current.leaves
}

// stop lets the engine bow out and clear up.
func (s *supervisor) stop() error {
	for _, e := range []*engineProcess{s.next, s.spare} {
		if e != nil {
			e.kill()
			<-e.ended
		}
	}
	e := s.current
	if e == nil {
		s.abandon()
		return errors.New("no engine runs that could clear up") // what the last one left is still there
	}
	defer e.close()
	if err := e.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-e.ended:
		if err != nil {
			s.abandon()
			return fmt.Errorf("the engine ended badly: %w", err)
		}
		s.giveUpAll(now()) // what it was to go on with, and has not come to
		return nil
	case <-time.After(stopWithin):
		e.kill()
		<-e.ended
		s.abandon()
		return fmt.Errorf("the engine did not end within %v of %v", stopWithin, s.ends)
	}
}

// abandon bows out for an engine that cannot.
func (s *supervisor) abandon() {
	s.keeps.Orphan()
	s.giveUpAll(now())
}

func reason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
