package regress

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitDescriptors lets a process open nothing that gets a number of n or more; what it returns puts that back.
func limitDescriptors(t *testing.T, pid int, n uint64) (back func()) {
	t.Helper()
	set := func(to, before *unix.Rlimit) {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, to, before); err != nil {
			t.Fatal(err)
		}
	}
	var before unix.Rlimit
	set(nil, &before)
	set(&unix.Rlimit{Cur: n, Max: before.Max}, nil)
	return func() { t.Helper(); set(&before, nil) }
}

// An engine that can open nothing more, neither a file nor a socket, takes over and gives way all the same, and sees that its carpdev goes down.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-v"}, {"-g", "-v"}} {
		l := newLab(t)
		client, a, b := l.machine("client"), l.host("a", args...), l.host("b", args...)
		a.must(fmt.Sprintf("sysctl -qw net.ipv4.ip_default_ttl=%d", ttlOfA))
		c := client.capture()
		for _, m := range []*machine{b, a} {
			m.must("ifconfig-carp carp0 vhid 1 advbase 20 " + vip + "/24")
			m.must("ifconfig-carp carp0 inet6 " + vip6 + "/64")
			m.becomes("backup", 5*time.Second)
		}
		b.must("ifconfig-carp carp0 " + fast + " state master")
		b.becomes("master", 5*time.Second)
		a.must("ifconfig-carp carp0 " + fast)
		back := limitDescriptors(t, a.engine(), 3)
		l.ip(a.ns, "addr", "del", vip+"/24", "dev", "carp0") // somebody's hands

		from := c.count()
		b.must("ifconfig-carp carp0 down")
		c.wait(t, from, 5*time.Second, "the announcement of a", announcement(vip))
		client.reaches(vip, virtualMAC)
		client.reaches(vip6, virtualMAC)

		b.must("ifconfig-carp carp0 advskew 20 up")
		b.must("ifconfig-carp carp0 state master")
		l.within(5*time.Second, "a gives way", func() bool { return strings.Contains(a.readLog(), "carp0: state transition: MASTER -> BACKUP\n") })
		from = c.count()
		client.reaches(vip, virtualMAC)
		if all, own := c.since(from, func(f *frame) bool { return answers(true)(f) || answers(false)(f) }), c.since(from, answers(true)); len(all) == 0 || len(own) > 0 {
			t.Errorf("%q: of %d answers %d are a's", args, len(all), len(own))
		}

		l.ip(a.ns, "link", "set", "eth0", "down")
		l.within(5*time.Second, "a sees that its carpdev is down", func() bool { return strings.Contains(a.readLog(), "carp0: state transition: BACKUP -> INIT\n") })
		back()
		l.ip(a.ns, "link", "set", "eth0", "up")
		a.becomes("backup", 5*time.Second)
		a.stop()
	}
}

// Nor can a supervisor start an engine then: it silences the host, without the gate too, and bows out. A new program is refused, and confined as any
// other when it can be started.
func TestNoDescriptorsOfSupervisor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a", "-g"), l.host("b")
	a.must(fmt.Sprintf("sysctl -qw net.ipv4.ip_default_ttl=%d", ttlOfA))
	c := client.capture()
	for _, m := range []*machine{a, b} {
		m.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 64 " + vip)
		m.becomes("backup", 5*time.Second)
	}
	a.must("ifconfig-carp carp0 state master")
	client.reaches(vip, virtualMAC)
	back := limitDescriptors(t, a.sim.Process.Pid, 3)
	logged := func(text string) func() bool { return func() bool { return strings.Contains(a.readLog(), text) } }
	syscall.Kill(a.sim.Process.Pid, syscall.SIGHUP)
	l.within(5*time.Second, "a new program is refused", logged("cannot take over (pipe2: too many open files), the old one goes on\n"))
	from := c.count()
	c.wait(t, from, 5*time.Second, "an advert of a", advertFrom(a.addr))
	syscall.Kill(a.engine(), syscall.SIGKILL)
	_, from = c.wait(t, from, 5*time.Second, "the bow-out of a", func(f *frame) bool { return advertFrom(a.addr)(f) && f.advert.IsBowOut() })
	b.becomes("master", 5*time.Second)
	client.reaches(vip, virtualMAC)
	if own := c.since(from, answers(true)); len(own) > 0 {
		t.Errorf("a answers %d times after it has bowed out", len(own))
	}
	back()
	a.becomes("backup", 15*time.Second)
	syscall.Kill(a.sim.Process.Pid, syscall.SIGHUP)
	l.within(10*time.Second, "a new program takes over", logged("kernelsim: the new program has taken over\n"))
	if logged("not confined")() {
		t.Error("it is not confined")
	}
	a.stop()
}
