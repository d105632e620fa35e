package regress

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Who asks for the end is heard, however many ask for a new program and however far one has come: the master bows out, and nothing is left.
func TestEndsDuringExchange(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.machine("a"), l.host("b")
	t.Cleanup(a.crash)
	b.must("ifconfig-carp carp0 vhid 1 advbase 1 advskew 100 192.168.1.10")
	b.becomes("master", 10*time.Second)
	seen := client.capture()
	for n, delay := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 6 * time.Millisecond, 10 * time.Millisecond, 15 * time.Millisecond, 25 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond} {
		a.start()
		a.serves()
		if n == 0 {
			a.must("ifconfig-carp carp0 vhid 1 advbase 1 192.168.1.10")
		}
		a.must("ifconfig-carp carp0 state master")
		a.becomes("master", 5*time.Second)
		b.becomes("backup", 5*time.Second)
		from := seen.count()
		for range 10 {
			a.sim.Process.Signal(syscall.SIGHUP)
		}
		time.Sleep(delay)
		a.sim.Process.Signal(syscall.SIGTERM)
		select {
		case <-a.ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("after %v: SIGTERM is not heard:\n%s", delay, a.readLog())
		}
		status := a.sim.ProcessState.Sys().(syscall.WaitStatus)
		// In the moment in which it executes the new program SIGTERM ends it, and the engine bows out by itself.
		if status.ExitStatus() != 0 && status.Signal() != syscall.SIGTERM {
			t.Errorf("after %v: %v\n%s", delay, a.sim.ProcessState, a.readLog())
		}
		l.within(5*time.Second, "its link goes", func() bool { return !strings.Contains(l.ip(a.ns, "-o", "link"), ": carp") })
		seen.wait(t, from, 5*time.Second, "a bow-out", func(f *frame) bool { return f.advert != nil && f.src.String() == a.addr && f.advert.IsBowOut() })
		b.becomes("master", time.Second)
	}
}

// A new program that says it is ready, and then hangs, dies or stands still in its first moments in charge, changes nothing: the old one goes on
// before a lease has run out, and a good one can take over afterwards.
func TestProgramHangsInCharge(t *testing.T) {
	l := newLab(t)
	client, a, b := l.machine("client"), l.machine("a"), l.host("b")
	a.testing(time.Millisecond)
	t.Cleanup(a.crash)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of a:\n%s\nlog of b:\n%s", tail(a.readLog()), tail(b.readLog()))
		}
	})
	good, err := os.ReadFile(a.program)
	if err != nil {
		t.Fatal(err)
	}
	a.program = filepath.Join(l.dir, "kernelsim")
	a.install(good, 0o755)
	a.start()
	a.serves()
	a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	a.becomes("master", 5*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	says := `syscall.Write(6, []byte{'p'}); `
	isTold := says + `syscall.Read(5, make([]byte, 1)); `
	for _, c := range []struct {
		what    string
		program []byte
		signal  syscall.Signal // to the new engine, once it serves
		says    string
	}{
		{"hangs", badProgram(t, says+"time.Sleep(time.Hour)"), 0, "it does not go on"},
		{"dies before it is told to go", badProgram(t, says+"time.Sleep(time.Millisecond); os.Exit(3)"), 0, "exit status 3"},
		{"dies when it is told to go", badProgram(t, isTold+"os.Exit(3)"), 0, "exit status 3"},
		{"says that it goes on, and hangs", badProgram(t, isTold+"syscall.Write(6, []byte{'r', 's'}); time.Sleep(time.Hour)"), 0, "it does not go on"},
		{"its loop hangs", good, syscall.SIGUSR2, "it does not go on"},
		{"is stopped", good, syscall.SIGSTOP, "it does not go on"},
		{"is killed", good, syscall.SIGKILL, "signal: killed"},
	} {
		s := &series{name: "a new program that " + c.what + ": nobody answers"}
		for len(s.late) < trials(1, 10) && s.repeated < 20 {
			a.install(c.program, 0o755)
			before := a.engine()
			logs := a.readLog() + b.readLog()
			p := startPinging(t, client, "192.168.1.10", 150)
			control := startControl(t, time.Now().Add(50*time.Millisecond))
			time.Sleep(30 * time.Millisecond)
			a.sim.Process.Signal(syscall.SIGHUP)
			if c.signal != 0 {
				l.within(5*time.Second, "the new engine is in charge", func() bool { return a.engine() != before && a.status("carp0") == "master" })
				syscall.Kill(a.engine(), c.signal)
			}
			line := "kernelsim: the new program cannot take over (" + c.says + "), the old one goes on\n"
			l.within(7*time.Second, line, func() bool { return strings.Count(a.readLog(), line) > strings.Count(logs, line) })
			lost := p.lost(t)
			late := control.late(t)
			now := strings.Count(a.readLog()+b.readLog(), "transition") - strings.Count(logs, "transition")
			t.Logf("%s: %d pings lost, %d transitions, control %v late", c.what, lost, now, late)
			l.within(5*time.Second, "one engine is left, and nobody unreaped", func() bool { return len(childrenOf(a.sim.Process.Pid)) == 1 })
			a.becomes("master", 10*time.Second)
			if late > controlLimit {
				s.repeated++
				continue
			}
			s.late = append(s.late, time.Duration(lost)*10*time.Millisecond)
			if now != 0 || lost != 0 {
				t.Errorf("%s: %d transitions, %d lost pings", c.what, now, lost)
			}
		}
		s.judge(t, 10*time.Millisecond, 10*time.Millisecond)
	}
	a.install(good, 0o755)
	a.sim.Process.Signal(syscall.SIGHUP)
	l.within(10*time.Second, "a good one takes over", func() bool { return strings.HasSuffix(a.readLog(), "kernelsim: the new program has taken over\n") })
	l.within(5*time.Second, "one engine is left, and nobody unreaped", func() bool { return len(childrenOf(a.sim.Process.Pid)) == 1 })
	if s := a.status("carp0"); s != "master" {
		t.Errorf("it is %s after the exchange", s)
	}
	a.stop()
}

// A new program that hangs once it serves is found out on a backup too, which has no lease to renew, and the old one goes on.
func TestProgramHangsInBackup(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.host("a"), l.machine("b")
	a.must("ifconfig-carp carp0 vhid 1 192.168.1.10")
	a.becomes("master", 10*time.Second)
	good, err := os.ReadFile(filepath.Join(bin, "kernelsim"))
	if err != nil {
		t.Fatal(err)
	}
	b.program = filepath.Join(l.dir, "kernelsim")
	b.install(good, 0o755)
	b.start()
	t.Cleanup(b.crash)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of b:\n%s", b.readLog())
		}
	})
	b.serves()
	b.must("ifconfig-carp carp0 vhid 1 advskew 100 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	b.install(badProgram(t, `syscall.Write(6, []byte{'p'}); syscall.Read(5, make([]byte, 1)); syscall.Write(6, []byte{'r', 's'}); time.Sleep(time.Hour)`), 0o755)
	b.sim.Process.Signal(syscall.SIGHUP)
	line := "kernelsim: the new program cannot take over (it hangs), the old one goes on\n"
	l.within(10*time.Second, line, func() bool { return strings.HasSuffix(b.readLog(), line) })
	b.becomes("backup", 5*time.Second)
	a.crash()
	b.becomes("master", 10*time.Second)
}
