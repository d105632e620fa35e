package regress

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// long asks for the full number of trials.
var long = os.Getenv("CARP_REGRESS") == "long"

// trials returns how many trials to make: a few in CI, the full number on `make regress-long`.
func trials(ci, full int) int {
	if long {
		return full
	}
	return ci
}

var (
	bin     string
	scratch string // for what several tests share
)

func TestMain(m *testing.M) {
	if at := os.Getenv("CARP_CONTROL"); at != "" {
		control(at)
		return
	}
	if os.Getenv("CARP_HOG") != "" {
		hog()
	}
	if os.Getenv("CARP_GLUTTON") != "" {
		glutton()
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "regress: needs root (make test says what else)")
		os.Exit(77)
	}
	wd, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	bin = filepath.Join(filepath.Dir(wd), "bin")
	for _, tool := range []string{bin + "/kernelsim", bin + "/ifconfig-carp", bin + "/sysctl-carp", "ip", "ping", "tcpdump", "tc", "nft", "radvd", "arping", "ucarp", "setpriv", "unshare", "nsenter", "dash", "mksh", "ksh93", "busybox", "bmake", "man"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(os.Stderr, "regress: needs %s (make test builds and installs it)\n", tool)
			os.Exit(77)
		}
	}
	if scratch, err = os.MkdirTemp("", "carp"); err == nil {
		err = os.Chmod(scratch, 0o755)
	}
	if err != nil {
		panic(err)
	}
	watchStalls()
	code := m.Run()
	os.RemoveAll(scratch)
	os.RemoveAll(testPrograms) // of "": nothing
	os.Exit(code)
}

var labs atomic.Int32 // labs of parallel tests are made at once

// A lab is a LAN: namespaces of hosts on a bridge in a namespace of its own. Nothing in it reaches beyond.
type lab struct {
	t    *testing.T
	id   string
	dir  string
	sw   string // the namespace of the switch
	next int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	sayStalls(t)
	l := &lab{t: t, id: fmt.Sprintf("carp%d-%d", os.Getpid(), labs.Add(1)), dir: t.TempDir(), next: 1}
	l.sw = l.id + "-sw"
	l.run("ip", "netns", "add", l.sw)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", l.sw).Run() })
	l.ip(l.sw, "link", "add", "br0", "type", "bridge")
	l.ip(l.sw, "link", "set", "br0", "up")
	return l
}

// as lets a part of the test use the lab, until what it returns is called.
func (l *lab) as(t *testing.T) (whole func()) {
	before := l.t
	l.t = t
	return func() { l.t = before }
}

// run runs a command of the test itself; it must succeed. What it complains of all the same does not count: ip(8) does of namespaces that other tests
// are just deleting.
func (l *lab) run(args ...string) string {
	l.t.Helper()
	r, err := outcome(exec.Command(args[0], args[1:]...))
	if err != nil || r.code != 0 {
		l.t.Fatalf("%s: %v, exit status %d\n%s%s", strings.Join(args, " "), err, r.code, r.out, r.err)
	}
	return r.out
}

func (l *lab) ip(ns string, args ...string) string {
	l.t.Helper()
	return l.run(append([]string{"ip", "-n", ns}, args...)...)
}

// A machine is one namespace on the LAN with eth0 at 192.168.1.N, 2001:db8:1::N and fe80::N.
type machine struct {
	lab   *lab
	name  string
	ns    string
	port  string // its port on the bridge
	addr  string
	addr6 string
	local string   // its link-local address
	state string   // directory
	log   string   // file
	wrap  []string // what executes kernelsim, if anything
	sim   *exec.Cmd
	ended chan struct{}

	program string // instead of the one that is built
	env     []string
}

func (l *lab) machine(name string) *machine {
	l.t.Helper()
	m := &machine{lab: l, name: name, ns: l.id + "-" + name, port: "to-" + name, addr: fmt.Sprintf("192.168.1.%d", l.next),
		addr6: fmt.Sprintf("2001:db8:1::%d", l.next), local: fmt.Sprintf("fe80::%d", l.next)}
	l.next++
	m.state, m.log = filepath.Join(l.dir, name), filepath.Join(l.dir, name+".log")
	l.run("ip", "netns", "add", m.ns)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", m.ns).Run() })
	l.ip(l.sw, "link", "add", m.port, "type", "veth", "peer", "name", "eth0", "netns", m.ns)
	l.ip(l.sw, "link", "set", m.port, "master", "br0", "up")
	l.ip(m.ns, "link", "set", "lo", "up")
	l.ip(m.ns, "addr", "add", m.addr+"/24", "dev", "eth0")
	l.ip(m.ns, "link", "set", "eth0", "addrgenmode", "none", "up")
	l.ip(m.ns, "addr", "add", m.addr6+"/64", "dev", "eth0", "nodad")
	l.ip(m.ns, "addr", "add", m.local+"/64", "dev", "eth0", "nodad")
	return m
}

// host makes a machine on which kernelsim serves.
func (l *lab) host(name string, args ...string) *machine {
	l.t.Helper()
	m := l.machine(name)
	m.start(args...)
	m.serves()
	l.t.Cleanup(func() {
		if l.t.Failed() {
			log, _ := os.ReadFile(m.log)
			l.t.Logf("log of %s:\n%s", name, log)
		}
		m.crash()
	})
	return m
}

func (m *machine) command(args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", m.ns}, args...)...)
	c.Env = append(os.Environ(), "CARP_STATEDIR="+m.state, "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C")
	return c
}

// start starts kernelsim without waiting for it.
func (m *machine) start(args ...string) {
	m.lab.t.Helper()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		m.lab.t.Fatal(err)
	}
	defer log.Close()
	m.sim = m.command(append(append(m.wrap, m.kernelsim(), "-e"), args...)...) // ip-netns(8) executes it: the pid is kernelsim's
	m.sim.Env = append(m.sim.Env, m.env...)
	m.sim.Stderr = log
	if err := m.sim.Start(); err != nil {
		m.lab.t.Fatal(err)
	}
	m.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { c.Wait(); close(ended) }(m.sim, m.ended)
}

func (m *machine) kernelsim() string {
	if m.program != "" {
		return m.program
	}
	return "kernelsim"
}

// serves waits until kernelsim answers.
func (m *machine) serves() {
	m.lab.t.Helper()
	m.lab.within(5*time.Second, "kernelsim of "+m.name+" serves", func() bool { return m.do("sysctl-carp net.inet.carp.log").err == "" })
}

// engine returns the pid of the engine process, of several that of the oldest: a new program's is older than the spare.
func (m *machine) engine() int {
	for i := 0; i < 100; i++ {
		if pids := childrenOf(m.sim.Process.Pid); len(pids) > 0 {
			return pids[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.lab.t.Fatalf("%s: kernelsim has no engine process", m.name)
	return 0
}

// childrenOf finds the children by their parent, the oldest first, whatever their pids are: each thread that started some has a list of those alone.
func childrenOf(parent int) (pids []int) {
	began := map[int]int{} // in ticks
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, _ := os.ReadFile(name)
		_, rest, ok := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); ok && len(f) > 19 && f[0] != "Z" && f[1] == strconv.Itoa(parent) { // proc(5)
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			began[pid], _ = strconv.Atoi(f[19])
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, func(a, b int) int { return cmp.Or(began[a]-began[b], a-b) })
	return pids
}

// stop ends kernelsim with SIGTERM.
func (m *machine) stop() {
	m.lab.t.Helper()
	m.sim.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
		if code := m.sim.ProcessState.ExitCode(); code != 0 {
			m.lab.t.Errorf("%s: kernelsim ended with %d", m.name, code)
		}
	case <-time.After(10 * time.Second):
		m.lab.t.Fatalf("%s: kernelsim did not end on SIGTERM", m.name)
	}
}

// crash kills supervisor and engine at once, as a machine dies.
func (m *machine) crash() {
	select {
	case <-m.ended:
		return
	default:
	}
	engines := childrenOf(m.sim.Process.Pid) // cannot be anybody else's while the supervisor, which starts them, is not reaped
	m.sim.Process.Signal(syscall.SIGSTOP)    // it must not start another
	for _, pid := range engines {
		syscall.Kill(pid, syscall.SIGKILL) // nor they bow out
	}
	m.sim.Process.Kill()
	<-m.ended
}

// A result is what a command left.
type result struct {
	out, err string
	code     int
}

func outcome(c *exec.Cmd) (result, error) {
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	r := result{out: out.String(), err: errs.String()}
	if c.ProcessState != nil {
		r.code = c.ProcessState.ExitCode()
	}
	return r, err
}

// do runs a command line on the machine.
func (m *machine) do(line string) result {
	m.lab.t.Helper()
	return m.exec(strings.Fields(line)...)
}

func (m *machine) exec(args ...string) result {
	m.lab.t.Helper()
	r, err := outcome(m.command(args...))
	if err != nil {
		m.lab.t.Fatalf("%s: %s: %v", m.name, strings.Join(args, " "), err)
	}
	return r
}

// must runs a command line that has to succeed in silence on standard error.
func (m *machine) must(line string) string {
	m.lab.t.Helper()
	r := m.do(line)
	if r.code != 0 || r.err != "" {
		m.lab.t.Fatalf("%s: %s: exit %d\n%s%s", m.name, line, r.code, r.out, r.err)
	}
	return r.out
}

// status returns what `ifconfig carp0` says behind "status:".
func (m *machine) status(carp string) string {
	r, err := outcome(m.command("ifconfig-carp", carp))
	if err != nil || r.err != "" {
		return ""
	}
	for _, line := range strings.Split(r.out, "\n") {
		if s, ok := strings.CutPrefix(line, "\tstatus: "); ok {
			return s
		}
	}
	return ""
}

// within waits until ok, polling; the test fails after d.
func (l *lab) within(d time.Duration, what string, ok func() bool) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			l.t.Fatalf("not within %v: %s", d, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *machine) becomes(status string, d time.Duration) {
	m.lab.t.Helper()
	m.lab.within(d, m.name+" is "+status, func() bool { return m.status("carp0") == status })
}

// cut takes the machine off the bridge; it keeps its carrier, as when a switch fails. heal puts it back.
func (m *machine) cut() { m.lab.t.Helper(); m.lab.ip(m.lab.sw, "link", "set", m.port, "nomaster") }
func (m *machine) heal() {
	m.lab.t.Helper()
	m.lab.ip(m.lab.sw, "link", "set", m.port, "master", "br0")
}

// pair makes hosts a and b with carp0 and waits for one master; words are for both, and for each.
func (l *lab) pair(words, forA, forB string) (a, b *machine) {
	l.t.Helper()
	a, b = l.host("a"), l.host("b")
	a.must("ifconfig-carp carp0 vhid 1 " + words + " " + forA + " 192.168.1.10")
	if forA == forB { // equal hosts: on a busy machine b could be first
		a.becomes("master", 10*time.Second)
	}
	b.must("ifconfig-carp carp0 vhid 1 " + words + " " + forB + " 192.168.1.10")
	return a, b
}

func (m *machine) readLog() string {
	m.lab.t.Helper()
	data, err := os.ReadFile(m.log)
	if err != nil {
		m.lab.t.Fatal(err)
	}
	return string(data)
}

// counter reads one of the machine's statistics.
func (m *machine) counter(name string) uint64 {
	m.lab.t.Helper()
	time.Sleep(1100 * time.Millisecond) // the file follows within a second
	data, err := os.ReadFile(filepath.Join(m.state, "status", "stats"))
	if err != nil {
		m.lab.t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				m.lab.t.Fatal(err)
			}
			return n
		}
	}
	m.lab.t.Fatalf("no counter %s in %s", name, data)
	return 0
}
