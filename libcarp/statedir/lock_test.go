package statedir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

func TestAcquire(t *testing.T) {
	d := newDir(t)
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{d.lock(): 0o600, d.edit(): 0o600, d.ctl(): os.ModeSocket | 0o666} {
		if got := modeOf(t, path); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
	if _, err := Acquire(d); err != ErrRunning {
		t.Errorf("beside another: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(d.ctl()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if held, err = Acquire(d); err != nil {
		t.Fatal(err)
	}
	held.Close()
}

func TestAcquireWithAStaleSocket(t *testing.T) {
	d := newDir(t)
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	held.Listener.Close() // as kill -9 leaves it
	held.Lock.Close()
	stop, _ := start(t, d)
	defer stop()
	if _, remark, err := d.Interfaces(); err != nil || remark != "" {
		t.Errorf("%q, %v", remark, err)
	}
}

func TestAcquireInALongPath(t *testing.T) {
	d := Dir(t.TempDir() + "/" + strings.Repeat("x", 100))
	if _, err := Acquire(d); err == nil || !strings.Contains(err.Error(), "103 bytes") {
		t.Error(err)
	}
	if lock, err := d.tryLock(); err != nil {
		t.Errorf("the lock is kept: %v", err)
	} else {
		lock.Close()
	}
}

func TestAcquireWaitsForADyingEngine(t *testing.T) {
	d := prepared(t)
	lock, err := d.tryLock()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { lock.Close() })
	stop, _ := start(t, d)
	stop()
}

// TestProcess is no test: it is another process, which plays the role that its environment names.
func TestProcess(t *testing.T) {
	d := Dir(os.Getenv("STATEDIR_TEST_DIR"))
	must := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	switch os.Getenv("STATEDIR_TEST_ROLE") {
	default: // it runs for the others, in a process of its own
		return
	case "engine": // holds the lock and does not end
		if _, err := d.tryLock(); err != nil {
			_, err := Inherit(3, 4)
			must(err)
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
	case "supervisor": // starts an engine, and ends when it reads something
		held, err := Acquire(d)
		must(err)
		ctl, err := held.Listener.File()
		must(err)
		engine := process(d, "engine")
		engine.Stdout = os.Stdout
		engine.ExtraFiles = []*os.File{held.Lock, ctl}
		must(engine.Start())
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
}

func process(d Dir, role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), "STATEDIR_TEST_DIR="+string(d), "STATEDIR_TEST_ROLE="+role)
	return cmd
}

// run starts a process and returns once there is an engine that holds the directory.
func run(t *testing.T, d Dir, role string) (stdin io.Closer, ended <-chan error) {
	t.Helper()
	cmd := process(d, role)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	return stdin, died
}

func TestAcquireKillsAnEngineThatDoesNotEnd(t *testing.T) {
	set(t, &dyingPatience, 100*time.Millisecond)
	d, other := prepared(t), prepared(t)
	_, died := run(t, d, "engine")
	_, bystander := run(t, other, "engine")
	held, err := Acquire(d)
	if runtime.GOOS != "linux" {
		if err == nil || !strings.Contains(err.Error(), "holds it") {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	within(t, "to die", func() { <-died })
	select {
	case <-bystander:
		t.Error("who holds another lock was killed")
	default:
	}
}

func TestAcquireKillsAnEngineWithoutSupervisor(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("here it counts as running")
	}
	set(t, &dyingPatience, 100*time.Millisecond)
	d := newDir(t)
	stdin, died := run(t, d, "supervisor")
	if _, err := Acquire(d); err != ErrRunning {
		t.Fatalf("beside a supervisor: %v", err)
	}
	stdin.Close()
	within(t, "the supervisor to end", func() { <-died })
	if c, err := net.Dial("unix", d.ctl()); err != nil { // the engine has the socket too
		t.Error(err)
	} else {
		c.Close()
	}
	stop, _ := start(t, d)
	stop()
}

func TestInherit(t *testing.T) {
	d := newDir(t)
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	passed, err := held.Listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	engine := func() *tinyLoop {
		lock, err := unix.Dup(int(held.Lock.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		ctl, err := unix.Dup(int(passed.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		inherited, err := Inherit(uintptr(lock), uintptr(ctl))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []interface{ Fd() uintptr }{inherited.Lock} {
			if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("flags %x, %v", flags, err)
			}
		}
		inherited.Dir = d
		return serve(t, inherited)
	}

	// Engines come and go while commands add up. Each of them that a client has heard of is counted, and once.
	set(t, &changePatience, time.Minute)
	var wg sync.WaitGroup
	const sides, rounds = 4, 25
	for range sides {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range rounds {
				demote := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Demote, N: 1}}}
				if a, err := d.Change(demote); err != nil || a.Remark != "" {
					t.Errorf("%+v, %v", a, err)
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var last *tinyLoop
	for n := 0; ; n++ {
		last = engine()
		l := last
		// Every third answer is lost: the change is in force, and its client asks again.
		answers := 0
		l.mu.Lock()
		l.after = func(reply *Reply) {
			if answers++; answers%3 == 0 {
				reply.Err = ErrEnding
			}
		}
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		select {
		case <-done:
		default:
			l.server.Close()
			continue
		}
		break
	}
	defer held.Close()
	defer last.server.Close()
	if groups, _, err := d.Groups(); err != nil || groups["carp"] != sides*rounds {
		t.Errorf("%v, %v, want %d", groups, err, sides*rounds)
	}
}

func TestInheritRefuses(t *testing.T) {
	d := prepared(t)
	lock, err := d.tryLock()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	another, err := openLock(d.lock())
	if err != nil {
		t.Fatal(err)
	}
	dup := func(f *os.File) uintptr {
		fd, err := unix.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return uintptr(fd)
	}
	if _, err := Inherit(dup(another), dup(another)); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("another's lock: %v", err)
	}
	if _, err := Inherit(dup(lock), dup(another)); err == nil {
		t.Error("a file is taken for ctl")
	}
}

// TestStartAgainstCommands is `kernelsim & ifconfig-carp carp0 vhid 1`: whoever comes first, the change is there in the end.
func TestStartAgainstCommands(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	stored := 0
	for n := range rounds {
		d := newDir(t)
		pause := time.Duration(rand.Intn(2000)) * time.Microsecond
		command, kernelsim := pause, time.Duration(0)
		if n%2 == 0 {
			command, kernelsim = kernelsim, command
		}
		var wg sync.WaitGroup
		remarks := make([]Remark, 2)
		for side := range remarks {
			wg.Add(1)
			go func() {
				defer wg.Done()
				time.Sleep(command)
				a, err := d.Change(words(t, fmt.Sprintf("carp%d", side), "need", "vhid 1", "alias 10.0.0.1/24"))
				if err != nil {
					t.Error(err)
				}
				remarks[side] = a.Remark
			}()
		}
		time.Sleep(kernelsim)
		stop, l := start(t, d)
		wg.Wait()
		l.mu.Lock()
		for side, remark := range remarks {
			if i := l.machine.Interfaces[fmt.Sprintf("carp%d", side)]; i == nil || i.VHID() != 1 {
				t.Errorf("command after %v, kernelsim after %v, remark %q: %v", command, kernelsim, remark, i)
			}
			if remark == NotRunning {
				stored++
			}
		}
		l.mu.Unlock()
		stop()
	}
	t.Logf("%d of %d changes were stored before the start", stored, 2*rounds)
}

// TestNothingIsLostAcrossStarts: commands add up while kernelsim ends, starts, is killed.
func TestNothingIsLostAcrossStarts(t *testing.T) {
	set(t, &changePatience, time.Minute)
	d := newDir(t)
	const sides, rounds = 3, 60
	var wg sync.WaitGroup
	for range sides {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range rounds {
				demote := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Demote, N: 1}}}
				if _, err := d.Change(demote); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		stop, _ := start(t, d)
		time.Sleep(3 * time.Millisecond)
		stop()
		select {
		case <-done:
			running = false
		case <-time.After(time.Millisecond):
		}
	}
	m, err := d.LoadMachine()
	if err != nil || m.Groups["carp"].Demotion() != sides*rounds {
		t.Errorf("%+v, %v, want %d", m.Groups["carp"], err, sides*rounds)
	}
}

func TestTwoStartsAtOnce(t *testing.T) {
	for range 30 {
		d := newDir(t)
		errs := make(chan error, 4)
		helds := make(chan *Held, 4)
		for range cap(errs) {
			go func() {
				held, err := Acquire(d)
				if err == nil {
					helds <- held
				}
				errs <- err
			}()
		}
		won := 0
		for range cap(errs) {
			switch err := <-errs; err {
			case nil:
				won++
			case ErrRunning:
			default:
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d of %d run", won, cap(errs))
		}
		(<-helds).Close()
	}
}

func TestACommandWithTheSocketGoneButTheLockHeld(t *testing.T) {
	set(t, &changePatience, 200*time.Millisecond)
	d := prepared(t)
	lock, err := d.tryLock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Change(words(t, "carp0", "create"))
	refused(t, err, config.ETIMEDOUT)
	set(t, &changePatience, time.Minute)
	if err := os.WriteFile(d.ctl(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, "to hear that the socket is none", func() {
		_, err = d.Change(words(t, "carp0", "create"))
		refused(t, err, config.EINVAL)
	})
	os.Remove(d.ctl())
	time.AfterFunc(100*time.Millisecond, func() { lock.Close() })
	if a, err := d.Change(words(t, "carp0", "create")); err != nil || a.Remark != NotRunning {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAnswerOfAFullQueue(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a BSD says ECONNREFUSED")
	}
	set(t, &displayPatience, 100*time.Millisecond)
	d := prepared(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: d.ctl()}); err != nil {
		t.Fatal(err)
	}
	unix.Listen(fd, 0)
	for {
		c, err := net.Dial("unix", d.ctl())
		if err != nil {
			break
		}
		defer c.Close()
	}
	if !d.served() {
		t.Error("a full queue counts as not running")
	}
	if _, remark, err := d.Interfaces(); remark != NoAnswer || err != nil {
		t.Errorf("%q, %v", remark, err)
	}
}
