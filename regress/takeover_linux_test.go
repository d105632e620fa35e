package regress

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
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
				for _, dir := range []string{"", "want"} {
					if err := os.MkdirAll(filepath.Join(m.state, dir), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				for vhid := 1; vhid <= c.carps; vhid++ {
					words := fmt.Sprintf("vhid %d advbase 1 advskew %d carpdev eth0", vhid, 100*n)
					m.offline(fmt.Sprintf("ifconfig-carp carp%d %s", vhid-1, words))
					for i := 0; i < c.addrs; i++ {
						addr := fmt.Sprintf("192.168.%d.%d", 2+i, vhid)
						want[mustAddr(addr)] = true
						m.offline(fmt.Sprintf("ifconfig-carp carp%d alias %s/24", vhid-1, addr))
					}
				}
			}
			start := time.Now()
			a.start()
			t.Cleanup(a.crash)
			a.serves()
			all := func(m *machine, status string, d time.Duration) {
				t.Helper()
				l.within(d, fmt.Sprintf("all carps of %s are %s", m.name, status), func() bool {
					for n := c.carps - 1; n >= 0; n-- {
						if m.status(fmt.Sprint("carp", n)) != status {
							return false
						}
					}
					return true
				})
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

// offline stores a configuration for a kernelsim that does not run yet.
func (m *machine) offline(line string) {
	m.lab.t.Helper()
	if r := m.do(line); r.code != 0 || r.err != "ifconfig: kernelsim is not running; configuration stored\n" {
		m.lab.t.Fatalf("%s: %+v", line, r)
	}
}
