package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
)

// The descriptors that an engine process inherits, from 3 on.
const (
	fdLock   = 3 + iota // so that nobody starts beside an engine that has outlived its supervisor
	fdCtl               // the listening socket: commands can connect as long as the supervisor lives
	fdAlive             // what the supervisor tells; end of file when it is gone
	fdReady             // what the engine says; the supervisor reads end of file when it is gone
	fdRecord            // how the carpdevs were before us
	fdKept              // what the next engine needs to go on
	fdGate              // the gate, as many as it needs, if there is one
)

// fdLast is where the engine has fdReady a second time. The kernel closes a dead process's files before it tells its parent, which takes tens of
// milliseconds with packet sockets, and Linux begins with the highest.
const fdLast = 512

// What an engine process is told after the state directory and the pause. An engine refuses a supervisor with another arrangement than its own.
const (
	argVerbose = "-v"
	argStderr  = "-e"
	argGate    = "gate" // the supervisor has one
	argLayout  = "layout=1"
)

// What the supervisor tells an engine, each in a byte.
const (
	tellGo    = 'g' // go on with what is kept, or begin
	tellLeave = 'l' // another one is ready: leave everything as it is
)

// What an engine says.
const (
	saysPrepared = 'p' // it waits to be told to go
	saysResumed  = 'r' // leases and adverts go on
	saysWorks    = 'w' // it does not serve yet, but it comes on
	saysServes   = 's'
	saysUrgent   = 'u' // it must not wait for other processes
	saysCalm     = 'c' // it may again
	saysLeft     = 'l'
	saysGone     = 0 // it is dead
	saysReaped   = 1 // and reaped
)

// An event is what an engine says, or what happens to it.
type event struct {
	of   *engineProcess
	what byte
}

// An engineProcess is a running engine.
type engineProcess struct {
	process *os.Process
	alive   *os.File // closing it tells the engine that the supervisor is gone
	ready   *os.File
	ended   chan error // told once it is reaped

	// How far it has come: it makes itself ready, is prepared, is told to go, has served, and perhaps leaves for another one.
	prepared bool
	goesOn   bool // with what was kept when it was told to go; else it began anew
	served   bool
	beats    uint64 // when it said so
	leaves   bool   // it was told to
	reaped   bool
	failed   string // why it was killed

	isNew  bool        // of another program than the supervisor's
	urgent atomic.Bool // it says that it must not wait for other processes
	lifted bool        // it runs before them, lest it be taken for one that hangs
}

// start runs an engine process.
func (s *supervisor) start(program string, in *cell) (*engineProcess, error) {
	aliveR, aliveW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer aliveR.Close()
	readyR, readyW, err := os.Pipe()
	if err != nil {
		aliveW.Close()
		return nil, err
	}
	defer readyW.Close()
	cmd := exec.Command(program)
	cmd.Args = []string{engineName, string(s.dir), s.pause.String(), argLayout}
	if s.verbose {
		cmd.Args = append(cmd.Args, argVerbose)
	}
	if s.toStderr {
		cmd.Args = append(cmd.Args, argStderr)
	}
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{s.held.Lock, s.ctl, aliveR, readyW, s.record, s.kept}
	if s.gate != nil {
		files, err := s.gate.Files()
		if err != nil {
			aliveW.Close()
			readyR.Close()
			return nil, err
		}
		for _, f := range files {
			defer f.Close()
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, files...)
		cmd.Args = append(cmd.Args, argGate)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a ^C is for the supervisor, which then asks the engine to end
	if err := in.start(cmd); err != nil {
		aliveW.Close()
		readyR.Close()
		return nil, err
	}
	e := &engineProcess{process: cmd.Process, alive: aliveW, ready: readyR, ended: make(chan error, 1)}
	s.follow(e, cmd.Wait)
	return e, nil
}

// follow listens to an engine until it is reaped.
func (s *supervisor) follow(e *engineProcess, wait func() error) {
	s.unreaped++
	go func() {
		for b := make([]byte, 1); ; {
			if _, err := e.ready.Read(b); err != nil {
				s.events <- event{e, saysGone}
				return
			}
			switch b[0] {
			case saysUrgent, saysCalm:
				e.urgent.Store(b[0] == saysUrgent)
				s.hurry(e, b[0] == saysUrgent)
			case saysResumed:
				s.hurry(e, e.urgent.Load())
			case saysServes:
				s.hurry(e, e.urgent.Load()) // it may have had nothing to go on with
				s.events <- event{e, saysServes}
			default:
				s.events <- event{e, b[0]}
			}
		}
	}()
	go func() {
		e.ended <- wait()
		s.events <- event{e, saysReaped}
	}()
}

// hurry lets an engine run before other processes, or no longer, where the system permits it. An engine asks for it, and needs it when it is to go on
// before leases run out. One that computes for seconds without a pause is killed, see confine.
func (s *supervisor) hurry(e *engineProcess, urgent bool) {
	if err := setPriority(e.process.Pid, urgent); err != nil && s.verbose {
		s.logs.debugf("kernelsim: no real-time priority for the engine: %v", err)
	}
}

// waitFor returns a wait, for follow, of an engine that an earlier program of this process has started.
func waitFor(p *os.Process) func() error {
	return func() error {
		state, err := p.Wait()
		if err == nil && !state.Success() {
			err = fmt.Errorf("%v", state)
		}
		return err
	}
}

// tell sends an engine one of the bytes above. One that is dead does not hear it.
func (e *engineProcess) tell(what byte) { e.alive.Write([]byte{what}) }

func (e *engineProcess) kill() { e.process.Kill() }

// fail kills an engine, and remembers why.
func (e *engineProcess) fail(why string) {
	e.failed = why
	e.kill()
}

// why waits until a dead engine is reaped, and says why it died.
func (e *engineProcess) why() string {
	why := reason(<-e.ended)
	if e.failed != "" {
		why = e.failed
	}
	return why
}

// discard ends an engine that is not in charge.
func (e *engineProcess) discard() {
	e.kill()
	go func() { <-e.ended; e.close() }()
}

func (e *engineProcess) close() {
	e.alive.Close()
	e.ready.Close()
}
