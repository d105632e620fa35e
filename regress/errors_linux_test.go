package regress

import (
	"strings"
	"testing"
	"time"
)

// demotion returns what `ifconfig -g carp` says.
func (m *machine) demotion() string {
	m.lab.t.Helper()
	return strings.TrimSpace(m.must("ifconfig-carp -g carp"))
}

// A master whose adverts fail is demoted, and gives way once it hears the one who takes over. As a backup it finds out by itself that it can send
// again, without being asked, and then takes over by preemption as before.
func TestSendErrors(t *testing.T) {
	t.Parallel()
	for _, f := range families[:3] {
		t.Run(f.name, func(t *testing.T) {
			l := newLab(t)
			a, b := l.host("a"), l.host("b")
			for _, m := range []*machine{a, b} {
				m.must("sysctl-carp -q net.inet.carp.preempt=1")
			}
			a.carpWith("vhid 1 "+fast, f.lines)
			a.becomes("master", 5*time.Second)
			b.carpWith("vhid 1 advbase 0 advskew 50", f.lines)
			b.becomes("backup", 5*time.Second)

			// A queue with no room: the kernel refuses what is sent, with ENOBUFS.
			a.must("tc qdisc replace dev eth0 root pfifo limit 0")
			b.becomes("master", 3*time.Second)
			a.becomes("backup", 3*time.Second)
			each := 1
			if f.name == "both" {
				each = 2 // a cause for each family
			}
			l.within(3*time.Second, "a is demoted", func() bool {
				return a.demotion() == map[int]string{1: "carp: carp demote count 1", 2: "carp: carp demote count 2"}[each]
			})
			time.Sleep(time.Second)
			if s := a.status("carp0"); s != "backup" {
				t.Errorf("a is %s while it cannot send", s)
			}

			a.must("tc qdisc del dev eth0 root")
			l.within(3*time.Second, "the demotion of a ends", func() bool { return a.demotion() == "carp: carp demote count 0" })
			a.becomes("master", 3*time.Second)
			b.becomes("backup", 3*time.Second)
			if log := a.readLog(); a.counter("onomem") == 0 || strings.Count(log, "-> MASTER") > 2 {
				t.Errorf("onomem %d, log:\n%s", a.counter("onomem"), log)
			}
		})
	}
}

// With net.inet.carp.allow=0 a host hears nobody, and says so to nobody: it is master beside the other until that ends.
func TestAllow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.pair(fast, "", "advskew 50")
	a.becomes("master", 5*time.Second)
	b.becomes("backup", 5*time.Second)
	b.must("sysctl-carp -q net.inet.carp.allow=0")
	b.becomes("master", 3*time.Second)
	if s := a.status("carp0"); s != "master" {
		t.Errorf("a, which is better, is %s", s)
	}
	b.must("sysctl-carp -q net.inet.carp.allow=1")
	b.becomes("backup", 3*time.Second)
}

// A vhid that a carp on the same carpdev has is refused, as OpenBSD refuses it; on another carpdev it is not.
func TestDuplicateVHID(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	l.ip(a.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p")
	l.ip(a.ns, "link", "set", "eth1", "up")
	a.must("ifconfig-carp carp0 vhid 1 carpdev eth0 192.168.1.10/24")
	r := a.do("ifconfig-carp carp1 vhid 1 carpdev eth0")
	if r.code != 1 || r.err != "ifconfig: carp1: SIOCSVH: Invalid argument\n" {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
	a.must("ifconfig-carp carp1 vhid 1 carpdev eth1 10.0.0.10/24")
	if r := a.do("ifconfig-carp carp1 carpdev eth0"); r.code != 1 || r.err != "ifconfig: carp1: SIOCSVH: Invalid argument\n" {
		t.Errorf("moved: exit %d, %q", r.code, r.err)
	}
}

// Every parameter changes while the pair runs, and the better one is master in the end.
func TestChangesWhileRunning(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.machine("client")
	a, b := l.pair(fast, "", "advskew 50")
	for _, m := range []*machine{a, b} {
		m.must("sysctl-carp -q net.inet.carp.preempt=1")
	}
	a.becomes("master", 5*time.Second)
	b.becomes("backup", 5*time.Second)
	single := func(master *machine, what string) {
		t.Helper()
		backup := map[*machine]*machine{a: b, b: a}[master]
		l.within(5*time.Second, what, func() bool { return master.status("carp0") == "master" && backup.status("carp0") == "backup" })
	}
	a.must("ifconfig-carp carp0 advskew 100")
	single(b, "b is faster now")
	b.must("ifconfig-carp carp0 advskew 200")
	single(a, "a is faster again")
	for _, m := range []*machine{b, a} {
		m.must("ifconfig-carp carp0 pass mekmitasdigoat")
	}
	single(a, "one master after the pass phrase")
	for _, m := range []*machine{b, a} {
		m.must("ifconfig-carp carp0 vhid 7")
	}
	l.within(5*time.Second, "one master after the vhid", func() bool {
		x, y := a.status("carp0"), b.status("carp0")
		return x == "master" && y == "backup" || x == "backup" && y == "master"
	})
	single(a, "the better one")
	client.reaches("192.168.1.10", "00:00:5e:00:01:07")
	for _, m := range []*machine{b, a} {
		m.must("ifconfig-carp carp0 advbase 1 advskew 0")
	}
	l.within(9*time.Second, "one master after advbase", func() bool {
		x, y := a.status("carp0"), b.status("carp0")
		return x == "master" && y == "backup" || x == "backup" && y == "master"
	})
}
