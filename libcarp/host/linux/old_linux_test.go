package linux

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Without protodown, as on a kernel before 5.1, a backup's link is administratively down, behind the gate, and that is said once.
func TestNoProtodown(t *testing.T) {
	inNetwork(t, func(l *lab) {
		said := make(chan string, 16)
		l.gated(func(f string, a ...any) { said <- fmt.Sprintf(f, a...) })
		l.host.guard.protodown = func(int, bool) error { return unix.EOPNOTSUPP }
		up := func(carp string) bool {
			ifi, err := net.InterfaceByName(carp)
			if err != nil {
				t.Fatal(err)
			}
			return ifi.Flags&net.FlagUp != 0
		}
		asked := func(what string, want bool) {
			t.Helper()
			l.inject(arp(1, broadcast, theirs, "192.168.1.2", "192.168.1.10"))
			l.inject(solicit(theirs, "fe80::2", "2001:db8::10"))
			if want {
				l.sees(what+": an answer", answers("192.168.1.10"))
				l.sees(what+": an advertisement", told("2001:db8::10"))
				return
			}
			l.quiet(what, func(f []byte) bool { return answers("192.168.1.10")(f) || told("2001:db8::10")(f) })
		}
		for range 2 {
			for _, master := range []bool{false, true} {
				for n := uint8(1); n <= 2; n++ {
					l.ensure(l.carp(n, master, fmt.Sprintf("192.168.1.1%d/24", n-1), fmt.Sprintf("2001:db8::1%d/64", n-1)))
					if got := up(fmt.Sprintf("carp%d", n)); got != master {
						t.Errorf("carp%d, master %t: up %t", n, master, got)
					}
				}
				if master { // with a lease alone
					asked("a master without a lease", false)
					var now unix.Timespec
					unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
					l.host.Renew("carp1", now.Nano()+int64(5*time.Second))
				}
				asked(fmt.Sprintf("master %t", master), master)
			}
		}
		masters := func() {
			for n := uint8(1); n <= 2; n++ {
				l.ensure(l.carp(n, true, fmt.Sprintf("192.168.1.1%d/24", n-1), fmt.Sprintf("2001:db8::1%d/64", n-1)))
			}
		}
		for l.amiss(200 * time.Millisecond) { // while it was made, it was not what it has to be
			masters()
		}
		if l.amiss(1200 * time.Millisecond) {
			t.Error("what is as it has to be is amiss")
		}
		if text := <-said; !strings.HasPrefix(text, "kernelsim: no protodown (") || len(said) != 0 {
			t.Errorf("%d messages, the first %q", len(said)+1, text)
		}
	})
}

// Without a metric on addresses, as on a kernel before 4.18, which has no gate either, what a dead run has left on a carpdev and is configured
// is taken for its own: a backup takes it away, or it would answer, and a master keeps it.
func TestNoMetric(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.host.own.marks = false
		addrs := func() string { return l.ip("addr", "show", "dev", "eth0") }
		l.ip("addr", "add", "192.168.1.77/32", "dev", "eth0") // the host's own
		for n, master := range []bool{false, true} {
			c := l.carp(uint8(n+1), master, fmt.Sprintf("192.168.1.1%d/24", n), fmt.Sprintf("2001:db8::1%d/64", n))
			c.Own, c.MAC = true, l.mac
			dead := newOwner(Options{Mark: "test", Logf: t.Logf})
			dead.marks = false
			for _, p := range single(linkAddrs(c)) {
				if err := dead.add(c.Name, placed{l.eth0, p.prefix}); err != nil {
					t.Fatal(err)
				}
			}
			left := fmt.Sprintf(" 192.168.1.1%d/32 scope link", n)
			if now := addrs(); !strings.Contains(now, left) || strings.Contains(now, "metric") {
				t.Fatalf("a dead run has left %s", now)
			}
			l.ensure(c)
			now := addrs()
			for _, p := range single(linkAddrs(c)) {
				if strings.Contains(now, " "+p.prefix.String()+" ") != master {
					t.Errorf("master %t: %s: %s", master, p.prefix, now)
				}
			}
			if err := l.host.Remove(c.Name); err != nil {
				t.Fatal(err)
			}
			if now := addrs(); strings.Contains(now, left) || !strings.Contains(now, " 192.168.1.77/32 ") {
				t.Errorf("master %t: removed: %s", master, now)
			}
		}
	})
	if !kernelIs(4, 18) || kernelIs(4000, 0) {
		t.Error("the version of the kernel")
	}
}
