package regress

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// claims4 and claims6 are frames that tell everybody that a shared address is the attacker's.
func (x *attacker) claims4(addr string) []byte {
	a := netip.MustParseAddr(addr).AsSlice()
	b := append([]byte{255, 255, 255, 255, 255, 255}, x.mac...)
	b = append(append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1), x.mac...)
	return append(append(append(b, a...), 0, 0, 0, 0, 0, 0), a...)
}

func (x *attacker) claims6(addr string) []byte {
	a := netip.MustParseAddr(addr).AsSlice()
	group := []byte{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	icmp := append(append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, a...), 2, 1)
	icmp = append(icmp, x.mac...)
	pseudo := append(append(append([]byte{}, a...), group...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	sum := wire.Checksum(append(pseudo, icmp...))
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	b := append(append([]byte{0x33, 0x33, 0, 0, 0, 1}, x.mac...), 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255)
	return append(append(append(b, a...), group...), icmp...)
}

// flood sends frames, so many in a second, for that long, and returns how many.
func (x *attacker) flood(frame []byte, rate int, d time.Duration) (n int) {
	fd := x.packetSocket()
	defer unix.Close(fd)
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Millisecond) {
		for due := int(time.Since(began).Seconds() * float64(rate)); n < due; n++ {
			unix.Write(fd, frame)
		}
	}
	return n
}

// duplicates returns what a host has logged of strangers.
func (m *machine) duplicates() (lines []string) {
	for _, line := range strings.Split(m.readLog(), "\n") {
		if strings.Contains(line, "duplicate IP") {
			lines = append(lines, line)
		}
	}
	return lines
}

// A stranger tells everybody that the shared addresses are his. The master says so in its log, and the client finds it again at once; the backup says
// nothing. Floods of such claims, and of others that concern nobody, cost little time and no advert, also after a restart.
func TestDuplicateAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, x, a, b := l.machine("client"), l.attacker(), l.host("a"), l.host("b")
	for _, m := range []*machine{a, b} {
		m.must("ifconfig-carp carp0 vhid 1 " + fast + " " + vip)
		m.must("ifconfig-carp carp1 vhid 2 " + fast + " carpdev eth0")
		m.must("ifconfig-carp carp1 inet6 " + vip6)
		if m == a {
			l.within(5*time.Second, "two masters", func() bool { return a.status("carp0") == "master" && a.status("carp1") == "master" })
		}
	}
	const mac6 = "00:00:5e:00:01:02"
	client.reaches(vip, virtualMAC)
	client.reaches(vip6, mac6)
	time.Sleep(300 * time.Millisecond) // the master has announced for the last time
	transitions := strings.Count(a.readLog()+b.readLog(), "transition")

	c := client.capture()
	fd := x.packetSocket()
	for _, claim := range []struct {
		addr, mac string
		frame     []byte
	}{{vip, virtualMAC, x.claims4(vip)}, {vip6, mac6, x.claims6(vip6)}} {
		from := c.count()
		if _, err := unix.Write(fd, claim.frame); err != nil {
			t.Fatal(err)
		}
		said, at := c.wait(t, from, time.Second, "the claim", announcement(claim.addr))
		answer, _ := c.wait(t, at+1, 3*time.Second, "an announcement", announcement(claim.addr))
		if said.from.String() != x.mac.String() || answer.from.String() != claim.mac {
			t.Errorf("%s is claimed by %s, announced by %s", claim.addr, said.from, answer.from)
		}
		d := answer.at.Sub(said.at)
		t.Logf("%s is announced %v after the claim", claim.addr, d)
		if d > time.Second { // it would have announced again two seconds after
			t.Errorf("announced %v after the claim", d)
		}
		time.Sleep(5 * time.Millisecond)
		if out := l.ip(client.ns, "neigh", "show", claim.addr); !strings.Contains(out, "lladdr "+claim.mac) {
			t.Errorf("the client's entry: %s", out)
		}
	}
	unix.Close(fd)
	from := " sent from ethernet address " + x.mac.String()
	want := []string{"duplicate IP address " + vip + from, "nd6_na_input: duplicate IP6 address " + vip6 + from}
	if got := a.duplicates(); len(got) != 2 || !strings.HasSuffix(got[0], want[0]) || !strings.HasSuffix(got[1], want[1]) {
		t.Errorf("the master's log: %q", got)
	}

	client.cut() // it has heard enough
	a.sim.Process.Signal(unix.SIGHUP)
	old := a.engine()
	l.within(5*time.Second, "another engine", func() bool { return a.engine() != old && a.do("ifconfig-carp carp0").err == "" })
	time.Sleep(100 * time.Millisecond)
	pid := a.engine()
	const rate, d = 50000, 300 * time.Millisecond
	quiet := time.Duration(0)
	for _, addr := range []string{"", "192.168.1.99", vip} {
		n, before, start := 0, cpu(t, pid), time.Now()
		if addr != "" {
			n = x.flood(x.claims4(addr), rate, d)
		} else {
			time.Sleep(d)
		}
		took, used := time.Since(start), time.Duration(cpu(t, pid)-before)*10*time.Millisecond
		t.Logf("%d claims of %q in %v: %v of the engine's time", n, addr, took.Round(time.Millisecond), used)
		if addr == "" {
			quiet = used
		} else if used > quiet+took/10 {
			t.Errorf("a flood of claims of %s for %v took %v of the engine's time, and %v without", addr, took, used, quiet)
		}
	}
	if a.engine() != pid {
		t.Error("the engine is another now")
	}
	if got := a.duplicates(); len(got) != 3 { // the new engine's first
		t.Errorf("the master's log after the floods: %q", got)
	}
	if got := b.duplicates(); len(got) != 0 {
		t.Errorf("the backup's log: %q", got)
	}
	if n := strings.Count(a.readLog()+b.readLog(), "transition"); n != transitions {
		t.Errorf("transitions: %s%s", a.readLog(), b.readLog())
	}
}

// With the carpdev's own MAC each fail-over is another MAC for the same address, and no stranger's.
func TestOwnMACIsNoDuplicate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.host("a"), l.host("b")
	for _, m := range []*machine{a, b} {
		m.must("sysctl-carp net.inet.carp.preempt=1")
		m.ownMAC(fast)
	}
	b.must("ifconfig-carp carp0 advskew 40")
	settledOn(a, b)
	for range trials(1, 50) {
		a.must("ifconfig-carp carp0 down") // it bows out
		b.becomes("master", 5*time.Second)
		a.must("ifconfig-carp carp0 up") // and comes back, before it should
		settledOn(a, b)
		b.must("ifconfig-carp carp0 state master") // both are, until one hears the other
		settledOn(a, b)
	}
	if got := append(a.duplicates(), b.duplicates()...); len(got) != 0 {
		t.Errorf("logged: %q", got)
	}
}
