package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carp/libcarp/engine"
	"carp/libcarp/record"
	"carp/libcarp/statedir"
)

// A noParting is one that is never needed.
type noParting struct{ file *os.File }

func (noParting) Send(int, []byte) error { return nil }
func (noParting) SetDown(string) error   { return nil }
func (p noParting) Fd() int              { return int(p.file.Fd()) }
func (noParting) Close() error           { return nil }

// heldFor returns a supervisor that holds files, none of them what it ought to be: enough to execute a program that does not exist.
func heldFor(t *testing.T, logs *logger) *supervisor {
	t.Cleanup(func() { signal.Reset(syscall.SIGHUP) })
	file := func() *os.File {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	return &supervisor{
		hups: make(chan os.Signal, 1), logs: logs,
		held: &statedir.Held{Lock: file()}, ctl: file(), record: file(), kept: file(), parting: noParting{file()},
		current: &engineProcess{process: &os.Process{Pid: os.Getpid()}, alive: file(), ready: file()},
	}
}

// Where the new program cannot be executed the log goes on, also for who took hold of it before, as one does who waits for a dead engine.
func TestLogOutlivesAFailedExecution(t *testing.T) {
	var b bytes.Buffer
	logs := newLogger(linesTo(&b))
	program := filepath.Join(t.TempDir(), "none")
	heldFor(t, logs).execute(program)
	logs.printf("after")
	logs.close()
	if want := "kernelsim: failed to execute " + program + ": no such file or directory\nafter\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("logged %q, want %q", b.String(), want)
	}
}

// The program of an engine that is dead is not executed, though that engine is reaped before it is known to be gone, and the spare is all that is left.
func TestDeadEnginesProgramIsNotExecuted(t *testing.T) {
	for _, dead := range []bool{true, false} {
		var b bytes.Buffer
		logs := newLogger(linesTo(&b))
		s := heldFor(t, logs)
		s.current.served, s.current.isNew, s.unreaped = true, true, 2
		other := &engineProcess{}
		if dead {
			s.spare, other = other, s.current
		}
		s.heard(event{other, saysReaped}, filepath.Join(t.TempDir(), "none"))
		logs.close()
		if executed := strings.Contains(b.String(), "failed to execute"); executed == dead {
			t.Errorf("dead %t: executed %t", dead, executed)
		}
	}
}

// An engine that left may be reaped before it is heard that it left; the next exchange need not wait for it then.
func TestReapedBeforeItLeft(t *testing.T) {
	for _, first := range []byte{saysReaped, saysLeft} {
		file, err := newMemory("kept")
		if err != nil {
			t.Fatal(err)
		}
		s := heldFor(t, newLogger(linesTo(&bytes.Buffer{})))
		if s.keeps, err = record.Init(file); err != nil {
			t.Fatal(err)
		}
		s.tooLate, s.patience, s.proof, s.proven = stopped(), stopped(), stopped(), stopped()
		left, nobody := s.current, &os.Process{Pid: 1 << 30}
		left.process = nobody // who left is killed after a second
		s.spare, s.unreaped = &engineProcess{process: nobody, alive: left.ready}, 2
		for _, what := range []byte{first, saysReaped + saysLeft - first} {
			if err := s.heard(event{left, what}, ""); err != nil {
				t.Fatal(err)
			}
		}
		if s.old != nil || s.current == left || s.unreaped != 1 {
			t.Errorf("%q first: old %v, current %v, %d are unreaped", first, s.old, s.current, s.unreaped)
		}
		s.logs.close()
	}
}

// A new engine that lets a lease run low is ended; where the supervisor itself looks late, as both do on a host that stood still, not before it had a moment.
func TestProve(t *testing.T) {
	file, err := newMemory("kept")
	if err != nil {
		t.Fatal(err)
	}
	s := heldFor(t, newLogger(linesTo(&bytes.Buffer{})))
	defer s.logs.close()
	if s.keeps, err = record.Init(file); err != nil {
		t.Fatal(err)
	}
	const second = engine.Instant(time.Second)
	w, start := s.keeps.Write(nil), now()
	kept := &engine.Kept{Carp: "carp0", VHID: 1, State: engine.Master}
	w.Keep(kept)
	w.Sent("carp0", 1, start, second, 0, 1, []byte("a bow-out"))
	w.Keep(kept)
	w.Until("carp0", start+3*second)
	low := start + 3*second - engine.Instant(reserveMax)
	for _, c := range []struct {
		what string
		late time.Duration
		at   engine.Instant
		ends bool
	}{
		{"fresh", 0, low - second, false},
		{"low", 0, low, true},
		{"low, and a little late", proofLate - 1, low, true},
		{"low, and late", proofLate, low, false},
		{"fresh, and late", time.Second, low - second, false},
		{"too late", 0, start + 3*second, false},
	} {
		s.proof = stopped()
		s.spare = &engineProcess{}
		s.current = &engineProcess{process: &os.Process{Pid: 1 << 30}, isNew: true}
		s.provesAt = c.at - engine.Instant(c.late)
		s.prove(c.at)
		if ends := s.current.failed != ""; ends != c.ends {
			t.Errorf("%s: it is ended %t", c.what, ends)
		}
		if again := s.proof.Stop(); again == c.ends {
			t.Errorf("%s: it is looked at again %t", c.what, again)
		}
	}
}

// Where the new program cannot be executed, the next SIGHUP is heard: it may be there again by then.
func TestHangupAfterAFailedExecution(t *testing.T) {
	logs := newLogger(linesTo(&bytes.Buffer{}))
	defer logs.close()
	s := heldFor(t, logs)
	s.execute(filepath.Join(t.TempDir(), "none"))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.hups:
	case <-time.After(5 * time.Second):
		t.Error("SIGHUP is not heard any more")
	}
}

// An engine that does not serve yet has its time anew after each step that it takes, and is killed when it takes none.
func TestWaitsForAnEngineThatComesOn(t *testing.T) {
	file, err := newMemory("kept")
	if err != nil {
		t.Fatal(err)
	}
	keeps, err := record.Init(file)
	if err != nil {
		t.Fatal(err)
	}
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	logs := newLogger(linesTo(&b))
	s := &supervisor{keeps: keeps, logs: logs, current: &engineProcess{process: sleep.Process, prepared: true}}
	at := time.Now()
	look := func(d time.Duration) {
		for end := at.Add(d); at.Before(end); at = at.Add(lookEvery) {
			s.look(at)
		}
	}
	for range 3 {
		look(goesWithin - time.Second)
		s.heard(event{s.current, saysWorks}, "")
	}
	look(goesWithin + time.Second)
	if err := sleep.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the engine ended: %v", err)
	}
	logs.close()
	if n := strings.Count(b.String(), "the engine hangs, killing it"); n != 1 {
		t.Errorf("killed %d times: %q", n, b.String())
	}
}
