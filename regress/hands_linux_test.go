package regress

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
)

// look returns what somebody else could change of carp0 and what it rests on.
func (m *machine) look(what string) string {
	m.lab.t.Helper()
	out := ""
	switch what {
	case "link":
		for _, args := range []string{"-o -d link show dev carp0", "-o addr show dev carp0", "-o addr show dev eth0"} {
			r, err := outcome(m.command(append([]string{"ip"}, strings.Fields(args)...)...))
			if err != nil {
				m.lab.t.Fatal(err)
			}
			out += r.out
		}
		for _, line := range strings.SplitAfter(out, "\n") { // the index is another one when it was deleted, and addresses may be in another order
			if _, text, ok := strings.Cut(line, ": "); ok {
				out = strings.Replace(out, line, text, 1)
			}
		}
		lines := strings.Split(out, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	case "filters":
		for _, dev := range []string{"carp0", "eth0", "eth1"} {
			n := strings.Count(m.filters(dev), " direct-action")
			out += fmt.Sprintln(dev, n, strings.Count(m.filters(dev), "carp-gate"))
		}
	default: // a sysctl
		inNamespace(m.lab.t, m.ns, func() error {
			data, err := os.ReadFile("/proc/thread-self/root/proc/sys/net/" + what)
			out = string(data)
			return err
		})
	}
	return out
}

// set writes a sysctl of the machine.
func (m *machine) set(key, value string) {
	m.lab.t.Helper()
	inNamespace(m.lab.t, m.ns, func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) })
}

// third gives the machine an interface that is no carpdev.
func (m *machine) third() {
	m.lab.t.Helper()
	m.lab.ip(m.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "far", "netns", m.lab.sw)
	m.lab.ip(m.ns, "link", "set", "eth1", "up")
}

// A meddling is what somebody else does to a host with carp0: commands, and where it can be seen.
type meddling struct {
	name  string
	does  []string // commands, or a sysctl and its value
	seen  string
	limit time.Duration
}

func (m *machine) meddlings() []meddling {
	const told, looked = 100 * time.Millisecond, 1100 * time.Millisecond // a second, and what it takes to put it right
	all := []meddling{
		{"addr flush", []string{"ip addr flush dev carp0"}, "link", told},
		{"addr del", []string{"ip addr del 192.168.1.10/24 dev carp0"}, "link", told},
		{"addr del, IPv6", []string{"ip addr del 2001:db8:1::10/64 dev carp0"}, "link", told},
		{"addr add", []string{"ip addr add 192.168.1.66/32 dev carp0"}, "link", told},
		{"down", []string{"ip link set carp0 down"}, "link", told},
		{"down and up", []string{"ip link set carp0 down", "ip link set carp0 up"}, "link", told},
		{"address", []string{"ip link set carp0 address 02:00:00:00:00:99"}, "link", told},
		{"mode", []string{"ip link set carp0 type macvlan mode bridge"}, "link", told},
		{"name", []string{"ip link set carp0 name other"}, "link", told},
		{"arp off", []string{"ip link set carp0 arp off"}, "link", told},
		{"del", []string{"ip link del carp0"}, "link", told},
		{"all filters, carp0", []string{"tc qdisc del dev carp0 clsact"}, "filters", told},
		{"all filters, eth0", []string{"tc qdisc del dev eth0 clsact"}, "filters", told},
		{"all filters, eth1", []string{"tc qdisc del dev eth1 clsact"}, "filters", told},
		{"one filter", []string{"tc filter del dev eth0 ingress pref 1"}, "filters", told},
		{"no IPv6 for a moment", []string{"ipv6/conf/all/disable_ipv6=1", "ipv6/conf/all/disable_ipv6=0", "ip addr add " + m.addr6 + "/64 dev eth0 nodad",
			"ip addr add " + m.local + "/64 dev eth0 nodad"}, "link", told},
		{"rp_filter", []string{"ipv4/conf/carp0/rp_filter=1"}, "ipv4/conf/carp0/rp_filter", told},
	}
	keys := []string{
		"ipv4/conf/eth0/arp_ignore=0", "ipv4/conf/eth0/arp_announce=0", "ipv4/conf/carp0/arp_ignore=0", "ipv4/conf/carp0/promote_secondaries=0",
		"ipv6/conf/carp0/accept_ra=1", "ipv6/conf/carp0/keep_addr_on_down=0", "ipv6/conf/carp0/addr_gen_mode=0",
	}
	if !long { // each by itself is tested in libcarp/host/linux
		return append(all, meddling{"sysctls", keys, "ipv6/conf/carp0/keep_addr_on_down", looked})
	}
	for _, key := range keys {
		name, _, _ := strings.Cut(key, "=")
		all = append(all, meddling{name, []string{key}, name, looked})
	}
	return all
}

// ownMeddlings are what can be done where the addresses are on the carpdev: to them, and to the link that shows the state.
func (m *machine) ownMeddlings() (all []meddling) {
	for _, d := range m.meddlings() {
		if !strings.HasPrefix(d.name, "addr ") || d.name == "addr add" {
			all = append(all, d)
		}
	}
	const told = 100 * time.Millisecond
	return append(all,
		meddling{"carpdev, flush", []string{"ip -4 addr flush dev eth0", "ip addr add " + m.addr + "/24 dev eth0"}, "link", told},
		meddling{"carpdev, addr del", []string{"ip addr del 192.168.1.10/32 dev eth0"}, "link", told},
		meddling{"carpdev, addr del, IPv6", []string{"ip addr del 2001:db8:1::10/128 dev eth0"}, "link", told},
		meddling{"carpdev, addr del, link-local", []string{"ip addr del fe80::200:5eff:fe00:101/128 dev eth0"}, "link", told},
	)
}

// meddle does it and returns how long it took until all was as before.
func (m *machine) meddle(d meddling, before string) time.Duration {
	m.lab.t.Helper()
	for _, c := range d.does {
		if key, value, ok := strings.Cut(c, "="); ok {
			m.set(key, value)
		} else {
			m.must(c)
		}
	}
	// On a busy machine to look takes longer than to mend: what counts is when the look began that saw it mended.
	at := time.Now()
	for time.Since(at) < 5*time.Second {
		looked := time.Now()
		if m.look(d.seen) == before {
			return looked.Sub(at)
		}
		time.Sleep(2 * time.Millisecond)
	}
	m.lab.t.Fatalf("%s: not mended: %s\nbefore: %s", d.name, m.look(d.seen), before)
	return 0
}

// What somebody else's hands do is mended, on a master and on a backup; the master stays master, and the backup silent.
func TestMeddling(t *testing.T)       { testMeddling(t, false) }
func TestOwnMACMeddling(t *testing.T) { testMeddling(t, true) }

func testMeddling(t *testing.T, own bool) {
	for _, state := range []string{"master", "backup"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel() // to the other: most of the time is waited for
			l := newLab(t)
			client, a := l.machine("client"), l.host("a")
			a.third()
			words, mac, all := "advbase 200", virtualMAC, a.meddlings() // nobody times out in ten minutes
			if own {
				mac = a.mac("eth0")
				words, all = words+" lladdr "+mac, a.ownMeddlings()
			}
			a.must("ifconfig-carp carp0 vhid 1 carpdev eth0 " + words + " 192.168.1.10")
			a.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
			a.becomes("backup", 5*time.Second)
			if state == "master" {
				a.must("ifconfig-carp carp0 state master")
			}
			for _, d := range all {
				s := &series{name: state + ", " + d.name}
				time.Sleep(50 * time.Millisecond)
				before := a.look(d.seen)
				for n := 0; n < trials(3, 20); n++ {
					if long {
						time.Sleep(120 * time.Millisecond) // it is no fight
					}
					control := startControl(t, time.Now().Add(10*time.Millisecond))
					took := a.meddle(d, before)
					if control.late(t) > controlLimit && s.repeated < 20 {
						s.repeated++
						n--
						continue
					}
					s.late = append(s.late, took)
					if n > 0 {
						continue
					}
					if state == "backup" {
						l.ip(client.ns, "neigh", "replace", "192.168.1.10", "lladdr", mac, "dev", "eth0", "nud", "permanent")
						if r := client.do("ping -n -c 3 -i 0.02 -W 0.1 192.168.1.10"); r.code == 0 {
							t.Errorf("%s: an answer", s.name)
						}
						l.ip(client.ns, "neigh", "del", "192.168.1.10", "dev", "eth0")
					} else if !client.ping("192.168.1.10") || !client.ping("2001:db8:1::10") {
						t.Errorf("%s: no answer", s.name)
					}
				}
				s.judge(t, d.limit, d.limit+200*time.Millisecond)
				if s := a.status("carp0"); s != state {
					t.Errorf("after %s it is %s", d.name, s)
				}
			}
			if n := strings.Count(a.readLog(), "transition"); n > 2 {
				t.Errorf("%s: transitions: %s", state, a.readLog())
			}
		})
	}
}

// One of 255 is mended as soon as one alone.
func TestMeddlingAmongMany(t *testing.T) {
	l := newLab(t)
	a := l.machine("a")
	a.stored(255, func(i *config.Interface, number int) {
		i.Carpdev, i.Nodes[0], i.Advbase = "eth0", config.Node{VHID: uint8(number + 1)}, 1
		i.Addrs = []netip.Prefix{netip.PrefixFrom(mustAddr(fmt.Sprintf("10.0.0.%d", number+1)), 24), netip.PrefixFrom(mustAddr(fmt.Sprintf("2001:db8:9::%x", number+1)), 64)}
	})
	a.third()
	a.start()
	t.Cleanup(a.crash)
	l.within(60*time.Second, "all are master", func() bool { return a.count("master") == 255 })
	for _, d := range a.meddlings() {
		if !slices.Contains([]string{"addr flush", "down", "del", "all filters, eth0", "rp_filter", "sysctls", "ipv4/conf/eth0/arp_ignore"}, d.name) {
			continue
		}
		time.Sleep(100 * time.Millisecond)
		before := a.look(d.seen)
		s := &series{name: "of 255, " + d.name}
		for n := 0; n < trials(1, 20); n++ {
			if long {
				time.Sleep(120 * time.Millisecond)
			}
			control := startControl(t, time.Now().Add(10*time.Millisecond))
			took := a.meddle(d, before)
			if control.late(t) > controlLimit && s.repeated < 20 {
				s.repeated++
				n--
				continue
			}
			s.late = append(s.late, took)
		}
		s.judge(t, d.limit, d.limit+200*time.Millisecond)
	}
	if n := a.count("master"); n != 255 {
		t.Errorf("%d are master", n)
	}
}
