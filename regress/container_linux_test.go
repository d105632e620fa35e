package regress

import (
	"os"
	"strings"
	"testing"
	"time"
)

// A jail is a view as containers have it, in a mount namespace: no /sys, /proc/sys to read only, and those capabilities alone.
const jail = `#!/bin/sh
caps=$1
shift
exec unshare -m sh -ec '
mount --make-rprivate /
mount -t tmpfs -o ro none /sys
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
caps=$1
shift
ulimit -l 64
ulimit -n 256
exec setpriv --bounding-set=-all,"$caps" --inh-caps=-all,"$caps" "$@"
' sh "$caps" "$@"
`

const (
	allCaps     = "+net_admin,+net_raw,+bpf"
	noGateLine  = "kernelsim: no gate (failed to make a map (it takes CAP_BPF and Linux 5.8): operation not permitted): a host that hangs goes on to answer\n"
	sysctlsLine = "/proc/sys/net: read-only file system; set net.ipv6.conf.default.accept_ra=0"
	engineLine  = "kernelsim: the engine did not start\n"
	memoryLine  = "memory that is not swapped out (RLIMIT_MEMLOCK): operation not permitted\n"
)

// In a container: what is missing is said by kernelsim -n and once at the start, and what can work works.
func TestContainer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		caps     string
		defaults string   // set by whoever makes the container
		no       []string // what -n misses
		code     int      // of -n
		log      []string // at the start, once each
		serves   bool
	}{
		{allCaps, "", []string{"sysctls of IPv6: " + sysctlsLine + " for this container\n"}, 0, []string{"kernelsim: " + sysctlsLine + " for this container\n"}, true},
		{allCaps, "net.ipv6.conf.default.accept_ra=0", nil, 0, nil, true},
		{"+net_admin,+net_raw", "net.ipv6.conf.default.accept_ra=0",
			[]string{
				"sysctls of IPv6: /proc/sys/net: read-only file system; set net.ipv6.conf.default.keep_addr_on_down=1 for this container\n",
				"gate: failed to make a map (it takes CAP_BPF and Linux 5.8): operation not permitted\n",
			}, 0,
			[]string{noGateLine, "kernelsim: /proc/sys/net: read-only file system; set net.ipv6.conf.default.keep_addr_on_down=1 for this container\n"}, true},
		{"+net_admin,+bpf", "net.ipv6.conf.default.accept_ra=0", []string{"packet sockets (CAP_NET_RAW): operation not permitted\n"}, 1,
			[]string{"kernelsim: failed to open a packet socket (it takes CAP_NET_RAW): operation not permitted\n"}, false},
		{"+net_raw,+bpf", "net.ipv6.conf.default.accept_ra=0",
			[]string{
				"links and addresses (CAP_NET_ADMIN): operation not permitted\n",
				"gate: failed to load program carp_link_in: operation not permitted (Linux 5.8)\n",
				"sysctls of IPv6: /proc/sys/net: read-only file system; set net.ipv6.conf.default.keep_addr_on_down=1 for this container\n",
			}, 1,
			[]string{"kernelsim: no gate (failed to load program carp_link_in: operation not permitted (Linux 5.8)): a host that hangs goes on to answer\n", "kernelsim: links and addresses take CAP_NET_ADMIN: operation not permitted\n", engineLine}, false},
	} {
		l := newLab(t)
		script := l.dir + "/jail"
		if err := os.WriteFile(script, []byte(jail), 0o700); err != nil {
			t.Fatal(err)
		}
		client, a := l.machine("client"), l.machine("a")
		if c.defaults != "" {
			a.must("sysctl -qw " + c.defaults)
		}
		// Stored before the start, so that -n has a carpdev to look for.
		a.do("ifconfig-carp carp0 vhid 1 carpdev eth0 " + fast + " " + vip)
		a.do("ifconfig-carp carp0 inet6 " + vip6)
		r := a.do(script + " " + c.caps + " kernelsim -n")
		want := append([]string{memoryLine}, c.no...)
		for _, line := range strings.SplitAfter(r.out, "\n") {
			text, no := strings.CutPrefix(line, "no\t")
			if !no {
				continue
			}
			known := false
			for i, w := range want {
				if w == text {
					want, known = append(want[:i], want[i+1:]...), true
					break
				}
			}
			if !known {
				t.Errorf("%s: -n misses %s", c.caps, line)
			}
		}
		if len(want) > 0 || r.code != c.code || r.err != "" || !strings.Contains(r.out, "ok\tcarp0: carpdev eth0\n") {
			t.Errorf("%s: -n exits with %d, does not miss %q\n%s%s", c.caps, r.code, want, r.out, r.err)
		}

		a.wrap = []string{script, c.caps}
		a.start()
		t.Cleanup(a.crash)
		if !c.serves {
			select {
			case <-a.ended:
				if code := a.sim.ProcessState.ExitCode(); code != 1 {
					t.Errorf("%s: exit %d", c.caps, code)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s: it has not ended", c.caps)
			}
		} else {
			a.becomes("master", 5*time.Second)
			a.locks(false)
			client.reaches(vip, virtualMAC)
			client.reaches(vip6, virtualMAC)
			// By netlink, since /proc/sys cannot be written: otherwise the carpdev would answer, too.
			for _, s := range []string{"ipv4.conf.carp0.arp_ignore = 1", "ipv4.conf.carp0.rp_filter = 2", "ipv4.conf.eth0.arp_ignore = 1", "ipv4.conf.eth0.arp_announce = 2", "ipv6.conf.carp0.addr_gen_mode = 1"} {
				name, _, _ := strings.Cut(s, " ")
				if out := a.must("sysctl net." + name); out != "net."+s+"\n" {
					t.Errorf("%s: %s", c.caps, out)
				}
			}
			out := client.exec("arping", "-c", "2", "-w", "1", "-i", "eth0", vip).out
			if strings.Contains(out, a.mac("eth0")) || !strings.Contains(out, virtualMAC) {
				t.Errorf("%s: arping: %s", c.caps, out)
			}
			a.must("ifconfig-carp carp0 advbase 20 state backup")
			silentBackup(t, client, a)
			a.stop()
			for _, s := range []string{"arp_ignore", "arp_announce"} {
				if out := a.must("sysctl -n net.ipv4.conf.eth0." + s); out != "0\n" {
					t.Errorf("%s: %s is not put back: %s", c.caps, s, out)
				}
			}
			if out := l.ip(a.ns, "-o", "link"); strings.Contains(out, ": carp") {
				t.Errorf("%s: left: %s", c.caps, out)
			}
		}
		log := a.readLog()
		for _, line := range c.log {
			if strings.Count(log, line) != 1 {
				t.Errorf("%s: not said once: %s", c.caps, line)
			}
		}
		if n := strings.Count(log, "kernelsim: "); n != len(c.log) || t.Failed() {
			t.Errorf("%s: the log:\n%s", c.caps, log)
		}
	}
}
