package regress

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A duel is two hosts and a client that asks for the address all the time. What host a answers is known by its TTL.
type duel struct {
	*lab
	c        *capture
	a, b     *machine
	interval time.Duration
}

func newDuel(t *testing.T, words string, interval time.Duration, prepare ...func(a *machine)) *duel {
	t.Helper()
	l := newLab(t)
	client := l.machine("client")
	d := &duel{lab: l, c: client.capture(), a: l.machine("a"), interval: interval}
	for _, f := range prepare {
		f(d.a)
	}
	d.a.start()
	t.Cleanup(d.a.crash)
	d.a.serves()
	d.b = l.host("b")
	d.a.must(fmt.Sprintf("sysctl -qw net.ipv4.ip_default_ttl=%d", ttlOfA))
	d.a.must("ifconfig-carp carp0 vhid 1 " + words + " 192.168.1.10")
	d.a.becomes("master", 10*time.Second)
	d.b.must("ifconfig-carp carp0 vhid 1 " + words + " 192.168.1.10")
	d.b.becomes("backup", 10*time.Second)
	ping := client.command("ping", "-n", "-q", "-i", "0.002", "192.168.1.10")
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ping.Process.Signal(syscall.SIGINT); ping.Wait() })
	return d
}

// lease is for how long a host may answer after its last advert.
func (d *duel) lease() time.Duration { return min(2*d.interval, 500*time.Millisecond) }

// masterDown is when a peer with the same parameters takes over, after the last advert.
func (d *duel) masterDown() time.Duration { return 3 * d.interval }

// settle makes a master and b backup, at no particular time.
func (d *duel) settle() {
	d.t.Helper()
	for settled := false; !settled; settled = d.a.status("carp0") == "master" && d.b.status("carp0") == "backup" {
		d.b.must("ifconfig-carp carp0 down")
		d.a.becomes("master", 15*time.Second) // an engine that has died often pauses for 5 seconds
		d.b.must("ifconfig-carp carp0 up")
		d.b.becomes("backup", 5*time.Second)
		time.Sleep(4*d.interval + time.Duration(rand.Int63n(int64(2*d.interval))))
	}
}

// stray is by how much a lease may be longer than the client sees: it begins once the advert has left.
func stray() time.Duration {
	if long {
		return 5 * time.Millisecond
	}
	return 20 * time.Millisecond // on a machine that does much else
}

// withoutLease returns by how long after the end of its lease a host has answered most, from a frame on; from is before any advert of the trial.
func (d *duel) withoutLease(from int, m *machine) (most time.Duration) {
	var last time.Time // when its lease was renewed last
	for _, f := range d.c.since(from, func(f *frame) bool { return advertFrom(m.addr)(f) || answers(m == d.a)(f) }) {
		switch {
		case f.advert != nil && f.advert.IsBowOut():
			last = f.at.Add(-d.lease())
		case f.advert != nil:
			last = f.at
		case !last.IsZero():
			most = max(most, f.at.Sub(last)-d.lease())
		}
	}
	return most
}

// A group is a cgroup with a limit.
type group struct {
	t    *testing.T
	path string
}

// newGroup makes one by either version of cgroups, which have their own names for the limit.
func newGroup(t *testing.T, controller, limit1, limit2, value string) *group {
	t.Helper()
	top, limit := filepath.Join("/sys/fs/cgroup", controller), limit1
	if data, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control"); err == nil && strings.Contains(string(data), controller) {
		top, limit = "/sys/fs/cgroup", limit2
	}
	g := &group{t, filepath.Join(top, fmt.Sprintf("carp%d-%d", os.Getpid(), labs.Add(1)))}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(5 * time.Second); os.Remove(g.path) != nil && time.Now().Before(end); { // the dead leave it one after the other
			time.Sleep(10 * time.Millisecond)
		}
	})
	g.write(limit, value)
	return g
}

// memoryMax is a limit of memory: soon reached, and enough to run out of it alone.
const memoryMax = 8 << 20

func (g *group) write(name, value string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.path, name), []byte(value), 0); err != nil {
		g.t.Fatal(err)
	}
}

// takes lets a process be of the group, and the children that it will have.
func (g *group) takes(pid int) { g.t.Helper(); g.write("cgroup.procs", strconv.Itoa(pid)) }

// exhaust uses up the memory of the group, of which each process but the one that does so is the kernel's first choice, and returns when it began.
func (g *group) exhaust(pids ...int) (at time.Time) {
	g.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		g.t.Fatal(err)
	}
	glutton := exec.Command(exe)
	glutton.Env = append(os.Environ(), "CARP_GLUTTON=1")
	in, err := glutton.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	out, err := glutton.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := glutton.Start(); err != nil {
		g.t.Fatal(err)
	}
	defer glutton.Wait() // it is killed last
	if _, err := bufio.NewReader(out).ReadByte(); err != nil {
		g.t.Fatal(err)
	}
	for _, pid := range pids {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0); err != nil {
			g.t.Fatal(err)
		}
		g.takes(pid)
	}
	g.takes(glutton.Process.Pid)
	at = time.Now()
	in.Close()
	return at
}

// glutton is the process that takes memory until it is killed.
func glutton() {
	fmt.Print(".")
	io.Copy(io.Discard, os.Stdin)
	for {
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			os.Exit(1)
		}
		for n := 0; n < len(b); n += os.Getpagesize() {
			b[n] = 1
		}
	}
}

// The kernel kills the engine process, or both, for want of memory: nobody answers for the dead host when its lease has run out, nor once the other
// one is master, which it is in its master-down time. An engine that is followed by another may go on.
func TestOutOfMemory(t *testing.T) {
	for _, both := range []bool{false, true} {
		d := newDuel(t, fast, time.Second*25/256)
		a, b, c := d.a, d.b, d.c
		who := map[bool]string{false: "engine", true: "both"}[both]
		answered := &series{name: "out of memory, " + who + ": the last answer"}
		taken := &series{name: "out of memory, " + who + ": the other is master, beyond its master-down time"}
		for n := trials(3, 20); len(taken.late) < n && taken.repeated < 10*n; {
			d.settle()
			engine := a.engine()
			pids := []int{engine}
			if both {
				pids = append(pids, a.sim.Process.Pid)
			}
			g := newGroup(t, "memory", "memory.limit_in_bytes", "memory.max", strconv.Itoa(memoryMax))
			from := c.count()
			c.wait(t, from, time.Second, "an answer of a", answers(true))
			c.wait(t, from, time.Second, "an advert of a", advertFrom(a.addr))
			at := g.exhaust(pids...)
			control := startControl(t, at.Add(5*time.Millisecond))
			if syscall.Kill(engine, 0) == nil && strings.Contains(fmt.Sprint(childrenOf(a.sim.Process.Pid)), fmt.Sprint(engine)) {
				t.Fatalf("%s: the engine lives", who)
			}
			if both {
				<-a.ended
			}
			late := control.late(t) > 5*controlLimit // the kernel itself is busy with telling of it
			time.Sleep(2 * d.masterDown())
			announced := c.since(from, announcement("192.168.1.10"))
			switch {
			case len(announced) > 0:
				var last, advert time.Time
				for _, f := range c.since(from, func(f *frame) bool { return answers(true)(f) || advertFrom(a.addr)(f) }) {
					if f.at.After(announced[0].at) {
						break
					}
					if f.advert != nil {
						advert = f.at
					} else {
						last = f.at
					}
				}
				for _, f := range c.since(from, answers(true)) {
					if f.at.After(announced[0].at) {
						t.Errorf("%s: a answers %v after b is master", who, f.at.Sub(announced[0].at))
						break
					}
				}
				if late {
					taken.repeated++
					break
				}
				answered.late = append(answered.late, max(last.Sub(at), 0))
				taken.late = append(taken.late, max(announced[0].at.Sub(advert)-d.masterDown(), 0))
			case both:
				t.Errorf("nobody took over")
			case a.status("carp0") != "master":
				t.Errorf("nobody is master: %s, %s", a.status("carp0"), b.status("carp0"))
			default: // the next engine went on
				taken.late = append(taken.late, 0)
				answered.late = append(answered.late, 0)
			}
			if most := d.withoutLease(from, a); most > stray() && !late {
				t.Errorf("%s: an answer %v after the lease", who, most)
			}
			if both {
				a.start()
				a.serves()
			}
		}
		answered.judge(t, d.lease()+stray(), d.lease()+2*stray())
		taken.judge(t, 20*time.Millisecond, d.interval)
	}
}

// While no engine can be started, for want of descriptors, the other host takes over, the log is not flooded, and once there are some again one serves.
func TestNoEngineCanStart(t *testing.T) {
	d := newDuel(t, fast, time.Second*25/256)
	a := d.a
	pid, before := a.sim.Process.Pid, unix.Rlimit{}
	err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before)
	if err == nil {
		err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	engine, from := a.engine(), d.c.count()
	if err := syscall.Kill(engine, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.b.becomes("master", 5*time.Second)
	time.Sleep(2 * time.Second)
	if most := d.withoutLease(from, a); most > stray() {
		t.Errorf("an answer %v after the lease", most)
	}
	if n := strings.Count(a.readLog(), "failed to start the engine"); n != 1 {
		t.Errorf("said %d times that no engine can be started:\n%s", n, a.readLog())
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	a.serves()
	d.settle()
}

// Killed while it becomes master or backup, a host answers for no longer than its lease, and its next start takes over what it has left.
func TestKilledInTransition(t *testing.T) {
	d := newDuel(t, fast, time.Second*25/256)
	a, b, c := d.a, d.b, d.c
	worst := map[string]time.Duration{}
	for n := range trials(3, 20) {
		for _, to := range []string{"master", "backup"} {
			for _, both := range []bool{true, false} {
				d.settle()
				cause := "ifconfig-carp carp0 state backup"
				if to == "master" {
					a.must("ifconfig-carp carp0 state backup")
					b.becomes("master", 5*time.Second)
					a.becomes("backup", 5*time.Second)
					cause = "ifconfig-carp carp0 state master"
				}
				from := c.count()
				engine := a.engine()
				command := a.command(strings.Fields(cause)...)
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(rand.Int63n(int64(30 * time.Millisecond))))
				if both {
					a.crash()
				} else {
					syscall.Kill(engine, syscall.SIGKILL)
				}
				killed := time.Now()
				control := startControl(t, killed.Add(5*time.Millisecond))
				command.Wait() // whatever it says
				time.Sleep(d.lease() + d.masterDown())
				late := control.late(t) > controlLimit
				what := fmt.Sprintf("trial %d, becoming %s, both %t", n, to, both)
				for _, m := range []*machine{a, b} {
					if most := d.withoutLease(from, m); most > stray() && !late {
						t.Errorf("%s: %s answers %v after its lease", what, m.name, most)
					} else if !late {
						worst[m.name] = max(worst[m.name], most)
					}
				}
				if both {
					for _, f := range c.since(from, answers(true)) {
						if after := f.at.Sub(killed); after > d.lease()+stray() && !late {
							t.Errorf("%s: a answers %v after it was killed", what, after)
							break
						}
					}
					a.start()
					a.serves()
				}
				d.within(15*time.Second, what+": a serves again", func() bool { s := a.status("carp0"); return s == "backup" || s == "master" && !both })
				if out := d.ip(a.ns, "-br", "link", "show", "type", "macvlan"); strings.Count(out, "carp0") != 1 {
					t.Errorf("%s: links:\n%s", what, out)
				}
			}
		}
	}
	t.Logf("answers after the end of a lease, as the client sees it: %v", worst)
}

// A start after both processes were killed adopts what is its own, and removes what nobody wants any more.
func TestAdoption(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-g"}} {
		l := newLab(t)
		a := l.host("a", args...)
		for n := range 3 {
			a.must(fmt.Sprintf("ifconfig-carp carp%d vhid %d advbase 0 192.168.1.%d", n, n+1, 10+n))
		}
		a.becomes("master", 5*time.Second)
		for n := range trials(3, 20) {
			index := func() string { return strings.SplitN(l.ip(a.ns, "-o", "link", "show", "carp0"), ":", 2)[0] }
			before := index()
			a.crash()
			gone, other := fmt.Sprintf("carp%d", 1+n%2), fmt.Sprintf("carp%d", 2-n%2)
			if r := a.do("ifconfig-carp " + gone + " destroy"); r.code != 0 {
				t.Fatalf("%+v", r)
			}
			l.ip(a.ns, "addr", "add", "192.168.1.99/24", "dev", "carp0") // somebody's hands
			a.start(args...)
			a.becomes("master", 5*time.Second)
			if after := index(); after != before {
				t.Errorf("%q: carp0 has index %s, not %s", args, after, before)
			}
			links := l.ip(a.ns, "-br", "link", "show", "type", "macvlan")
			if strings.Contains(links, gone+"@") || !strings.Contains(links, other+"@") {
				t.Errorf("%q: links without %s:\n%s", args, gone, links)
			}
			if out := l.ip(a.ns, "addr", "show", "dev", "carp0"); strings.Contains(out, "192.168.1.99") || !strings.Contains(out, "192.168.1.10/") {
				t.Errorf("%q: %s", args, out)
			}
			a.must(fmt.Sprintf("ifconfig-carp %s vhid %d advbase 0 192.168.1.%d", gone, 2+n%2, 11+n%2))
		}
		a.stop()
		if links := l.ip(a.ns, "-br", "link", "show", "type", "macvlan"); links != "" {
			t.Errorf("%q: left: %s", args, links)
		}
	}
}

// In a time namespace with another boottime clock than eBPF's there is no gate, which is said; a backup is silent all the same.
func TestTimeNamespace(t *testing.T) {
	t.Parallel()
	for _, offset := range []string{"1000", "-10"} {
		l := newLab(t)
		client, a := l.machine("client"), l.machine("a")
		a.wrap = []string{"unshare", "-T", "--boottime", offset}
		a.start()
		t.Cleanup(a.crash)
		a.serves()
		a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
		a.becomes("backup", 5*time.Second)
		silentBackup(t, client, a)
		a.must("ifconfig-carp carp0 state master")
		if out := client.must("ping -n -c 2 -i 0.1 192.168.1.10"); !strings.Contains(out, " 0% packet loss") {
			t.Error(out)
		}
		const says = "kernelsim: no gate (the boottime clock of this time namespace is not that of eBPF: by "
		if log := a.readLog(); strings.Count(log, says) != 1 || strings.Count(log, "no gate") != 1 || a.filters("eth0") != "" {
			t.Errorf("%s: filters %q, log:\n%s", offset, a.filters("eth0"), log)
		}
		a.must("ifconfig-carp carp0 state backup")
		silentBackup(t, client, a)
		a.stop()
	}
}
