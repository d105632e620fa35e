package regress

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carp/libcarp/config"
)

// testProgram builds the kernelsim for tests: with KERNELSIM_QUIET an engine's death is forgotten sooner, and SIGUSR2 lets the engine's loop hang.
var testProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "carptest")
	if err != nil {
		return "", err
	}
	testPrograms = dir
	path := filepath.Join(dir, "kernelsim")
	c := exec.Command("go", "build", "-tags", "carptest", "-trimpath", "-buildvcs=false", "-o", path, "./kernelsim")
	c.Dir = filepath.Dir(bin)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

var testPrograms string // the directory of it, removed at the end

// testing lets a machine run it.
func (m *machine) testing(quiet time.Duration) {
	m.lab.t.Helper()
	program, err := testProgram()
	if err != nil {
		m.lab.t.Fatal(err)
	}
	m.program, m.env = program, []string{"KERNELSIM_QUIET=" + quiet.String()}
}

// A pinging asks an address each 10 ms.
type pinging struct {
	cmd *exec.Cmd
	out strings.Builder
}

func startPinging(t *testing.T, m *machine, addr string, n int) *pinging {
	t.Helper()
	p := &pinging{cmd: m.command("ping", "-n", "-q", "-i", "0.01", "-W", "1", "-c", strconv.Itoa(n), addr)}
	p.cmd.Stdout = &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// lost returns how many were not answered.
func (p *pinging) lost(t *testing.T) int {
	t.Helper()
	p.cmd.Wait()
	m := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(p.out.String())
	if m == nil {
		t.Fatalf("ping: %s", p.out.String())
	}
	sent, _ := strconv.Atoi(m[1])
	got, _ := strconv.Atoi(m[2])
	return sent - got
}

// settled sees to it that a is master of all and b is backup, and has been so for a while.
func settled(l *lab, a, b *machine, carps int, interval time.Duration) {
	l.t.Helper()
	for a.count("master") != carps || b.count("backup") != carps {
		l.t.Logf("%d of a are master, %d of b are backup", a.count("master"), b.count("backup"))
		b.must("ifconfig-carp -g carp carpdemote 1")
		l.within(10*time.Second, "a is master", func() bool { return a.count("master") == carps && b.count("backup") == carps })
		b.must("ifconfig-carp -g carp -carpdemote 1")
	}
	time.Sleep(4 * interval)
}

// gaps returns, for the adverts of a machine from frame number from on, the longest silence of a virtual host beyond its interval, and how many adverts were
// late by half an interval.
func gaps(c *capture, from int, addr string, interval time.Duration) (longest time.Duration, late int) {
	last := map[uint8]time.Time{}
	for _, f := range c.since(from, advertFrom(addr)) {
		if at, ok := last[f.advert.VHID]; ok {
			over := f.at.Sub(at) - interval
			longest = max(longest, over)
			if over > interval/2 {
				late++
			}
		}
		last[f.advert.VHID] = f.at
	}
	return longest, late
}

// A change of engines that nobody may notice.
type change struct {
	name string
	do   func(t *testing.T, a *machine)
	says string // in the log
}

var changes = []change{
	{"SIGKILL of the engine", func(_ *testing.T, a *machine) { syscall.Kill(a.engine(), syscall.SIGKILL) },
		"kernelsim: the engine ended (signal: killed), starting it again\n"},
	{"SIGHUP", func(_ *testing.T, a *machine) { a.sim.Process.Signal(syscall.SIGHUP) }, "kernelsim: the new program has taken over\n"},
}

// An engine that is killed once, or replaced by a new program, costs no transition on any host, no lost ping at 10 ms, and at most one late advert. Both happen
// on one LAN; what waits for seconds, or has few trials, waits beside others.
func TestEngineGoesOn(t *testing.T) {
	for _, c := range []*goingOn{
		{carps: 1, words: fast, interval: time.Second * 25 / 256, trials: trials(3, 20)},
		{carps: 255, words: "advbase 1 advskew 0", interval: time.Second, trials: trials(1, 20)},
		{carps: 1, words: "advbase 1 advskew 0", interval: time.Second, trials: trials(1, 20), beside: true},
		{carps: 1, words: fast, interval: time.Second * 25 / 256, trials: trials(1, 20), args: []string{"-g"}, beside: true},
		{carps: 255, words: "advbase 1 advskew 0", interval: time.Second, trials: trials(1, 20), own: true},
		{carps: 1, words: fast, interval: time.Second * 25 / 256, trials: trials(1, 20), own: true, beside: true},
		{carps: 1, words: fast, interval: time.Second * 25 / 256, trials: trials(1, 20), own: true, args: []string{"-g"}, beside: true},
	} {
		t.Run(fmt.Sprintf("%d, %s %s, own MAC %t", c.carps, c.words, strings.Join(c.args, " "), c.own), func(t *testing.T) {
			if c.beside {
				t.Parallel()
			}
			c.setUp(t)
			for _, ch := range changes {
				t.Run(ch.name, func(t *testing.T) {
					defer c.l.as(t)()
					c.suffer(t, &ch)
				})
			}
		})
	}
}

// A goingOn is two hosts, of which one gets another engine, and what is measured of it.
type goingOn struct {
	carps    int
	words    string
	interval time.Duration
	trials   int
	args     []string
	own      bool // lladdr is the carpdev's own
	beside   bool // other tests may run at the same time

	l            *lab
	client, a, b *machine
	capture      *capture
}

func (c *goingOn) setUp(t *testing.T) {
	t.Helper()
	l := newLab(t)
	c.l, c.client = l, l.machine("client")
	c.capture = c.client.capture()
	c.a, c.b = l.machine("a"), l.machine("b")
	for _, m := range []*machine{c.a, c.b} {
		m.testing(100 * time.Millisecond)
		own, err := config.ParseMAC(m.mac("eth0"))
		if err != nil {
			t.Fatal(err)
		}
		m.stored(c.carps, func(i *config.Interface, number int) {
			i.Carpdev, i.Nodes[0] = "eth0", config.Node{VHID: uint8(number + 1)}
			if c.own {
				i.MAC = own
			}
			i.Advbase = uint8(c.interval / time.Second)
			if c.interval < time.Second {
				i.Nodes[0].Advskew = 25
			}
			i.Addrs = []netip.Prefix{netip.PrefixFrom(mustAddr(fmt.Sprintf("192.168.2.%d", number+1)), 32)}
		})
		m.start(c.args...)
		t.Cleanup(m.crash)
		l.within(20*time.Second, m.name+" serves", func() bool { return m.do("sysctl-carp net.inet.carp.log").err == "" })
		if m == c.a {
			l.within(20*time.Second, "a is master", func() bool { return m.count("master") == c.carps })
		}
	}
	l.ip(c.client.ns, "route", "add", "192.168.2.0/24", "dev", "eth0")
}

// suffer gives host a another engine, again and again.
func (c *goingOn) suffer(t *testing.T, ch *change) {
	t.Helper()
	l, a, b := c.l, c.a, c.b
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of a:\n%s\nlog of b:\n%s", tail(a.readLog()), tail(b.readLog()))
		}
	})
	s := &series{name: fmt.Sprintf("%s, %d, %s: an advert", ch.name, c.carps, c.words)}
	moved, lost := 0, 0
	for len(s.late) < c.trials && s.repeated < 10*c.trials {
		settled(l, a, b, c.carps, c.interval/4)
		time.Sleep(time.Duration((len(s.late)+s.repeated)*37%100) * time.Millisecond)
		logs := a.readLog() + b.readLog()
		from := c.capture.count()
		p := startPinging(t, c.client, "192.168.2.1", int((1500*time.Millisecond+2*c.interval)/(10*time.Millisecond)))
		time.Sleep(300 * time.Millisecond)
		control := startControl(t, time.Now().Add(50*time.Millisecond))
		time.Sleep(30 * time.Millisecond)
		ch.do(t, a)
		gone := p.lost(t)
		l.within(10*time.Second, "it is said", func() bool { return strings.Count(a.readLog(), ch.says) > strings.Count(logs, ch.says) })
		now := strings.Count(a.readLog()+b.readLog(), "transition") - strings.Count(logs, "transition")
		longest, late := gaps(c.capture, from, a.addr, c.interval)
		t.Logf("%d lost, %d transitions, %d adverts late, by %.1f ms at most", gone, now, late, ms(longest))
		if control.late(t) > controlLimit {
			s.repeated++
			continue
		}
		s.late = append(s.late, longest)
		moved, lost = moved+now, lost+gone
		if late > c.carps {
			t.Errorf("%d adverts of %d virtual hosts are late", late, c.carps)
		}
	}
	if moved != 0 || lost != 0 {
		t.Errorf("%d transitions, %d lost pings", moved, lost)
	}
	s.judge(t, c.interval, 2*c.interval)
}

// tail returns the last lines of a log.
func tail(log string) string { return log[max(len(log)-3000, 0):] }

// An engine that is killed twice within a minute: the supervisor bows out in its place, and the other host is master at once.
func TestEngineDiesTwice(t *testing.T) {
	for _, with := range []struct {
		words string
		args  []string
	}{{fast, nil}, {"advbase 1 advskew 0", nil}, {fast, []string{"-g"}}} {
		words := with.words + " " + strings.Join(with.args, " ")
		l := newLab(t)
		client := l.machine("client")
		c := client.capture()
		a, b := l.machine("a"), l.host("b")
		a.testing(time.Second)
		a.start(with.args...)
		a.serves()
		t.Cleanup(a.crash)
		a.must("ifconfig-carp carp0 vhid 1 " + with.words + " 192.168.1.10")
		a.becomes("master", 10*time.Second)
		b.must("ifconfig-carp carp0 vhid 1 " + with.words + " 192.168.1.10")
		left := &series{name: "killed twice, " + words + ": the bow-out"}
		taken := &series{name: "killed twice, " + words + ": the other is master"}
		for len(left.late) < trials(3, 20) && left.repeated < 60 {
			settled(l, a, b, 1, 250*time.Millisecond)
			old, logs := a.engine(), b.readLog()
			syscall.Kill(old, syscall.SIGKILL)
			l.within(time.Second, "another engine", func() bool { return a.engine() != old && a.status("carp0") == "master" })
			time.Sleep(200 * time.Millisecond)
			if b.readLog() != logs {
				t.Errorf("the first time, b: %s", b.readLog())
			}
			pid, from := a.engine(), c.count()
			control := startControl(t, time.Now().Add(40*time.Millisecond))
			time.Sleep(35 * time.Millisecond)
			at := time.Now()
			syscall.Kill(pid, syscall.SIGKILL)
			bowOut, _ := c.wait(t, from, time.Second, "a bow-out", func(f *frame) bool { return f.advert != nil && f.advert.IsBowOut() && advertFrom(a.addr)(f) })
			master, _ := c.wait(t, from, time.Second, "an announcement of b", announcement("192.168.1.10"))
			a.becomes("backup", 2*time.Second)
			if control.late(t) > controlLimit {
				left.repeated++
				continue
			}
			left.late, taken.late = append(left.late, bowOut.at.Sub(at)), append(taken.late, master.at.Sub(at))
		}
		limit := 20 * time.Millisecond // on a machine that does much else
		if long {
			limit = 5 * time.Millisecond
		}
		if with.args != nil { // setting a link down takes the kernel its time
			limit = 60 * time.Millisecond
		}
		left.judge(t, limit, 100*time.Millisecond)
		taken.judge(t, 2*limit, 200*time.Millisecond)
	}
}

// install puts a program where kernelsim was started from, in one step.
func (m *machine) install(content []byte, mode os.FileMode) {
	m.lab.t.Helper()
	beside := m.program + ".new"
	if err := os.WriteFile(beside, content, mode); err != nil {
		m.lab.t.Fatal(err)
	}
	if err := os.Rename(beside, m.program); err != nil {
		m.lab.t.Fatal(err)
	}
}

// badProgram builds a program of one statement.
func badProgram(t *testing.T, statement string) []byte {
	t.Helper()
	dir := t.TempDir()
	source := "package main\n\nimport (\n\t\"os\"\n\t\"syscall\"\n\t\"time\"\n)\n\nvar _, _, _ = os.Exit, syscall.Kill, time.Sleep\n\nfunc main() { " + statement + " }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "build", "-o", "program", "main.go")
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A program that crashes, is none, is not there, or does not become ready, changes nothing; the log says why.
func TestBadProgram(t *testing.T) {
	l := newLab(t)
	client := l.machine("client")
	a, b := l.machine("a"), l.host("b")
	a.program = filepath.Join(l.dir, "kernelsim")
	good, err := os.ReadFile(filepath.Join(bin, "kernelsim"))
	if err != nil {
		t.Fatal(err)
	}
	a.install(good, 0o755)
	a.start()
	a.serves()
	t.Cleanup(a.crash)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of a:\n%s", a.readLog())
		}
	})
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	engine, logs := a.engine(), len(a.readLog())
	for _, c := range []struct {
		what    string
		content []byte
		mode    os.FileMode
		says    string
	}{
		{"crashes", badProgram(t, "syscall.Kill(os.Getpid(), syscall.SIGKILL); select {}"), 0o755, "(signal: killed)"},
		{"ends", badProgram(t, "os.Exit(3)"), 0o755, "(exit status 3)"},
		{"no program", []byte("not a program\n"), 0o755, "(fork/exec " + a.program + ": exec format error)"},
		{"not executable", good, 0o644, "(fork/exec " + a.program + ": permission denied)"},
		{"empty", nil, 0o755, "(fork/exec " + a.program + ": exec format error)"},
		{"hangs", badProgram(t, "time.Sleep(time.Minute)"), 0o755, "(not ready within 5s)"},
	} {
		a.install(c.content, c.mode)
		says := "kernelsim: the new program cannot take over " + c.says + ", the old one goes on\n"
		p := startPinging(t, client, "192.168.1.10", 50)
		a.sim.Process.Signal(syscall.SIGHUP)
		l.within(7*time.Second, c.what+" is said: "+says, func() bool { return strings.HasSuffix(a.readLog(), says) })
		if n := p.lost(t); n != 0 {
			t.Errorf("%s: %d pings lost", c.what, n)
		}
		if got := strings.Count(a.readLog()[logs:], "\n"); got != 1 {
			t.Errorf("%s: log:\n%s", c.what, a.readLog()[logs:])
		}
		logs = len(a.readLog())
		if a.engine() != engine {
			t.Errorf("%s: another engine", c.what)
		}
	}
	// A good one takes over after all that, and once more.
	a.install(good, 0o755)
	for range 2 {
		says := strings.Count(a.readLog(), "kernelsim: the new program has taken over\n")
		a.sim.Process.Signal(syscall.SIGHUP)
		l.within(5*time.Second, "a good one takes over", func() bool {
			return strings.Count(a.readLog(), "kernelsim: the new program has taken over\n") == says+1 && a.status("carp0") == "master"
		})
	}
	if a.engine() == engine {
		t.Error("the same engine")
	}
	if n := strings.Count(a.readLog()+b.readLog(), "transition"); n != 1 {
		t.Errorf("%d transitions:\n%s%s", n, a.readLog(), b.readLog())
	}
	a.stop()
	if out := l.ip(a.ns, "link", "show"); strings.Contains(out, "carp0") {
		t.Errorf("left behind: %s", out)
	}
}

// Where nobody reads the log any more, a new program takes over all the same. The old engine, which would wait until its last lines are read, works
// against it no longer.
func TestExchangeWithoutReader(t *testing.T) {
	l := newLab(t)
	client := l.machine("client")
	a, b := l.machine("a"), l.host("b")
	fifo := filepath.Join(l.dir, "unread")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	unread, err := syscall.Open(fifo, syscall.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(unread)
	for err == nil {
		_, err = syscall.Write(unread, make([]byte, 4096))
	}
	log := a.log
	a.log = fifo
	a.start()
	a.log = log
	t.Cleanup(a.crash)
	a.serves()
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	for range 2 {
		engine := a.engine()
		p := startPinging(t, client, "192.168.1.10", 300)
		a.sim.Process.Signal(syscall.SIGHUP)
		l.within(10*time.Second, "a new engine is alone", func() bool {
			engines := childrenOf(a.sim.Process.Pid)
			return len(engines) == 1 && engines[0] != engine
		})
		if n := p.lost(t); n != 0 {
			t.Errorf("%d pings lost", n)
		}
		time.Sleep(time.Second) // the next SIGHUP is heard
	}
	if s := a.status("carp0"); s != "master" {
		t.Errorf("it is %s", s)
	}
	if n := strings.Count(b.readLog(), "transition"); n != 0 {
		t.Errorf("transitions of the other: %s", b.readLog())
	}
}

// Commands wait through an exchange of programs: none fails, and none is lost.
func TestCommandsDuringExchange(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	done := make(chan int)
	go func() {
		defer close(done)
		for n := range 80 {
			a.sim.Process.Signal(syscall.SIGHUP)
			time.Sleep(100 * time.Millisecond)
			done <- n
		}
	}()
	sum := 0
	for range done {
		for _, line := range []string{"ifconfig-carp -g carp carpdemote 1", "ifconfig-carp carp0 advskew 25", "ifconfig-carp carp0"} {
			if r := a.do(line); r.code != 0 || r.err != "" {
				t.Fatalf("%s: %+v", line, r)
			}
		}
		sum++
	}
	if out := a.must("ifconfig-carp -g carp"); !strings.Contains(out, fmt.Sprintf("carp demote count %d\n", sum)) {
		t.Errorf("after %d commands: %s", sum, out)
	}
	// The counters have gone on, those of the machine and those of the carp.
	if out := a.must("netstat-carp -s -p carp"); !strings.Contains(out, "\t1 transition to master\n") {
		t.Errorf("counters: %s", out)
	}
	if out := a.must("netstat-carp -j -s -p carp"); strings.Count(out, `"preempt":1`)+strings.Count(out, `"preempt": 1`) != 2 {
		t.Errorf("counters: %s", out)
	}
	if n := strings.Count(a.readLog(), "kernelsim: the new program has taken over\n"); n < 5 {
		t.Errorf("%d exchanges", n)
	}
	if n := strings.Count(a.readLog(), "transition"); n != 1 {
		t.Errorf("%d transitions: %s", n, a.readLog())
	}
}

// An engine that is killed on its way to MASTER or to BACKUP leaves one master in the end, and an address that is answered for.
func TestKilledOnTheWay(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.machine("client")
	a, b := l.machine("a"), l.host("b")
	a.testing(time.Millisecond)
	a.start()
	a.serves()
	t.Cleanup(a.crash)
	for _, m := range []*machine{a, b} {
		m.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	}
	for n := range trials(10, 100) {
		word := []string{"master", "backup"}[n%2]
		asked := make(chan struct{})
		go func() { a.do("ifconfig-carp carp0 state " + word); close(asked) }()
		time.Sleep(time.Duration(n*7919%25) * time.Millisecond)
		syscall.Kill(a.engine(), syscall.SIGKILL)
		<-asked
		l.within(5*time.Second, "one master", func() bool {
			x, y := a.status("carp0"), b.status("carp0")
			return x == "master" && y == "backup" || x == "backup" && y == "master"
		})
		l.within(2*time.Second, "the address answers", func() bool {
			return strings.Contains(client.exec("ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", "192.168.1.10").out, " 0% packet loss")
		})
	}
}

// SIGHUP comes hundreds of times, while commands change things and events are followed: nothing is lost or done twice, nobody notices, and nothing
// grows or is left.
func TestExchangeStorm(t *testing.T) {
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	a.must("ifconfig-carp carp7 create")
	a.must("ifconfig-carp carp7 group storm")
	follower := a.follow("-e", "0")
	follower.says("1 " + when + " carp0 INIT BACKUP interface is ready")
	follower.says("2 " + when + " carp0 BACKUP MASTER master timed out")
	exchanges := func() int { return strings.Count(a.readLog(), "kernelsim: the new program has taken over\n") }
	calm := func() {
		t.Helper()
		var before int
		l.within(20*time.Second, "no exchange is under way", func() bool {
			n := exchanges()
			defer func() { before = n; time.Sleep(2 * time.Second) }()
			return n > 0 && n == before && len(childrenOf(a.sim.Process.Pid)) == 1
		})
	}
	used := func() (supervisor, engine int) {
		return len(descriptors(t, a.sim.Process.Pid)), len(descriptors(t, a.engine()))
	}
	a.sim.Process.Signal(syscall.SIGHUP)
	calm()
	supervisor, engine := used()

	seconds := trials(10, 120)
	p := startPinging(t, client, "192.168.1.10", seconds*100)
	ended := make(chan struct{})
	signals := 0
	go func() {
		defer close(ended)
		for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); signals++ {
			a.sim.Process.Signal(syscall.SIGHUP)
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		}
	}()
	sum, commands := 0, 0
	for running := true; running; commands++ {
		select {
		case <-ended:
			running = false
		default:
		}
		line := "ifconfig-carp -g storm carpdemote 1"
		if sum++; commands%50 >= 25 {
			line, sum = "ifconfig-carp -g storm -carpdemote 1", sum-2
		}
		a.must(line)
		if out := a.must("ifconfig-carp -g storm"); !strings.Contains(out, fmt.Sprintf("storm: carp demote count %d\n", sum)) {
			t.Fatalf("after %d commands, want %d: %s", commands, sum, out)
		}
		a.must(fmt.Sprintf("sysctl-carp net.inet.carp.log=%d", 2+commands%2))
		if out := a.must("sysctl-carp -n net.inet.carp.log"); strings.TrimSpace(out) != strconv.Itoa(2+commands%2) {
			t.Fatalf("after %d commands: %s", commands, out)
		}
	}
	lost := p.lost(t)
	calm()
	t.Logf("%d signals, %d exchanges, %d commands, %d pings lost", signals, exchanges(), 2*commands, lost)
	if n := strings.Count(a.readLog()+b.readLog(), "transition"); n != 1 || lost != 0 || exchanges() < seconds/4 {
		t.Errorf("%d transitions, %d pings lost, %d exchanges:\n%s\n%s", n, lost, exchanges(), tail(a.readLog()), tail(b.readLog()))
	}
	if s, e := used(); s > supervisor || e > engine {
		t.Errorf("descriptors: the supervisor's from %d to %d, the engine's from %d to %d", supervisor, s, engine, e)
	}
	a.must("ifconfig-carp carp0 down") // who followed still does
	follower.says("3 " + when + " carp0 MASTER INIT .*")
	a.stop()
	if out := l.ip(a.ns, "link", "show"); strings.Contains(out, ": carp") {
		t.Errorf("left behind: %s", out)
	}
}

// Whichever engine is killed at whatever moment of an exchange, nobody notices: the old one, the new one or the spare. When the supervisor is, the
// other host takes over, and the next start cleans up.
func TestKilledDuringExchange(t *testing.T) {
	l := newLab(t)
	client, a, b := l.machine("client"), l.machine("a"), l.host("b")
	a.testing(time.Millisecond)
	a.start()
	a.serves()
	t.Cleanup(a.crash)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of a:\n%s\nlog of b:\n%s", tail(a.readLog()), tail(b.readLog()))
		}
	})
	a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	a.becomes("master", 5*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	b.becomes("backup", 5*time.Second)
	for n, repeated := 0, 0; n < trials(8, 200) && repeated < 100; n++ {
		settled(l, a, b, 1, 50*time.Millisecond)
		l.within(10*time.Second, "one engine is left", func() bool { return len(childrenOf(a.sim.Process.Pid)) == 1 })
		logs := a.readLog() + b.readLog()
		p := startPinging(t, client, "192.168.1.10", 150)
		control := startControl(t, time.Now().Add(50*time.Millisecond))
		time.Sleep(30 * time.Millisecond)
		a.sim.Process.Signal(syscall.SIGHUP)
		delay := time.Duration(n*47%130) * time.Millisecond
		if n%4 == 3 {
			delay *= 8
		}
		time.Sleep(delay)
		engines := childrenOf(a.sim.Process.Pid)
		victim := -1
		if len(engines) > 0 {
			victim = n % len(engines)
			syscall.Kill(engines[victim], syscall.SIGKILL)
		}
		lost := p.lost(t)
		now := strings.Count(a.readLog()+b.readLog(), "transition") - strings.Count(logs, "transition")
		t.Logf("after %v, the %d. of %d is killed: %d pings lost, %d transitions", delay, victim+1, len(engines), lost, now)
		if control.late(t) > controlLimit {
			n, repeated = n-1, repeated+1
			continue
		}
		if now != 0 || lost != 0 {
			t.Errorf("after %v, the %d. of %d is killed: %d pings lost, %d transitions", delay, victim+1, len(engines), lost, now)
		}
	}
	for n := range trials(3, 60) {
		settled(l, a, b, 1, 50*time.Millisecond)
		a.sim.Process.Signal(syscall.SIGHUP)
		time.Sleep(time.Duration(n*47%90) * time.Millisecond)
		a.sim.Process.Kill()
		<-a.ended
		b.becomes("master", 3*time.Second)
		a.start()
		a.serves()
		if s := a.status("carp0"); s != "backup" {
			t.Errorf("after the supervisor was killed: %s", s)
		}
		l.within(5*time.Second, "no engine of it is left", func() bool { return len(childrenOf(a.sim.Process.Pid)) == 1 })
	}
}

// descriptors returns those of a process.
func descriptors(t *testing.T, pid int) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
