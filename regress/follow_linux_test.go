package regress

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A follower is an ifconfig -W that runs.
type follower struct {
	m     *machine
	cmd   *exec.Cmd
	lines chan string
}

func (m *machine) follow(args ...string) *follower {
	m.lab.t.Helper()
	f := &follower{m: m, cmd: m.command(append([]string{"ifconfig-carp", "-W"}, args...)...), lines: make(chan string, 1000)}
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		f.cmd.Stderr = f.cmd.Stdout
		err = f.cmd.Start()
	}
	if err != nil {
		m.lab.t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			f.lines <- s.Text()
		}
	}()
	m.lab.t.Cleanup(f.end)
	return f
}

func (f *follower) end() {
	f.cmd.Process.Kill()
	f.cmd.Wait()
}

// says waits for a line that matches.
func (f *follower) says(pattern string) {
	f.m.lab.t.Helper()
	re := regexp.MustCompile("^" + pattern + "$")
	select {
	case line := <-f.lines:
		if !re.MatchString(line) {
			f.m.lab.t.Fatalf("-W says %q, not %s", line, pattern)
		}
	case <-time.After(20 * time.Second):
		f.m.lab.t.Fatalf("-W does not say %s", pattern)
	}
}

const when = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`

// Events are followed through another engine, an end and a new start of kernelsim, and a rotation; a wait ends when the state is there.
func TestFollowAndWait(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	all, one := a.follow(), a.follow("-e", "0", "carp0")
	wait := a.command("ifconfig-carp", "-w", "master", "-t", "20", "carp0")
	if r := a.do("ifconfig-carp -w master carp0"); r.code != 1 || r.err != "carp0: no such interface\n" {
		t.Errorf("%+v", r)
	}
	a.must("ifconfig-carp carp0 create")
	if err := wait.Start(); err != nil {
		t.Fatal(err)
	}
	if r := a.do("ifconfig-carp -w master,backup -t 0.2 carp0"); r.code != 3 || r.err != "ifconfig: carp0: Operation timed out\n" {
		t.Errorf("%+v", r)
	}
	a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 30 192.168.1.10")
	if err := wait.Wait(); err != nil {
		t.Errorf("the wait for master: %v", err)
	}
	a.must("ifconfig-carp -w master -t 0 carp0")
	for _, f := range []*follower{all, one} {
		f.says("1 " + when + " carp0 INIT BACKUP interface is ready")
		f.says("2 " + when + " carp0 BACKUP MASTER master timed out")
	}

	a.must("ifconfig-carp carp1 vhid 2 advbase 0 advskew 30 carpdev eth0 192.168.1.11")
	all.says("3 " + when + " carp1 INIT BACKUP interface is ready")
	all.says("4 " + when + " carp1 BACKUP MASTER master timed out")

	engine := a.engine()
	syscall.Kill(engine, syscall.SIGKILL)
	l.within(10*time.Second, "another engine comes", func() bool { return a.engine() != engine })
	a.must("ifconfig-carp -w master -t 20 carp1")
	engine = a.engine()
	a.sim.Process.Signal(syscall.SIGHUP)
	l.within(10*time.Second, "SIGHUP replaces the engine", func() bool { return a.engine() != engine })
	a.must("ifconfig-carp -w master -t 20 carp1")
	a.must("ifconfig-carp carp1 destroy")
	for last := ""; !strings.HasSuffix(last, "carp1 MASTER INIT interface destroyed"); {
		select { // how an engine is replaced is told elsewhere
		case last = <-all.lines:
		case <-time.After(20 * time.Second):
			t.Fatal("-W does not go on with another engine")
		}
	}

	a.must("ifconfig-carp -w master -t 20 carp0")
	a.stop()
	for _, f := range []*follower{all, one} {
		for line := ""; line != "ifconfig: kernelsim is not running"; {
			select {
			case line = <-f.lines:
			case <-time.After(20 * time.Second):
				t.Fatal("-W does not say that kernelsim is not running")
			}
		}
	}
	if r := a.do("ifconfig-carp -w master carp0"); r.code != 1 || r.err != "ifconfig: kernelsim is not running\n" {
		t.Errorf("%+v", r)
	}
	a.start()
	a.serves()
	one.says(`\d+ ` + when + " carp0 INIT BACKUP interface is ready")
	one.says(`\d+ ` + when + " carp0 BACKUP MASTER master timed out")

	a.stop() // the oldest events fall out of the files
	events := filepath.Join(a.state, "events")
	if err := os.Rename(events, events+".0"); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.serves()
	a.must("ifconfig-carp -w master -t 20 carp0")
	data, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	var first int
	if _, err := fmt.Sscanf(string(data), "%d ", &first); err != nil || first < 5 {
		t.Fatalf("%d, %v", first, err)
	}
	if err := os.Remove(events + ".0"); err != nil {
		t.Fatal(err)
	}
	gap := a.follow("-e", "2", "carp0")
	gap.says(fmt.Sprintf("ifconfig: events 3 to %d are lost", first-1))
	gap.says(fmt.Sprintf("%d ", first) + when + " carp0 INIT BACKUP interface is ready")
}

// The scripts of man/examples, as they stand.
func TestExamples(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.pair("", "", "advskew 100") // with short intervals a busy machine has transitions of its own
	a.must("ifconfig-carp -w master -t 10 carp0")
	l.within(5*time.Second, "the backup tells of the master", func() bool {
		out := b.do("ifconfig-carp -v carp0").out
		return strings.Contains(out, "\tpeer: 192.168.1.1 advbase 1 advskew 0 demote 0\n") &&
			regexp.MustCompile(`\n\tsince: `+when+`\n\treason: interface is ready\n$`).MatchString(out)
	})
	tools := t.TempDir() // a logger of its own
	if err := os.WriteFile(filepath.Join(tools, "logger"), []byte("#!/bin/sh\necho \"$*\" >>"+tools+"/log\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	example := func(m *machine, name string, args ...string) *exec.Cmd {
		c := m.command(append([]string{filepath.Join(filepath.Dir(wd), "man", "examples", name)}, args...)...)
		for i, v := range c.Env {
			if path, ok := strings.CutPrefix(v, "PATH="); ok {
				c.Env[i] = "PATH=" + tools + ":" + path
			}
		}
		return c
	}
	follow := example(b, "on-transition", "carp0", "echo up >>"+tools+"/did", "echo down >>"+tools+"/did")
	follow.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-follow.Process.Pid, syscall.SIGKILL); follow.Wait() })
	l.within(5*time.Second, "on-transition follows", func() bool {
		for _, pid := range childrenOf(follow.Process.Pid) {
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == "ifconfig-carp" {
				return true
			}
		}
		return false
	})
	time.Sleep(300 * time.Millisecond) // it is about to read which event is the last
	r, err := outcome(example(a, "hand-over", "carp0", "ifconfig-carp", "carp0"))
	if err != nil || r.code != 0 || r.err != "" || !strings.Contains(r.out, "\tstatus: backup\n") {
		t.Errorf("hand-over: %v, %+v", err, r)
	}
	a.must("ifconfig-carp -w backup -t 10 carp0")
	read := func(name string) string {
		data, _ := os.ReadFile(filepath.Join(tools, name))
		return string(data)
	}
	l.within(5*time.Second, "on-transition runs the command", func() bool { return read("did") == "up\n" })
	a.must("sysctl-carp -q net.inet.carp.preempt=1")
	l.within(10*time.Second, "on-transition runs the other command", func() bool { return read("did") == "up\ndown\n" })
	log := regexp.MustCompile(`^-t carp carp0 is master \(\d+: [a-z ]+\)\n-t carp carp0 is BACKUP \(\d+: [a-z ]+\)\n$`)
	if !log.MatchString(read("log")) {
		t.Errorf("the log is\n%s", read("log"))
	}

	b.must("ifconfig-carp carp0 down")
	a.must("ifconfig-carp -w master -t 10 carp0")
	if r, err := outcome(example(a, "hand-over", "carp0", "echo", "done")); err != nil || r.code != 3 || r.out != "" ||
		r.err != "ifconfig: carp0: Operation timed out\nhand-over: nobody takes carp0 over\n" {
		t.Errorf("hand-over: %v, %+v", err, r)
	}
}

// A demotion is held as long as a command runs, through engines and kernelsims, and is gone however the end comes.
func TestHold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	holders := func() string { return a.do("ifconfig-carp -g carp -v").out }
	const without, with = "carp: carp demote count 0\n", "carp: carp demote count 20\n\tbackup 20\n"
	hold := func() *exec.Cmd {
		c := a.command("ifconfig-carp", "-g", "carp", "-h", "backup", "carpdemote", "20", "while", "sleep", "60")
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Kill(-c.Process.Pid, syscall.SIGKILL); c.Wait() })
		l.within(10*time.Second, "it is held", func() bool { return holders() == with })
		return c
	}
	c := hold()
	if r := a.do("ifconfig-carp -g carp -h backup carpdemote 5 while true"); r.code != 1 || r.err != "ifconfig: carp: SIOCSIFGATTR: Device busy\n" {
		t.Errorf("%+v", r)
	}
	syscall.Kill(c.Process.Pid, syscall.SIGKILL)
	l.within(5*time.Second, "kill -9 of who holds takes it back", func() bool { return holders() == without })

	c = hold()
	for _, pid := range childrenOf(c.Process.Pid) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if c.Wait(); c.ProcessState.ExitCode() != 128+9 {
		t.Errorf("kill -9 of the command: exit %d", c.ProcessState.ExitCode())
	}
	if got := holders(); got != without {
		t.Errorf("kill -9 of the command leaves\n%s", got)
	}

	c = hold()
	engine := a.engine()
	syscall.Kill(engine, syscall.SIGKILL)
	l.within(10*time.Second, "another engine comes", func() bool { return a.engine() != engine })
	for n := 0; n < 20; n++ {
		if got := a.must("ifconfig-carp -g carp -v"); got != with {
			t.Fatalf("with another engine it is\n%s", got)
		}
	}
	a.stop()
	a.start()
	a.serves()
	if got := holders(); got != with {
		t.Errorf("with another kernelsim it is\n%s", got)
	}
	syscall.Kill(c.Process.Pid, syscall.SIGTERM) // goes on to the command
	if c.Wait(); c.ProcessState.ExitCode() != 128+15 {
		t.Errorf("SIGTERM: exit %d", c.ProcessState.ExitCode())
	}
	// It may have come before the other kernelsim was asked, which then keeps it for 10 seconds.
	l.within(20*time.Second, "the end takes it back", func() bool { return holders() == without })
}
