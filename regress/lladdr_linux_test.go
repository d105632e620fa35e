package regress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carp/libcarp/config"
)

// mac returns the Ethernet address of an interface.
func (m *machine) mac(dev string) string {
	m.lab.t.Helper()
	f := strings.Fields(m.lab.ip(m.ns, "-o", "link", "show", "dev", dev))
	for i := range f {
		if f[i] == "link/ether" {
			return f[i+1]
		}
	}
	m.lab.t.Fatalf("%s has no MAC: %s", dev, f)
	return ""
}

// filtered makes the switch as a hypervisor's: a machine sends from its own MAC, and gets what is for that or for a group.
func (l *lab) filtered(machines ...*machine) {
	l.t.Helper()
	rules := "table bridge own {\nchain ports {\ntype filter hook forward priority 0\n"
	for _, m := range machines {
		mac := m.mac("eth0")
		rules += fmt.Sprintf("iifname %s ether saddr != %s drop\n", m.port, mac)
		rules += fmt.Sprintf("oifname %s ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether daddr != %s drop\n", m.port, mac)
	}
	file := l.dir + "/rules"
	if err := os.WriteFile(file, []byte(rules+"}\n}\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.run("ip", "netns", "exec", l.sw, "nft", "-f", file)
}

const vip, vip6 = "192.168.1.10", "2001:db8:1::10"

// ownMAC makes carp0 with the MAC of eth0.
func (m *machine) ownMAC(words string) {
	m.lab.t.Helper()
	m.must("ifconfig-carp carp0 vhid 1 " + words + " carpdev eth0 lladdr " + m.mac("eth0") + " " + vip)
	m.must("ifconfig-carp carp0 inet6 " + vip6)
}

// refuses reports whether a TCP connection from m to addr is refused at once: by a host, then, that answers for it.
func (m *machine) refuses(addr string) bool {
	m.lab.t.Helper()
	var failed error
	inNamespace(m.lab.t, m.ns, func() error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "9"), 500*time.Millisecond)
		if err == nil {
			c.Close()
		}
		failed = err
		return nil
	})
	return errors.Is(failed, syscall.ECONNREFUSED)
}

// at checks that the client reaches the shared addresses, at that machine.
func (client *machine) at(m *machine) {
	client.lab.t.Helper()
	for _, addr := range []string{vip, vip6} {
		if !client.ping(addr) {
			client.lab.t.Errorf("%s does not answer for %s", m.name, addr)
		}
		if !client.refuses(addr) {
			client.lab.t.Errorf("%s: no TCP to %s", m.name, addr)
		}
		if out := client.lab.ip(client.ns, "neigh", "show", addr); !strings.Contains(out, "lladdr "+m.mac("eth0")) {
			client.lab.t.Errorf("the client's entry for %s, which is at %s: %s", addr, m.name, out)
		}
	}
}

// silent checks that a machine that is not master answers for nothing, in whatever way it is asked, and goes on to answer for itself.
func (client *machine) silent(m *machine) {
	t, l := client.lab.t, client.lab
	t.Helper()
	local := "fe80::200:5eff:fe00:101"
	for _, addr := range []string{vip, vip6, local} {
		l.ip(client.ns, "neigh", "replace", addr, "lladdr", m.mac("eth0"), "dev", "eth0", "nud", "permanent")
		if client.do("ping -n -c 2 -i 0.1 -W 0.2 "+scoped(addr)).code == 0 {
			t.Errorf("%s, which is no master, answers for %s", m.name, addr)
		}
		l.ip(client.ns, "neigh", "del", addr, "dev", "eth0")
	}
	if r := client.exec("arping", "-c", "1", "-w", "0.3", "-i", "eth0", vip); strings.Contains(r.out, "from "+m.mac("eth0")) {
		t.Errorf("%s answers ARP: %s", m.name, r.out)
	}
	for _, addr := range []string{m.addr, m.addr6, m.local} {
		if !client.ping(addr) {
			t.Errorf("%s does not answer for its own %s", m.name, addr)
		}
	}
	for _, to := range []string{client.addr, client.addr6} {
		if m.do("ping -n -c 1 -W 1 "+to).code != 0 {
			t.Errorf("%s does not reach %s", m.name, to)
		}
	}
}

// settledOn waits until a host is master and the other backup.
func settledOn(a, b *machine) {
	a.lab.t.Helper()
	a.becomes("master", 10*time.Second)
	b.becomes("backup", 10*time.Second)
}

// The carpdev's own MAC, behind ports that let no other through: an election, fail-overs, a dead host, and its return.
func TestOwnMAC(t *testing.T) {
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	l.filtered(client, a, b)
	c := client.capture()
	a.ownMAC(fast)
	a.becomes("master", 5*time.Second)
	b.ownMAC(fast)
	settledOn(a, b)
	client.at(a)
	client.silent(b)
	f, _ := c.wait(t, 0, time.Second, "an advert", advertFrom(a.addr))
	if f.from.String() != a.mac("eth0") {
		t.Errorf("an advert from %s", f.from)
	}
	for m, want := range map[*machine]string{a: "state UP", b: "state DOWN"} {
		if out := l.ip(m.ns, "link", "show", "carp0"); !strings.Contains(out, want) {
			t.Errorf("%s: %s", m.name, out)
		}
		for _, to := range []string{client.addr, client.addr6, "10.9.9.9"} {
			l.ip(m.ns, "route", "replace", "default", "via", client.addr)
			if out := l.ip(m.ns, "route", "get", to); strings.Contains(out, "src "+vip) {
				t.Errorf("%s: its own traffic leaves from a shared address: %s", m.name, out)
			}
		}
	}

	const interval = time.Second * 25 / 256
	s := &series{name: "own MAC, cut, " + fast + ": beyond the master-down time"}
	for len(s.late) < trials(3, 17) && s.repeated < 50 {
		time.Sleep(1100 * time.Millisecond) // a Linux client believes no other address within a second: locktime in arp(7)
		from := c.count()
		a.cut()
		time.Sleep(5 * time.Millisecond)
		adverts := c.since(0, advertFrom(a.addr))
		deadline := adverts[len(adverts)-1].at.Add(3 * interval)
		control := startControl(t, deadline)
		f, at := c.wait(t, from, 5*time.Second, "an announcement", announcement(vip))
		if f.from.String() != b.mac("eth0") {
			t.Errorf("announced from %s", f.from)
		}
		if late := control.late(t); late > controlLimit {
			s.repeated++
		} else {
			s.late = append(s.late, f.at.Sub(deadline)-max(late, 0))
		}
		c.wait(t, at+1, 5*time.Second, "a second announcement", announcement(vip))
		client.at(b)
		a.heal()
		l.within(5*time.Second, "one master", func() bool {
			x, y := a.status("carp0"), b.status("carp0")
			return x == "master" && y == "backup" || x == "backup" && y == "master"
		})
		if a.status("carp0") != "master" {
			a, b = b, a
		}
		time.Sleep(2 * interval) // the master has announced again
		client.at(a)
	}
	s.judge(t, 20*time.Millisecond, interval)
	client.silent(b)
	if got := append(a.duplicates(), b.duplicates()...); len(got) != 0 {
		t.Errorf("taken for strangers: %q", got)
	}
}

// A dead host falls silent with its lease, and what it leaves on the carpdev is taken over, or away, by the next start.
func TestOwnMACDies(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-g"}} {
		l := newLab(t)
		client, a := l.machine("client"), l.machine("a")
		l.filtered(client, a)
		for _, dev := range []string{"eth1", "eth2"} {
			l.ip(a.ns, "link", "add", dev, "type", "veth", "peer", "name", "peer-"+dev, "netns", l.sw)
		}
		l.within(5*time.Second, "IPv6 is at rest", func() bool { return !strings.Contains(l.ip(a.ns, "-6", "addr", "show"), "tentative") })
		before := a.everything()
		same := func(when string) {
			t.Helper()
			after := a.everything()
			for n := 0; after != before && n < 40; n++ { // a start serves before it has taken away what is left
				time.Sleep(50 * time.Millisecond)
				after = a.everything()
			}
			if after != before {
				t.Errorf("%q: left after %s:\n%s", args, when, diff(before, after))
			}
		}
		a.start(args...)
		t.Cleanup(a.crash)
		a.serves()
		a.ownMAC("advbase 0 advskew 25")
		a.becomes("master", 5*time.Second)
		client.at(a)
		a.must("ifconfig-carp carp0 destroy")
		same("destroy")
		a.ownMAC("advbase 0 advskew 25")
		a.becomes("master", 5*time.Second)
		a.stop()
		same("SIGTERM")
		a.start(args...)
		a.becomes("master", 5*time.Second)

		// Killed, with the gate it falls silent by itself.
		a.must("ifconfig-carp carp0 alias 192.168.1.11")
		a.must("ifconfig-carp carp0 advbase 20 state master")
		client.at(a)
		a.crash()
		if len(args) == 0 {
			time.Sleep(550 * time.Millisecond)
			client.silent(a)
		}
		// What is configured is taken over, and silent; what is not goes.
		if r := a.do("ifconfig-carp carp0 inet 192.168.1.11 delete"); r.code != 0 {
			t.Errorf("%+v", r)
		}
		a.start(args...)
		a.serves()
		a.becomes("backup", 5*time.Second)
		client.silent(a)
		if out := l.ip(a.ns, "addr"); strings.Contains(out, "192.168.1.11") || strings.Contains(out, vip+"/") != (len(args) == 0) {
			t.Errorf("%q: after a start: %s", args, out)
		}
		a.must("ifconfig-carp carp0 state master")
		client.at(a)

		// A carp that is gone from the configuration, and its link from the host.
		a.crash()
		a.do("ifconfig-carp carp0 destroy")
		l.ip(a.ns, "link", "del", "carp0")
		a.must("sysctl -qw net.ipv4.conf.eth0.arp_ignore=0 net.ipv4.conf.eth0.arp_announce=0")
		a.start(args...)
		a.serves()
		same("a start without it")
		a.stop()
	}
}

// The mode comes and goes under a master, follows the carpdev's MAC, and mends what goes with a carpdev that is down or flushed.
func TestOwnMACChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	c := client.capture()
	for _, m := range []*machine{a, b} {
		m.must("ifconfig-carp carp0 vhid 1 " + fast + " " + vip)
		m.must("ifconfig-carp carp0 inet6 " + vip6)
	}
	b.must("ifconfig-carp carp0 advskew 100")
	for _, m := range []*machine{a, b} {
		m.must("sysctl-carp net.inet.carp.preempt=1")
	}
	settledOn(a, b)
	client.reaches(vip, virtualMAC)
	own := a.mac("eth0")
	twice := func(from int, mac string) {
		t.Helper()
		for _, addr := range []string{vip, vip6} {
			_, at := c.wait(t, from, 2*time.Second, "an announcement of "+addr, announcement(addr))
			f, _ := c.wait(t, at+1, 2*time.Second, "a second announcement of "+addr, announcement(addr))
			if f.from.String() != mac {
				t.Errorf("%s announced from %s, want %s", addr, f.from, mac)
			}
		}
	}
	for range 2 {
		from := c.count()
		a.must("ifconfig-carp carp0 lladdr " + own)
		twice(from, own)
		client.at(a)
		if out := a.must("ifconfig-carp carp0"); !strings.Contains(out, "lladdr "+own+"\n") || !strings.Contains(out, "inet6 fe80::200:5eff:fe00:101%carp0 ") {
			t.Errorf("display: %s", out)
		}
		from = c.count()
		a.must("ifconfig-carp carp0 lladdr " + virtualMAC)
		twice(from, virtualMAC)
		client.reaches(vip, virtualMAC)
		client.reaches(vip6, virtualMAC)
		if out := l.ip(a.ns, "addr", "show", "dev", "eth0"); strings.Contains(out, vip) || strings.Contains(out, vip6) {
			t.Errorf("left on the carpdev: %s", out)
		}
	}
	a.must("ifconfig-carp carp0 lladdr " + own)
	client.at(a)

	// A network manager flushes all, and sets its own again.
	l.ip(a.ns, "addr", "flush", "dev", "eth0")
	l.ip(a.ns, "addr", "add", a.addr+"/24", "dev", "eth0")
	l.ip(a.ns, "addr", "add", a.addr6+"/64", "dev", "eth0", "nodad")
	l.ip(a.ns, "addr", "add", a.local+"/64", "dev", "eth0", "nodad")
	l.within(2*time.Second, "the shared addresses are back", func() bool {
		out := l.ip(a.ns, "addr", "show", "dev", "eth0")
		return strings.Contains(out, vip+"/32") && strings.Contains(out, vip6+"/128")
	})
	client.at(a)

	// The carpdev bounces, and has another MAC afterwards.
	for _, mac := range []string{own, "02:00:00:00:00:aa"} {
		l.ip(a.ns, "link", "set", "eth0", "down")
		a.becomes("invalid", 5*time.Second)
		l.ip(a.ns, "link", "set", "eth0", "address", mac)
		l.ip(a.ns, "link", "set", "eth0", "up")
		l.ip(a.ns, "addr", "replace", a.addr6+"/64", "dev", "eth0", "nodad")
		l.ip(a.ns, "addr", "replace", a.local+"/64", "dev", "eth0", "nodad")
		a.becomes("master", 5*time.Second)
		client.at(a)
		l.within(time.Second, "lladdr follows", func() bool { return strings.Contains(a.must("ifconfig-carp carp0"), "lladdr "+mac+"\n") })
	}
	// A peer with the virtual MAC has heard it all the time.
	b.becomes("backup", time.Second)
	if log := a.readLog() + b.readLog(); strings.Contains(log, "incorrect hash") || strings.Contains(log, "duplicate IP") {
		t.Errorf("they do not understand each other: %s", log)
	}
	if n := strings.Count(a.readLog(), "is an address of eth0 itself"); n != 0 {
		t.Errorf("it takes its own for another's: %s", a.readLog())
	}
	a.must("ifconfig-carp carp0 destroy")
	if out := l.ip(a.ns, "addr"); strings.Contains(out, vip) || strings.Contains(out, vip6) || strings.Contains(out, "5eff") {
		t.Errorf("left: %s", out)
	}
}

// Behind such ports, in the default mode, both hosts are master, and each says once why. On a network that lets the virtual MAC through nobody does.
func TestFilteredIsSaid(t *testing.T) {
	t.Parallel()
	for _, filtered := range []bool{true, false} {
		for _, addr := range []string{vip, "inet6 " + vip6} {
			l := newLab(t)
			client, a, b := l.machine("client"), l.host("a"), l.host("b")
			want := 0
			if filtered {
				l.filtered(client, a, b)
				want = 1
			}
			for _, m := range []*machine{a, b} {
				m.must("ifconfig-carp carp0 vhid 1 carpdev eth0 " + fast)
				m.must("ifconfig-carp carp0 " + addr)
			}
			if filtered {
				a.becomes("master", 5*time.Second)
				b.becomes("master", 5*time.Second)
			}
			said := func(m, other *machine) int {
				return strings.Count(m.readLog(), "carp0: "+other.mac("eth0")+" is master too, its adverts from "+virtualMAC+" do not arrive, see lladdr\n")
			}
			if filtered {
				l.within(5*time.Second, "both say it", func() bool { return said(a, b) > 0 && said(b, a) > 0 })
			}
			time.Sleep(time.Second)
			if !filtered { // a fail-over and back: two new masters
				for _, m := range []*machine{a, b, a} {
					became := func() int { return strings.Count(m.readLog(), "carp0: state transition: BACKUP -> MASTER\n") }
					before := became()
					m.must("ifconfig-carp carp0 state master")
					// The one with the lower address gives way to the other again.
					l.within(5*time.Second, m.name+" becomes master", func() bool { return m.status("carp0") == "master" || became() > before })
					time.Sleep(500 * time.Millisecond)
				}
			}
			if x, y := said(a, b), said(b, a); x != want || y != want {
				t.Errorf("filtered %t, %s: said %d and %d times:\n%s%s", filtered, addr, x, y, a.readLog(), b.readLog())
			}
		}
	}
}

// Nobody answers for a dead host that has the addresses on its carpdev: the last answer comes at most a lease after the fault, and before the other is master;
// and an engine process that is killed alone costs nothing.
func TestOwnMACDeadHost(t *testing.T) {
	const interval = time.Second * 25 / 256
	for name, fault := range map[string]func(a *machine){
		"SIGSTOP of both": func(a *machine) {
			syscall.Kill(a.engine(), syscall.SIGSTOP)
			a.sim.Process.Signal(syscall.SIGSTOP)
		},
		"SIGKILL of both": (*machine).crash,
	} {
		l := newLab(t)
		client, a, b := l.machine("client"), l.host("a"), l.host("b")
		l.filtered(client, a, b)
		c := client.capture()
		a.must("sysctl -qw net.ipv4.ip_default_ttl=99")
		a.ownMAC(fast)
		a.becomes("master", 5*time.Second)
		b.ownMAC(fast)
		settledOn(a, b)
		ping := client.command("ping", "-n", "-q", "-i", "0.002", vip)
		if err := ping.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ping.Process.Signal(syscall.SIGINT); ping.Wait() })
		if name == "SIGKILL of both" {
			from := c.count()
			c.wait(t, from, time.Second, "an answer of a", answers(true))
			syscall.Kill(a.engine(), syscall.SIGKILL)
			at := time.Now()
			time.Sleep(time.Second)
			answered := c.since(from, answers(true))
			pause, last := time.Duration(0), at
			for _, f := range answered {
				pause, last = max(pause, f.at.Sub(last)), f.at
			}
			t.Logf("SIGKILL of the engine alone: no answer for at most %.1f ms", ms(pause))
			if s := b.status("carp0"); s != "backup" || time.Since(last) > 500*time.Millisecond {
				t.Errorf("after SIGKILL of the engine alone b is %s, and a has not answered for %v", s, time.Since(last))
			}
		}
		s := &series{name: "own MAC, " + name + ": the last answer"}
		for len(s.late) < trials(3, 20) && s.repeated < 30 {
			for settled := false; !settled; settled = a.status("carp0") == "master" && b.status("carp0") == "backup" {
				b.must("ifconfig-carp carp0 down")
				a.becomes("master", 5*time.Second)
				b.must("ifconfig-carp carp0 up")
				b.becomes("backup", 5*time.Second)
				time.Sleep(4 * interval)
			}
			pid, from := a.engine(), c.count()
			c.wait(t, from, time.Second, "an answer of a", answers(true))
			fault(a)
			at := time.Now() // all is done; a supervisor that dies a moment before its engine may have made that bow out
			control := startControl(t, at.Add(5*time.Millisecond))
			f, taken := c.wait(t, from, 3*time.Second, "an announcement of b", announcement(vip))
			c.wait(t, taken, 2*time.Second, "an answer of b", answers(false))
			last := at
			for _, f := range c.since(from, answers(true)) {
				last = f.at
			}
			if !last.Before(f.at) {
				t.Errorf("%s: a answers %v after b is master", name, last.Sub(f.at))
			}
			if control.late(t) > controlLimit {
				s.repeated++
			} else {
				s.late = append(s.late, max(last.Sub(at), 0))
			}
			back := c.count()
			if name == "SIGKILL of both" {
				a.start()
			} else {
				a.sim.Process.Signal(syscall.SIGCONT)
				syscall.Kill(pid, syscall.SIGCONT)
			}
			a.becomes("backup", 5*time.Second)
			if n := len(c.since(back, answers(true))); n != 0 {
				t.Errorf("%s: a answers %d times when it is back", name, n)
			}
		}
		s.judge(t, 2*interval+5*time.Millisecond, 2*interval+5*time.Millisecond)
	}
}

// A carpdev without an address of its own, in this mode: while the host is MASTER the carpdev has the subnet's route, and what leads to a gateway by
// it; as a backup the host goes another way. That is so after a crash, without the gate, and after somebody has taken it away, and nothing is left.
func TestOwnMACUnnumbered(t *testing.T) {
	t.Parallel()
	const subnet, subnet6, beyond, beyond6 = "10.9.0.0/16", "2001:db8:9::/64", "10.7.0.1", "2001:db8:7::1"
	for _, args := range [][]string{nil, {"-g"}} {
		l := newLab(t)
		client, a, b := l.machine("client"), l.machine("a"), l.machine("b")
		l.filtered(client, a, b)
		l.ip(client.ns, "addr", "add", "10.9.0.1/16", "dev", "eth0")
		l.ip(client.ns, "addr", "add", "2001:db8:9::1/64", "dev", "eth0", "nodad")
		l.ip(client.ns, "addr", "add", beyond+"/32", "dev", "lo")
		l.ip(client.ns, "addr", "add", beyond6+"/128", "dev", "lo")
		for _, m := range []*machine{a, b} {
			l.ip(m.ns, "addr", "flush", "dev", "eth0")
			l.ip(m.ns, "addr", "add", m.local+"/64", "dev", "eth0", "nodad")
			for _, dev := range []string{"eth1", "eth2"} {
				l.ip(m.ns, "link", "add", dev, "type", "veth", "peer", "name", m.port+dev, "netns", l.sw)
			}
			l.ip(l.sw, "link", "set", m.port+"eth1", "up")
			m.address("eth1", "10.8.0.2/24", "2001:db8:8::2/64", "fe80::2/64")
			l.ip(m.ns, "route", "add", "default", "via", "10.8.0.1", "metric", "2000") // another way out
			l.ip(m.ns, "-6", "route", "add", "default", "via", "2001:db8:8::1", "metric", "2000")
		}
		l.within(5*time.Second, "IPv6 is at rest", func() bool { return !strings.Contains(l.ip(a.ns, "-6", "addr", "show"), "tentative") })
		all := func() string { // a flush changes the order
			lines := strings.Split(a.everything(), "\n")
			slices.Sort(lines)
			return strings.Join(lines, "\n")
		}
		before := all()
		for _, m := range []*machine{a, b} {
			m.start(args...)
			t.Cleanup(m.crash)
			m.serves()
			m.must("sysctl-carp net.inet.carp.preempt=1")
		}
		carp := func(m *machine, skew int) {
			t.Helper()
			m.must(fmt.Sprintf("ifconfig-carp carp0 vhid 1 carpdev eth0 advbase 0 advskew %d lladdr %s 10.9.0.10/16", skew, m.mac("eth0")))
			m.must("ifconfig-carp carp0 inet6 2001:db8:9::10/64")
		}
		carp(a, 25)
		a.becomes("master", 5*time.Second)
		carp(b, 100)
		settledOn(a, b)
		routes := func(m *machine) string {
			return l.ip(m.ns, "route", "show", "dev", "eth0") + l.ip(m.ns, "-6", "route", "show", "dev", "eth0")
		}
		gateway := func(m *machine) {
			t.Helper()
			l.ip(m.ns, "route", "add", "default", "via", "10.9.0.1", "dev", "eth0", "src", "10.9.0.10", "metric", "7")
			l.ip(m.ns, "-6", "route", "add", "default", "via", "2001:db8:9::1", "dev", "eth0", "metric", "7")
		}
		// The routes of a host that is master, or not; the client knows who is.
		check := func(when string, m *machine, master bool) {
			t.Helper()
			out, dev := "", "eth1"
			if master {
				dev = "eth0"
			}
			defer func() {
				if t.Failed() {
					t.Logf("%q: %s: %s, master %t:\n%s%s", args, when, m.name, master, out, l.ip(m.ns, "route", "show", "table", "all")+l.ip(m.ns, "-6", "route", "show", "table", "all"))
				}
			}()
			l.within(3*time.Second, fmt.Sprintf("%q: %s: %s, master %t, has its routes", args, when, m.name, master), func() bool {
				out = routes(m)
				return strings.Contains(out, subnet+" ") == master && strings.Contains(out, subnet6+" ") == master &&
					strings.Contains(l.ip(m.ns, "route", "get", beyond), " dev "+dev+" ") && strings.Contains(l.ip(m.ns, "route", "get", beyond6), " dev "+dev+" ")
			})
			if !master {
				return
			}
			if !strings.Contains(out, subnet+" proto kernel scope link src 10.9.0.10 metric 4096") || !strings.Contains(out, subnet6+" proto kernel src 2001:db8:9::10 metric 4096") {
				t.Errorf("%q: %s: the routes of %s:\n%s", args, when, m.name, out)
			}
			for _, addr := range []string{"10.9.0.10", "2001:db8:9::10"} {
				if !client.ping(addr) {
					t.Errorf("%q: %s: %s does not answer for %s", args, when, m.name, addr)
				}
			}
			for _, to := range []string{beyond, beyond6} {
				if r := m.do("ping -n -c 1 -W 2 -I 10.9.0.10 " + to); to == beyond && r.code != 0 {
					t.Errorf("%q: %s: %s does not get to %s\n%s", args, when, m.name, to, r.out)
				}
			}
		}
		gateway(a)
		check("at first", a, true)
		if out := routes(b); strings.Contains(out, subnet) || strings.Contains(out, subnet6) {
			t.Errorf("%q: a backup has %s", args, out)
		}
		a.must("ifconfig-carp carp0 advskew 200")
		settledOn(b, a)
		gateway(b)
		check("moved", b, true)
		check("moved", a, false)
		// A new version, and an engine that dies, know of what rests; without the gate not.
		for _, kill := range []func(){func() { a.sim.Process.Signal(syscall.SIGHUP) }, func() { syscall.Kill(a.engine(), syscall.SIGKILL) }} {
			if len(args) > 0 {
				break
			}
			pid := a.engine()
			kill()
			l.within(5*time.Second, "another engine", func() bool { return a.engine() != pid && a.status("carp0") == "backup" })
		}
		a.must("ifconfig-carp carp0 advskew 25")
		settledOn(a, b)
		check("back", a, true)
		check("back", b, false)

		// Somebody else's hands.
		l.ip(a.ns, "route", "del", subnet, "dev", "eth0")
		l.ip(a.ns, "-6", "route", "del", subnet6, "dev", "eth0")
		check("routes deleted", a, true)
		l.ip(a.ns, "addr", "flush", "dev", "eth0", "scope", "link")
		l.ip(a.ns, "addr", "add", a.local+"/64", "dev", "eth0", "nodad")
		l.within(3*time.Second, "the route is back", func() bool { return strings.Contains(routes(a), subnet+" ") })
		a.becomes("master", 5*time.Second)
		if !client.ping("10.9.0.10") {
			t.Errorf("%q: after a flush: no answer", args)
		}
		// An address of its own makes the route unnecessary.
		l.ip(a.ns, "addr", "add", "10.9.0.2/16", "dev", "eth0")
		l.within(2*time.Second, "one route", func() bool { return !strings.Contains(routes(a), subnet+" proto kernel scope link src 10.9.0.10") })
		l.ip(a.ns, "addr", "del", "10.9.0.2/16", "dev", "eth0")
		l.within(2*time.Second, "a route again", func() bool { return strings.Contains(routes(a), subnet+" proto kernel scope link src 10.9.0.10") })
		a.becomes("master", 5*time.Second)

		// Both processes killed: taken over by a start that still has it, and taken away by one that has not.
		gateway6 := func() {
			l.ip(a.ns, "-6", "route", "replace", "default", "via", "2001:db8:9::1", "dev", "eth0", "metric", "7")
		}
		gateway6()
		a.crash()
		b.becomes("master", 5*time.Second)
		a.start(args...)
		a.serves()
		l.within(5*time.Second, "it takes over", func() bool { return a.status("carp0") == "master" })
		l.within(2*time.Second, "the routes are there", func() bool {
			out := routes(a)
			return strings.Contains(out, subnet+" ") && strings.Contains(out, subnet6+" ")
		})
		a.crash()
		a.do("ifconfig-carp carp0 destroy")
		a.start(args...)
		a.serves()
		l.within(2*time.Second, "nothing is left of a dead run", func() bool { out := routes(a); return !strings.Contains(out, "metric 4096") })
		l.ip(a.ns, "-6", "route", "flush", "default", "dev", "eth0") // its gateway's subnet is gone; it is the administrator's
		l.ip(a.ns, "route", "flush", "default", "dev", "eth0")

		for _, end := range []string{"destroy", "destroy of a backup", "SIGTERM"} {
			carp(a, 25)
			settledOn(a, b)
			gateway(a)
			if end == "destroy of a backup" {
				a.must("ifconfig-carp carp0 advskew 200")
				settledOn(b, a)
			}
			if end == "SIGTERM" {
				a.stop()
			} else {
				a.must("ifconfig-carp carp0 destroy")
			}
			after := all()
			for n := 0; after != before && n < 20; n++ {
				time.Sleep(50 * time.Millisecond)
				after = all()
			}
			if after != before {
				t.Errorf("%q: left after %s:\n%s", args, end, diff(before, after))
			}
		}
	}
}

// As many virtual hosts as one network has, in either mode: what takes time takes no longer with the addresses on the carpdev, and nothing is left there.
func TestOwnMACMany(t *testing.T) {
	const carps, kinds = 255, 4 // of what is measured
	names := [kinds]string{"all are master", "a command", "the take-over", "SIGTERM"}
	var took [2][kinds]time.Duration
	for mode, own := range []bool{false, true} {
		l := newLab(t)
		client := l.machine("client")
		c := client.capture()
		a, b := l.machine("a"), l.machine("b")
		if own {
			l.filtered(client, a, b)
		}
		for n, m := range []*machine{client, a, b} {
			l.ip(m.ns, "addr", "add", fmt.Sprintf("10.9.0.%d/16", n+1), "dev", "eth0")
		}
		for _, dev := range []string{"eth1", "eth2"} {
			l.ip(b.ns, "link", "add", dev, "type", "veth", "peer", "name", "peer-"+dev, "netns", l.sw)
		}
		l.within(5*time.Second, "IPv6 is at rest", func() bool { return !strings.Contains(l.ip(b.ns, "-6", "addr", "show"), "tentative") })
		before := b.everything()
		missing := map[netip.Addr]bool{}
		for n, m := range []*machine{a, b} {
			mac, err := config.ParseMAC(m.mac("eth0"))
			if err != nil {
				t.Fatal(err)
			}
			m.stored(carps, func(i *config.Interface, number int) {
				i.Carpdev, i.Nodes[0] = "eth0", config.Node{VHID: uint8(number + 1), Advskew: uint8(100 * n)}
				if own {
					i.MAC = mac
				}
				p, p6 := mustAddr(fmt.Sprintf("10.9.1.%d", number+1)), mustAddr(fmt.Sprintf("2001:db8:1::1:%d", number+1))
				missing[p], missing[p6] = true, true
				i.Addrs = []netip.Prefix{netip.PrefixFrom(p, 16), netip.PrefixFrom(p6, 64)}
			})
		}
		all := func(m *machine, status string) {
			t.Helper()
			l.within(60*time.Second, fmt.Sprintf("all carps of %s are %s", m.name, status), func() bool { return m.count(status) == carps })
		}
		began := time.Now()
		a.start()
		t.Cleanup(a.crash)
		all(a, "master")
		took[mode][0] = time.Since(began)
		b.start()
		t.Cleanup(b.crash)
		all(b, "backup")
		time.Sleep(2 * time.Second) // what was made is looked at
		all(b, "backup")
		var commands []time.Duration
		for n := range 20 {
			began := time.Now()
			b.must(fmt.Sprintf("ifconfig-carp carp%d alias 10.9.2.%d", n, n))
			commands = append(commands, time.Since(began))
		}
		slices.Sort(commands)
		took[mode][1] = commands[len(commands)/2]
		from := c.count()
		a.cut()
		time.Sleep(5 * time.Millisecond)
		adverts := c.since(0, advertFrom(a.addr))
		last := adverts[len(adverts)-1].at
		for at := from; len(missing) > 0; at++ {
			var f frame
			f, at = c.wait(t, at, 30*time.Second, "announcements", func(f *frame) bool { return missing[f.garp] })
			delete(missing, f.garp)
			took[mode][2] = f.at.Sub(last)
		}
		all(b, "master")
		for _, addr := range []string{"10.9.1.1", "10.9.1.255", "2001:db8:1::1:1", "2001:db8:1::1:255"} {
			if !client.ping(addr) {
				t.Errorf("own MAC %t: b does not answer for %s", own, addr)
			}
		}
		began = time.Now()
		b.stop()
		took[mode][3] = time.Since(began)
		if after := b.everything(); after != before {
			t.Errorf("own MAC %t: left:\n%s", own, diff(before, after))
		}
		a.crash()
		for n := range names {
			t.Logf("own MAC %t: %s: %v", own, names[n], took[mode][n].Round(time.Millisecond/10))
		}
	}
	for n, name := range names {
		if control, own := took[0][n], took[1][n]; own > 2*control+2*time.Second {
			t.Errorf("%s: %v, in the default mode %v", name, own, control)
		}
	}
}
