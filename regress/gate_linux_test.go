package regress

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// A backup is silent with the gate and without; its link shows what it is, and the log says once that there is no gate.
func TestGateAndFallback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args               []string
		backup, master     string // of the link's flags
		filters, complains int
	}{
		{nil, "<NO-CARRIER,BROADCAST,MULTICAST,UP>", "<BROADCAST,MULTICAST,UP,LOWER_UP>", 2, 0},
		{[]string{"-g"}, "<BROADCAST,MULTICAST>", "<BROADCAST,MULTICAST,UP,LOWER_UP>", 0, 1},
	} {
		l := newLab(t)
		client, a := l.machine("client"), l.host("a", c.args...)
		link := func(when, want string) {
			t.Helper()
			if out := l.ip(a.ns, "link", "show", "carp0"); !strings.Contains(out, want) {
				t.Errorf("%q, %s: %s", c.args, when, out)
			}
		}
		a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
		a.becomes("backup", 5*time.Second)
		link("as backup", c.backup)
		silentBackup(t, client, a)
		a.must("ifconfig-carp carp0 state master")
		if out := client.must("ping -n -c 2 -i 0.1 192.168.1.10"); !strings.Contains(out, " 0% packet loss") {
			t.Error(out)
		}
		link("as master", c.master)
		a.must("ifconfig-carp carp0 alias 192.168.1.11")
		if out := client.must("ping -n -c 2 -i 0.1 192.168.1.11"); !strings.Contains(out, " 0% packet loss") {
			t.Error(out)
		}
		a.must("ifconfig-carp carp0 state backup")
		link("as backup again", c.backup)
		silentBackup(t, client, a)

		// The carpdev bounces: it comes back as a backup.
		l.ip(a.ns, "link", "set", "eth0", "down")
		a.becomes("invalid", 5*time.Second)
		l.ip(a.ns, "link", "set", "eth0", "up")
		a.becomes("backup", 5*time.Second)
		silentBackup(t, client, a)
		l.within(time.Second, "the link of a backup", func() bool { return strings.Contains(l.ip(a.ns, "link", "show", "carp0"), c.backup) })

		syscall.Kill(a.engine(), syscall.SIGKILL)
		a.becomes("backup", 5*time.Second)
		silentBackup(t, client, a)
		for _, dev := range []string{"carp0", "eth0"} {
			if n := strings.Count(a.filters(dev), "direct-action"); n != c.filters {
				t.Errorf("%q: %d filters on %s: %s", c.args, n, dev, a.filters(dev))
			}
		}
		if n := strings.Count(a.readLog(), "kernelsim: no gate (option -g): a host that hangs goes on to answer\n"); n != c.complains {
			t.Errorf("%q: said %d times: %s", c.args, n, a.readLog())
		}
	}
}

func (m *machine) filters(dev string) (out string) {
	m.lab.t.Helper()
	for _, way := range []string{"ingress", "egress"} {
		out += m.lab.run("tc", "-n", m.ns, "filter", "show", "dev", dev, way)
	}
	return out
}

// everything returns what kernelsim may leave behind on a machine.
func (m *machine) everything() string {
	m.lab.t.Helper()
	out := ""
	for _, what := range []string{"-d link show", "addr show", "route show table all", "-6 route show table all", "maddr show", "rule show", "-6 rule show"} {
		out += m.lab.ip(m.ns, strings.Fields(what)...)
	}
	out += m.lab.run("tc", "-n", m.ns, "qdisc", "show")
	for _, dev := range []string{"eth0", "eth1", "eth2"} {
		out += m.filters(dev)
	}
	return out + m.must("sysctl -a -r net.ipv[46].(conf|neigh)")
}

// Nothing is left behind by destroy, by SIGTERM, and by a start after both processes were killed and another end; a qdisc of somebody else stays.
func TestNothingLeft(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-g"}} {
		l := newLab(t)
		a := l.machine("a")
		for _, dev := range []string{"eth1", "eth2"} {
			l.ip(a.ns, "link", "add", dev, "type", "veth", "peer", "name", "peer-"+dev, "netns", l.sw)
		}
		l.run("tc", "-n", a.ns, "qdisc", "add", "dev", "eth2", "clsact")
		l.within(5*time.Second, "IPv6 is at rest", func() bool { return !strings.Contains(l.ip(a.ns, "-6", "addr", "show"), "tentative") })
		before := a.everything()
		same := func(when string) {
			t.Helper()
			if after := a.everything(); after != before {
				t.Errorf("%q: left after %s:\n%s", args, when, diff(before, after))
			}
		}
		a.start(args...)
		a.serves()
		same("start")
		a.must("ifconfig-carp carp0 vhid 1 advbase 0 192.168.1.10")
		a.becomes("master", 5*time.Second)
		a.must("ifconfig-carp carp0 destroy")
		same("destroy")
		a.must("ifconfig-carp carp0 vhid 1 advbase 0 192.168.1.10")
		a.becomes("master", 5*time.Second)
		objects := a.objects()
		if len(objects.maps) == 0 {
			t.Errorf("%q: no map while it runs: the test sees nothing", args)
		}
		a.stop()
		same("SIGTERM")
		objects.gone(l, "SIGTERM")
		a.start(args...)
		a.becomes("master", 5*time.Second)
		objects = a.objects()
		a.crash()
		a.start(args...)
		a.becomes("master", 5*time.Second)
		a.must("ifconfig-carp carp0 destroy")
		same("destroy after a crash")
		objects.gone(l, "destroy after a crash")
		objects = a.objects()
		a.stop()
		same("SIGTERM after a crash")
		objects.gone(l, "SIGTERM after a crash")
		if _, err := os.Stat(filepath.Join(a.state, "carpdevs")); err == nil {
			t.Errorf("%q: settings of carpdevs are still kept", args)
		}
	}
}

// objects are a kernelsim's eBPF maps and the programs that use them, by their numbers, which are never given again. On a machine where much else
// runs there is no telling by names whose they are.
type objects struct {
	maps  map[ebpf.MapID]bool
	progs map[ebpf.ProgramID]bool
}

func (m *machine) objects() objects {
	t := m.lab.t
	t.Helper()
	o := objects{map[ebpf.MapID]bool{}, map[ebpf.ProgramID]bool{}}
	for _, pid := range []int{m.sim.Process.Pid, m.engine()} {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			data, _ := os.ReadFile(name) // or closed meanwhile
			for _, line := range strings.Split(string(data), "\n") {
				if f := strings.Fields(line); len(f) == 2 && f[0] == "map_id:" && strings.Contains(string(data), "map_type:") {
					id, err := strconv.Atoi(f[1])
					if err != nil {
						t.Fatal(err)
					}
					o.maps[ebpf.MapID(id)] = true
				}
			}
		}
	}
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone
		}
		if info, err := p.Info(); err == nil {
			uses, _ := info.MapIDs()
			if slices.ContainsFunc(uses, func(id ebpf.MapID) bool { return o.maps[id] }) {
				o.progs[id] = true
			}
		}
		p.Close()
	}
	if len(o.maps) > 0 && len(o.progs) == 0 {
		t.Errorf("%s: %d maps, and no program uses them", m.name, len(o.maps))
	}
	return o
}

// gone waits until the kernel has let go of all.
func (o objects) gone(l *lab, when string) {
	l.t.Helper()
	l.within(5*time.Second, fmt.Sprintf("no map and no program is left after %s", when), func() bool {
		for id := range o.maps {
			if m, err := ebpf.NewMapFromID(id); err == nil {
				m.Close()
				return false
			}
		}
		for id := range o.progs {
			if p, err := ebpf.NewProgramFromID(id); err == nil {
				p.Close()
				return false
			}
		}
		return true
	})
}

// diff returns the lines that only one of two texts has.
func diff(before, after string) (out string) {
	has := func(text, line string) bool { return strings.Contains("\n"+text, "\n"+line+"\n") }
	for _, line := range strings.Split(before, "\n") {
		if !has(after, line) {
			out += "-" + line + "\n"
		}
	}
	for _, line := range strings.Split(after, "\n") {
		if !has(before, line) {
			out += "+" + line + "\n"
		}
	}
	return out
}

// What a run with the gate has left is taken over by one without, and the other way round.
func TestGateComesAndGoes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 25 192.168.1.10")
	for _, args := range [][]string{{"-g"}, nil, {"-g"}} {
		a.becomes("master", 5*time.Second)
		a.must("ifconfig-carp carp0 advbase 20") // time to look at the backup
		a.crash()
		a.start(args...)
		a.serves()
		a.becomes("backup", 5*time.Second)
		silentBackup(t, client, a)
		if got, want := a.filters("eth0")+a.filters("carp0") != "", len(args) == 0; got != want {
			t.Errorf("%q: filters: %t", args, got)
		}
		a.must("ifconfig-carp carp0 state master")
		if out := client.must("ping -n -c 2 -i 0.1 192.168.1.10"); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%q: %s", args, out)
		}
		a.must("ifconfig-carp carp0 advbase 0")
	}
}

// The gate is on new interfaces, and put back where somebody has taken it away.
func TestGateIsMended(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
	a.becomes("backup", 5*time.Second)
	gated := func(dev string, filters int) {
		t.Helper()
		l.within(time.Second, dev+" has its filters", func() bool { return strings.Count(a.filters(dev), "carp-gate") == filters })
	}
	gated("eth0", 2)
	gated("carp0", 2)
	for _, dev := range []string{"eth0", "carp0"} {
		l.run("tc", "-n", a.ns, "qdisc", "del", "dev", dev, "clsact")
		gated(dev, 2)
		l.run("tc", "-n", a.ns, "filter", "del", "dev", dev, "ingress")
		gated(dev, 2)
	}
	l.ip(a.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
	gated("eth1", 2)
	gated("eth2", 2)
	l.ip(a.ns, "link", "add", "br1", "type", "bridge")
	l.ip(a.ns, "link", "set", "eth1", "master", "br1")
	gated("br1", 2)
	gated("eth1", 0)
	l.ip(a.ns, "link", "set", "eth1", "nomaster")
	gated("eth1", 2)
}

// ttlOfA is what the answers of the host under test are known by: both hosts answer from the same addresses.
const ttlOfA = 99

// answers is an echo reply from the shared address, of the host under test or of the other one.
func answers(ofA bool) func(*frame) bool {
	vip := netip.MustParseAddr("192.168.1.10").AsSlice()
	return func(f *frame) bool {
		b := f.data
		return len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == 0x0800 && b[23] == syscall.IPPROTO_ICMP && bytes.Equal(b[26:30], vip) && b[34] == 0 &&
			(b[22] == ttlOfA) == ofA
	}
}

// A fault after which host a is dead.
type fault struct {
	name string
	soon bool // the last answer comes at once, and not at the end of a lease
	do   func(a *machine)
	mend func(a *machine, engine int) // may be nil
}

var faults = []fault{
	{"SIGSTOP of the engine", false, func(a *machine) { syscall.Kill(a.engine(), syscall.SIGSTOP) }, thaw},
	{"SIGSTOP of both", false, func(a *machine) {
		syscall.Kill(a.engine(), syscall.SIGSTOP)
		a.sim.Process.Signal(syscall.SIGSTOP)
	}, thaw},
	{"SIGKILL of both", false, func(a *machine) { a.crash() }, func(a *machine, _ int) { a.start() }},
	{"a loop that hangs", false, func(a *machine) { syscall.Kill(a.engine(), syscall.SIGUSR2) }, nil},
	// The supervisor shuts the gate as soon as it hears of the second time.
	{"SIGKILL of the engine, twice", true, func(a *machine) {
		time.Sleep(time.Second) // the last death is forgotten
		old := a.engine()
		syscall.Kill(old, syscall.SIGKILL)
		a.lab.within(5*time.Second, "another engine", func() bool { return a.engine() != old && a.status("carp0") == "master" })
		syscall.Kill(a.engine(), syscall.SIGKILL)
	}, nil},
}

func thaw(a *machine, engine int) {
	a.sim.Process.Signal(syscall.SIGCONT)
	syscall.Kill(engine, syscall.SIGCONT)
}

// Nobody answers for a dead host: the last answer comes at most a lease after the fault, and before the other is master; one that thaws does not answer.
// With the short interval all faults happen on one LAN, one after the other; what waits for seconds waits beside others.
func TestDeadHost(t *testing.T) {
	t.Run(fast, func(t *testing.T) {
		d := newDuel(t, fast, time.Second*25/256, forgetting)
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				defer d.as(t)()
				d.suffer(&f, trials(3, 20))
			})
		}
	})
	const slow = "advbase 1 advskew 0"
	t.Run(slow, func(t *testing.T) {
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				newDuel(t, slow, time.Second, forgetting).suffer(&f, trials(1, 20))
			})
		}
	})
}

// forgetting lets an engine's death be forgotten after a second.
func forgetting(a *machine) { a.testing(time.Second) }

// suffer lets a fault happen to a, again and again.
func (d *duel) suffer(fault *fault, n int) {
	t, a, b, c := d.t, d.a, d.b, d.c
	t.Helper()
	logs := len(a.readLog())
	answered := &series{name: fault.name + ": the last answer"}
	nobody := &series{name: fault.name + ": nobody answers"}
	for len(answered.late) < n && answered.repeated < 10*n {
		d.settle()
		engine, from := a.engine(), c.count()
		c.wait(t, from, time.Second, "an answer of a", answers(true))
		fault.do(a)
		at := time.Now()
		control := startControl(t, at.Add(5*time.Millisecond))
		// An announcement says not whose it is.
		master, taken := c.wait(t, from, 4*d.interval+time.Second, "an advert of b", advertFrom(b.addr))
		c.wait(t, taken, 5*time.Second, "an announcement", announcement("192.168.1.10"))
		first, _ := c.wait(t, taken, 5*time.Second, "an answer of b", answers(false))
		last := at
		for _, f := range c.since(from, answers(true)) {
			last = f.at
		}
		if !last.Before(master.at) {
			t.Errorf("a answers %v after b is master, which it was %v after the fault", last.Sub(master.at), master.at.Sub(at))
		}
		if control.late(t) > controlLimit {
			answered.repeated++
			nobody.repeated++
		} else {
			answered.late, nobody.late = append(answered.late, last.Sub(at)), append(nobody.late, first.at.Sub(last))
		}

		back := c.count()
		if fault.mend != nil {
			fault.mend(a, engine)
		}
		a.becomes("backup", 5*time.Second)
		if n := len(c.since(back, answers(true))); n != 0 {
			t.Errorf("a answers %d times when it is back", n)
		}
		b.becomes("master", time.Second)
	}
	limit := d.lease() + 5*time.Millisecond
	if fault.soon {
		limit = stray()
	}
	answered.judge(t, limit, d.lease()+5*time.Millisecond)
	nobody.judge(t, d.masterDown()+20*time.Millisecond, d.masterDown()+d.interval)
	// One that is stopped for a moment, as here, is none yet.
	log := a.readLog()[logs:]
	if hangs, want := strings.Contains(log, "kernelsim: the engine hangs, killing it\n"), strings.HasSuffix(fault.name, "hangs"); hangs != want && fault.name != "SIGSTOP of the engine" {
		t.Errorf("an engine was taken for one that hangs: %v; log:\n%s", hangs, log)
	}
}

// A hang that is longer than the lease and shorter than two intervals costs no fail-over: the host is silent, hears what has come in, and goes on.
func TestShortHang(t *testing.T) {
	l := newLab(t)
	client := l.machine("client")
	c := client.capture()
	a, b := l.host("a"), l.host("b")
	a.must("sysctl -qw net.ipv4.ip_default_ttl=99")
	a.must("ifconfig-carp carp0 vhid 1 192.168.1.10")
	a.becomes("master", 10*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 192.168.1.10")
	ping := client.command("ping", "-n", "-q", "-i", "0.002", "192.168.1.10")
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { ping.Process.Signal(syscall.SIGINT); ping.Wait() }()
	for range trials(2, 20) {
		from := c.count()
		c.wait(t, from, 2*time.Second, "an advert", advertFrom(a.addr))
		c.wait(t, c.count(), time.Second, "an answer", answers(true))
		syscall.Kill(a.engine(), syscall.SIGSTOP)
		stopped := time.Now()
		time.Sleep(800 * time.Millisecond)
		silent := c.since(from, answers(true))
		syscall.Kill(a.engine(), syscall.SIGCONT)
		thawed, at := time.Now(), c.count()
		if last := silent[len(silent)-1].at; last.After(stopped.Add(505 * time.Millisecond)) {
			t.Errorf("an answer %v after it was stopped", last.Sub(stopped))
		}
		f, _ := c.wait(t, at, time.Second, "an answer after it goes on", answers(true))
		t.Logf("stopped for 800 ms: silent for the last %v, answers %v after it goes on", thawed.Sub(silent[len(silent)-1].at), f.at.Sub(thawed))
		if late := f.at.Sub(thawed); late > 200*time.Millisecond {
			t.Errorf("an answer only %v after it goes on", late)
		}
		time.Sleep(1200 * time.Millisecond)
	}
	if log := a.readLog() + b.readLog(); strings.Count(log, "transition") != 1 {
		t.Errorf("transitions: %s", log)
	}
}
