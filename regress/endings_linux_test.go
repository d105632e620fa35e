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

// A new program that says it is ready, and then hangs, costs the lease and a while without this host; then the old one goes on, and a good one can take over.
func TestProgramHangsInCharge(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.machine("a"), l.host("b")
	t.Cleanup(a.crash)
	a.program = filepath.Join(l.dir, "kernelsim")
	good, err := os.ReadFile(filepath.Join(bin, "kernelsim"))
	if err != nil {
		t.Fatal(err)
	}
	a.install(good, 0o755)
	a.start()
	a.serves()
	a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	a.becomes("master", 5*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	a.install(badProgram(t, "syscall.Write(6, []byte{'p'}); time.Sleep(time.Hour)"), 0o755)
	a.sim.Process.Signal(syscall.SIGHUP)
	b.becomes("master", 5*time.Second)
	l.within(15*time.Second, "it is killed", func() bool { return strings.Contains(a.readLog(), "kernelsim: the engine hangs, killing it\n") })
	a.becomes("backup", 5*time.Second)
	b.must("ifconfig-carp carp0 down")
	a.becomes("master", 5*time.Second)
	a.install(good, 0o755)
	a.sim.Process.Signal(syscall.SIGHUP)
	l.within(10*time.Second, "a good one takes over", func() bool { return strings.HasSuffix(a.readLog(), "kernelsim: the new program has taken over\n") })
	l.within(5*time.Second, "one engine is left, and nobody unreaped", func() bool { return len(childrenOf(a.sim.Process.Pid)) == 1 })
	if s := a.status("carp0"); s != "master" {
		t.Errorf("it is %s after the exchange", s)
	}
	a.stop()
}
