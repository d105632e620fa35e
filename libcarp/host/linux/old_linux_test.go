package linux

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/host/linux/gate"
)

// Without protodown, as on a kernel before 5.1, a backup's link is administratively down, behind the gate, and that is said once.
func TestNoProtodown(t *testing.T) {
	inNetwork(t, func(l *lab) {
		if os.Getuid() != 0 {
			t.Fatal("needs root, for eBPF")
		}
		g, err := gate.New("test")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.host.Close(); err != nil {
			t.Fatal(err)
		}
		said := make(chan string, 16)
		if l.host, err = Open(Options{Mark: "test", Gate: g, Logf: t.Logf, Warnf: func(f string, a ...any) { said <- fmt.Sprintf(f, a...) }}); err != nil {
			t.Fatal(err)
		}
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
		amiss := func(d time.Duration) bool {
			select {
			case <-l.host.Amiss():
				return true
			case <-time.After(d):
				return false
			}
		}
		masters := func() {
			for n := uint8(1); n <= 2; n++ {
				l.ensure(l.carp(n, true, fmt.Sprintf("192.168.1.1%d/24", n-1), fmt.Sprintf("2001:db8::1%d/64", n-1)))
			}
		}
		for amiss(200 * time.Millisecond) { // while it was made, it was not what it has to be
			masters()
		}
		if amiss(1200 * time.Millisecond) {
			t.Error("what is as it has to be is amiss")
		}
		if text := <-said; !strings.HasPrefix(text, "kernelsim: no protodown (") || len(said) != 0 {
			t.Errorf("%d messages, the first %q", len(said)+1, text)
		}
	})
}
