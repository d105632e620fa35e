package regress

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// The link state of the carpdev: down makes INIT and demotes the host, so that its peer takes over the other carp as well; up makes BACKUP.
func TestCarpdevLink(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.host("a"), l.host("b")
	for _, m := range []*machine{a, b} { // a second leg, which stays up
		l.ip(l.sw, "link", "add", m.port+"2", "type", "veth", "peer", "name", "eth1", "netns", m.ns)
		l.ip(l.sw, "link", "set", m.port+"2", "master", "br0", "up")
		l.ip(m.ns, "link", "set", "eth1", "up")
		m.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
		l.within(3*time.Second, "eth1 is known", func() bool {
			return m.do("ifconfig-carp carp1 vhid 2 carpdev eth1 advbase 0 advskew 25 10.7.0.1").code == 0
		})
	}
	b.must("ifconfig-carp carp0 advskew 50")
	b.must("ifconfig-carp carp1 advskew 50")
	is := func(m *machine, carp, want string) {
		t.Helper()
		l.within(5*time.Second, m.name+" "+carp+" is "+want, func() bool { return m.status(carp) == want })
	}
	a.must("ifconfig-carp carp0 state master")
	a.must("ifconfig-carp carp1 state master")
	is(a, "carp0", "master")
	is(a, "carp1", "master")
	is(b, "carp1", "backup")
	for _, how := range []struct{ down, up []string }{
		{[]string{"link", "set", "eth0", "down"}, []string{"link", "set", "eth0", "up"}}, // administratively
		{nil, nil}, // the carrier
	} {
		if how.down != nil {
			l.ip(a.ns, how.down...)
		} else {
			l.ip(l.sw, "link", "set", a.port, "down")
		}
		is(a, "carp0", "invalid")
		if out := a.must("ifconfig-carp carp0"); !strings.HasPrefix(out, "carp0: flags=8803<UP,BROADCAST,SIMPLEX,MULTICAST> ") || !strings.Contains(out, "carp: INIT carpdev eth0 ") {
			t.Errorf("without a link: %s", out)
		}
		if out := a.must("ifconfig-carp -g carp"); out != "carp: carp demote count 1\n" {
			t.Error(out)
		}
		is(b, "carp0", "master")
		is(b, "carp1", "master") // without preempt, since a is demoted
		is(a, "carp1", "backup")
		if how.up != nil {
			l.ip(a.ns, how.up...)
		} else {
			l.ip(l.sw, "link", "set", a.port, "up")
		}
		is(a, "carp0", "backup")
		if out := a.must("ifconfig-carp -g carp"); out != "carp: carp demote count 0\n" {
			t.Error(out)
		}
		for _, carp := range []string{"carp0", "carp1"} {
			a.must("ifconfig-carp " + carp + " state master")
			is(a, carp, "master")
			is(b, carp, "backup")
		}
	}
	// Nothing is left of either when kernelsim ends.
	a.stop()
	if out := l.ip(a.ns, "-o", "link"); strings.Contains(out, ": carp") {
		t.Errorf("links left: %s", out)
	}
}

// A carpdev that is deleted under a master and made again brings the address back without a hand, also under another index.
func TestCarpdevMadeAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	l.ip(a.ns, "link", "del", "eth0")
	a.becomes("invalid", 2*time.Second)
	time.Sleep(1500 * time.Millisecond) // what failed was tried again, and forgotten
	l.ip(l.sw, "link", "add", a.port, "type", "veth", "peer", "name", "eth0", "netns", a.ns)
	l.ip(l.sw, "link", "set", a.port, "master", "br0", "up")
	l.ip(a.ns, "addr", "add", a.addr+"/24", "dev", "eth0")
	l.ip(a.ns, "link", "set", "eth0", "up")
	a.becomes("master", 5*time.Second)
}

// A renamed carpdev gets its sysctls back all the same.
func TestRenamedCarpdev(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	was := a.must("cat /proc/sys/net/ipv4/conf/eth0/arp_announce")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	l.within(2*time.Second, "arp_announce is set", func() bool { return a.must("cat /proc/sys/net/ipv4/conf/eth0/arp_announce") != was })
	l.ip(a.ns, "link", "set", "eth0", "down")
	l.ip(a.ns, "link", "set", "eth0", "name", "lan0")
	a.becomes("invalid", 2*time.Second)
	a.stop()
	if now := a.must("cat /proc/sys/net/ipv4/conf/lan0/arp_announce"); now != was {
		t.Errorf("arp_announce is %s, was %s", now, was)
	}
}

// What is changed on a carpdev is put back, also when the engine was killed in between.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	dump := func() string {
		var out strings.Builder
		for _, what := range [][]string{{"-o", "link"}, {"-o", "addr"}, {"route", "show", "table", "all"}, {"-o", "maddr"}} {
			out.WriteString(l.ip(a.ns, what...))
		}
		for _, f := range []string{"arp_ignore", "arp_announce", "rp_filter", "arp_filter", "accept_local", "promote_secondaries"} {
			out.WriteString(f + " " + a.must("cat /proc/sys/net/ipv4/conf/eth0/"+f))
		}
		return out.String()
	}
	time.Sleep(2 * time.Second) // addresses of IPv6 settle
	before := dump()
	a.start()
	t.Cleanup(a.crash)
	a.serves()
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	if during := dump(); during == before {
		t.Error("nothing has changed while MASTER")
	}
	pid := a.engine()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.within(2*time.Second, "a new engine", func() bool { p := a.engine(); return p != pid && a.status("carp0") != "" })
	a.must("ifconfig-carp carp0 destroy")
	l.within(2*time.Second, "everything as before destroy", func() bool { return dump() == before })
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	a.stop()
	l.within(2*time.Second, "everything as before SIGTERM", func() bool { return dump() == before })
}
