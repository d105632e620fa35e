package regress

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// How long a takeover takes, from the last advert to the last announcement, with many virtual hosts and with many addresses.
func TestTakeover(t *testing.T) {
	for _, c := range []struct {
		carps, addrs int
		limit        time.Duration // beyond the master-down time
	}{
		{1, 1, 100 * time.Millisecond},
		{1, 64, 200 * time.Millisecond},
		{255, 1, 3 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d virtual hosts with %d addresses", c.carps, c.addrs), func(t *testing.T) {
			l := newLab(t)
			client := l.machine("client")
			capture := client.capture()
			a, b := l.machine("a"), l.machine("b")
			want := map[netip.Addr]bool{}
			for n, m := range []*machine{a, b} {
				m.stored(c.carps, func(i *config.Interface, number int) {
					i.Carpdev, i.Nodes[0] = "eth0", config.Node{VHID: uint8(number + 1), Advskew: uint8(100 * n)}
					for k := range c.addrs {
						p := mustAddr(fmt.Sprintf("192.168.%d.%d", 2+k, number+1))
						want[p] = true
						i.Addrs = append(i.Addrs, netip.PrefixFrom(p, 24))
					}
				})
			}
			start := time.Now()
			a.start()
			t.Cleanup(a.crash)
			a.serves()
			all := func(m *machine, status string, d time.Duration) {
				t.Helper()
				l.within(d, fmt.Sprintf("all carps of %s are %s", m.name, status), func() bool { return m.count(status) == c.carps })
			}
			all(a, "master", 60*time.Second)
			t.Logf("from the start to all master: %v", time.Since(start).Round(time.Millisecond))
			b.start()
			t.Cleanup(b.crash)
			b.serves()
			all(b, "backup", 60*time.Second)
			time.Sleep(5 * time.Second)
			all(b, "backup", 5*time.Second)
			from := capture.count()
			a.cut()
			time.Sleep(5 * time.Millisecond)
			adverts := capture.since(0, advertFrom(a.addr))
			last := adverts[len(adverts)-1].at
			var lastFrame frame
			for at := from; len(want) > 0; at++ {
				lastFrame, at = capture.wait(t, at, 30*time.Second, "announcements", func(f *frame) bool { return want[f.garp] })
				delete(want, lastFrame.garp)
			}
			took := lastFrame.at.Sub(last)
			const masterDown = 3*time.Second + 3*100*time.Second/256
			t.Logf("last advert to last announcement: %v, %v of it beyond the master-down time", took.Round(time.Millisecond), (took - masterDown).Round(time.Millisecond))
			if took > masterDown+c.limit {
				t.Errorf("more than %v beyond", c.limit)
			}
			start = time.Now()
			b.stop()
			t.Logf("stopped in %v", time.Since(start).Round(time.Millisecond))
		})
	}
}

// A thousand virtual hosts on one machine, on four carpdevs: all run, with one socket for each carpdev, and go at once.
func TestThousand(t *testing.T) {
	l := newLab(t)
	a := l.machine("a")
	for _, leg := range []string{"eth1", "eth2", "eth3"} {
		port := a.port + leg
		l.ip(l.sw, "link", "add", port, "type", "veth", "peer", "name", leg, "netns", a.ns)
		l.ip(l.sw, "link", "set", port, "up") // a LAN of its own
		l.ip(a.ns, "link", "set", leg, "up")
	}
	a.stored(1000, func(i *config.Interface, number int) {
		i.Carpdev, i.Nodes[0] = fmt.Sprint("eth", number%4), config.Node{VHID: uint8(number/4 + 1)}
		i.Addrs = []netip.Prefix{netip.PrefixFrom(mustAddr(fmt.Sprintf("10.%d.0.%d", number%4, number/4+1)), 24)}
	})
	start := time.Now()
	a.start()
	t.Cleanup(a.crash)
	l.within(60*time.Second, "all are master", func() bool { return a.count("master") == 1000 })
	t.Logf("from the start to all master: %v", time.Since(start).Round(time.Millisecond))
	if n := strings.Count(a.must("cat /proc/net/packet"), "\n") - 1; n != 2*4+1 {
		t.Errorf("%d packet sockets, not two for each of 4 carpdevs, for adverts and for ARP, and the supervisor's", n)
	}
	start = time.Now()
	a.stop()
	t.Logf("stopped in %v", time.Since(start).Round(time.Millisecond))
	if out := l.ip(a.ns, "-o", "link"); strings.Contains(out, ": carp") {
		t.Error("links are left")
	}
}

// count returns how many carps have a status.
func (m *machine) count(status string) int {
	r, err := outcome(m.command("ifconfig-carp", "carp"))
	if err != nil || r.err != "" {
		return 0
	}
	return strings.Count(r.out, "\tstatus: "+status+"\n")
}

// stored writes the configuration of carps for a kernelsim that does not run yet, as commands before it would.
func (m *machine) stored(carps int, fill func(i *config.Interface, number int)) {
	t := m.lab.t
	t.Helper()
	// In memory, as /var/run is: a thousand files are renamed at the end.
	dir, err := os.MkdirTemp("/dev/shm", m.ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m.state = filepath.Join(dir, "carp")
	if r := m.do("sysctl-carp net.inet.carp.preempt=0"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for n := range carps {
		i := config.NewInterface(fmt.Sprint("carp", n), n)
		i.Up = true
		fill(i, n)
		if err := os.WriteFile(filepath.Join(m.state, "want", i.Name), config.FormatWant(i.Clauses()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
