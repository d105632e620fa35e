package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"carp/libcarp/engine"
	"carp/libcarp/statedir"
)

// The descriptors that an engine process inherits, from 3 on.
const (
	fdLock   = 3 + iota // so that nobody starts beside an engine that has outlived its supervisor
	fdCtl               // the listening socket: commands can connect as long as the supervisor lives
	fdAlive             // reads end of file when the supervisor is gone
	fdReady             // what the engine says; the supervisor reads end of file when it is gone
	fdRecord            // what the next engine needs to know of this one
	fdGate              // the gate, as many as it needs, if there is one
)

// fdLast is where the engine has fdReady a second time. The kernel closes a dead process's files before it tells its parent, which takes tens of
// milliseconds with packet sockets, and Linux begins with the highest.
const fdLast = 512

// What the engine says, each in a byte.
const (
	saysServes = 's'
	saysUrgent = 'u' // it must not wait for other processes
	saysCalm   = 'c' // it may again
)

// What an engine process is told after the state directory and the pause.
const (
	argVerbose = "-v"
	argStderr  = "-e"
	argGate    = "gate" // the supervisor has one
)

// stopWithin is how long an engine may take to bow out and clear up.
const stopWithin = 5 * time.Second

// An engine that died is started again at once, to silence the links that it left; then it pauses, from the second death on, for a time that
// grows from the first to the second. After quiet time this starts anew.
const (
	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
	quiet    = 60 * time.Second
)

// A supervisor holds what must outlive an engine, and keeps one running. It parses nothing from outside and never accepts
// a connection.
type supervisor struct {
	dir      statedir.Dir
	verbose  bool
	noGate   bool // as if the kernel had no eBPF
	toStderr bool // log to standard error, whatever that is
	logs     *logger

	held   *statedir.Held
	ctl    *os.File
	record *os.File
	gate   shutter
	cell   *cell
}

// A shutter is what the supervisor does with the gate: it keeps it for the engines, and shuts it when one has died.
type shutter interface {
	Files() ([]*os.File, error)
	ShutAll()
	Close() error
}

// run returns when it is told to end, or when no engine can run at all.
func (s *supervisor) run() (err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)

	s.logs = openLog(os.Stderr, s.toStderr)
	defer s.logs.close()
	defer func() {
		if err != nil && s.logs.silent {
			s.logs.log(engine.Err, fmt.Sprintf("kernelsim: %v", err))
		}
	}()
	if s.held, err = statedir.Acquire(s.dir); err != nil {
		return err
	}
	defer s.held.Close()
	if s.ctl, err = s.held.Listener.File(); err != nil {
		return err
	}
	defer s.ctl.Close()
	if s.record, err = newRecord(); err != nil {
		return err
	}
	defer s.record.Close()
	if s.gate = s.openGate(); s.gate != nil {
		defer s.gate.Close()
	}
	s.cell, err = newCell(s.dir)
	defer s.cell.close()
	if err != nil {
		s.logs.printf("kernelsim: the engine process is not confined to its files: %v", err)
	}
	if err := keepCaps(); err != nil {
		return err
	}

	pause := time.Duration(0)
	for first := true; ; first = false {
		started := time.Now()
		e, err := s.start(pause)
		if err != nil {
			err = fmt.Errorf("failed to start the engine: %w", err)
			if first {
				return err
			}
			s.logs.printf("kernelsim: %v; trying again", err)
			select {
			case <-signals:
				return err // what the last engine left is still there
			case <-time.After(pauseMin):
				continue
			}
		}
		select {
		case sig := <-signals:
			return s.stop(e, sig)
		case <-e.gone:
			if s.gate != nil {
				s.gate.ShutAll() // nobody watches what it would let through
			}
			err := <-e.ended
			served := e.served.Load()
			e.close()
			if first && !served {
				return errors.New("the engine did not start") // it has said why
			}
			if time.Since(started) > quiet {
				pause = 0
			}
			if !first && time.Since(started) < quiet {
				pause = min(max(2*pause, pauseMin), pauseMax)
			}
			s.logs.printf("kernelsim: the engine ended (%v), starting it again", reason(err))
			if !served {
				time.Sleep(pauseMin) // it may not even have come as far as to pause
			}
		}
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

func reason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// An engineProcess is a running engine.
type engineProcess struct {
	cmd   *exec.Cmd
	alive *os.File // closing it tells the engine that the supervisor is gone
	ready *os.File

	served atomic.Bool   // it has come as far as to serve
	gone   chan struct{} // closed once it is dead
	ended  chan error    // told once it can be followed by another
}

// start runs an engine process: this very program.
func (s *supervisor) start(pause time.Duration) (*engineProcess, error) {
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
	cmd := exec.Command(self())
	cmd.Args = []string{engineName, string(s.dir), pause.String()}
	if s.verbose {
		cmd.Args = append(cmd.Args, argVerbose)
	}
	if s.toStderr {
		cmd.Args = append(cmd.Args, argStderr)
	}
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{s.held.Lock, s.ctl, aliveR, readyW, s.record}
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
	if err := s.cell.start(cmd); err != nil {
		aliveW.Close()
		readyR.Close()
		return nil, err
	}
	e := &engineProcess{cmd: cmd, alive: aliveW, ready: readyR, gone: make(chan struct{}), ended: make(chan error, 1)}
	go s.listen(e)
	go func() { e.ended <- cmd.Wait() }()
	return e, nil
}

// listen hears what the engine says, and that it is gone.
func (s *supervisor) listen(e *engineProcess) {
	defer close(e.gone)
	for b := make([]byte, 1); ; {
		if _, err := e.ready.Read(b); err != nil {
			return
		}
		switch b[0] {
		case saysServes:
			e.served.Store(true)
		case saysUrgent, saysCalm:
			s.hurry(e, b[0] == saysUrgent)
		}
	}
}

// hurry lets an engine run before other processes, where that may be. One that computes for seconds without a pause is killed, see confine.
func (s *supervisor) hurry(e *engineProcess, urgent bool) {
	if err := setPriority(e.cmd.Process.Pid, urgent); err != nil && s.verbose {
		s.logs.debugf("kernelsim: no real-time priority for the engine: %v", err)
	}
}

func (e *engineProcess) close() {
	e.alive.Close()
	e.ready.Close()
}

// stop lets the engine bow out and clear up.
func (s *supervisor) stop(e *engineProcess, sig os.Signal) error {
	defer e.close()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-e.ended:
		if err != nil {
			return fmt.Errorf("the engine ended badly: %w", err)
		}
		return nil
	case <-time.After(stopWithin):
		e.cmd.Process.Kill()
		<-e.ended
		return fmt.Errorf("the engine did not end within %v of %v", stopWithin, sig)
	}
}
