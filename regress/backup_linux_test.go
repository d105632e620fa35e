package regress

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// A switch that learns nothing brings the backup all that the master gets. It forwards none of it: no ping through the pair is answered twice,
// translated or not, of either family.
func TestFloodingRouters(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	for _, line := range strings.Split(s.ip(s.sw, "-o", "link", "show"), "\n") {
		if strings.Contains(line, " master br") {
			port, _, _ := strings.Cut(strings.Fields(line)[1], "@")
			s.ip(s.sw, "link", "set", port, "type", "bridge_slave", "learning", "off", "flood", "on", "fdb_flush")
		}
	}
	s.works(s.a)
	flooded := s.b.capture()
	for _, to := range []string{server, serverPlain, server6, serverPlain6} {
		from := flooded.count()
		out := s.desk.must("ping -n -q -c 50 -i 0.01 -W 1 " + to)
		if !strings.Contains(out, " 50 received") || strings.Contains(out, "duplicates") {
			t.Errorf("to %s: %s", to, out)
		}
		toVirtual := func(f *frame) bool { return strings.HasPrefix(string(f.data), "\x00\x00\x5e\x00\x01") }
		if n := len(flooded.since(from, toVirtual)); n < 50 {
			t.Errorf("to %s: the backup gets %d frames for the virtual address: the test sees nothing", to, n)
		}
	}
}

// echoesIn returns how many echo requests have been delivered on the machine.
func (m *machine) echoesIn() int {
	m.lab.t.Helper()
	var names []string
	for _, line := range strings.Split(m.must("cat /proc/net/snmp"), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Icmp:" {
			continue
		}
		if i := slices.Index(names, "InEchos"); i > 0 {
			n, err := strconv.Atoi(f[i])
			if err != nil {
				m.lab.t.Fatal(err)
			}
			return n
		}
		names = f
	}
	m.lab.t.Fatal("no InEchos")
	return 0
}

// Frames with a priority tag, which is that of VLAN 0, are neither delivered nor answered by a backup, whichever Ethernet address they are for.
func TestPriorityTagged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
	a.becomes("backup", 5*time.Second)
	c, fd := client.capture(), client.packetSocket()
	defer unix.Close(fd)
	from := parseMAC(t, client.mac("eth0"))
	tag := []byte{0x81, 0, 0xe0, 0} // priority 7, VLAN 0

	packet := make([]byte, wire.IPv4Header+8)
	wire.MarshalIPv4(packet, 1, mustAddr(client.addr), mustAddr("192.168.1.10"))
	packet[9], packet[wire.IPv4Header] = unix.IPPROTO_ICMP, 8
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	for _, at := range []struct{ sum, from, to int }{{10, 0, wire.IPv4Header}, {wire.IPv4Header + 2, wire.IPv4Header, len(packet)}} {
		packet[at.sum], packet[at.sum+1] = 0, 0
		binary.BigEndian.PutUint16(packet[at.sum:], wire.Checksum(packet[at.from:at.to]))
	}
	whoHas := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, from, mustAddr(client.addr).AsSlice(), make([]byte, 6), mustAddr("192.168.1.10").AsSlice())

	for _, state := range []string{"backup", "master", "backup"} {
		a.must("ifconfig-carp carp0 state " + state)
		a.becomes(state, 5*time.Second)
		for what, to := range map[string]string{"the virtual address": virtualMAC, "the carpdev's": a.mac("eth0")} {
			before, at := a.echoesIn(), c.count()
			for _, frame := range [][]byte{
				slices.Concat(parseMAC(t, to), from, tag, []byte{8, 0}, packet),
				slices.Concat(parseMAC(t, "ff:ff:ff:ff:ff:ff"), from, tag, []byte{8, 6}, whoHas),
			} {
				if _, err := unix.Write(fd, frame); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(200 * time.Millisecond)
			if n, want := a.echoesIn()-before, state == "master"; n > 0 != want {
				t.Errorf("%s, for %s: %d delivered", state, what, n)
			}
			arp := func(f *frame) bool {
				return len(f.data) >= 42 && f.data[12] == 8 && f.data[13] == 6 && f.data[21] == 2 && string(f.data[28:32]) == "\xc0\xa8\x01\x0a"
			}
			if n, want := len(c.since(at, arp)), state == "master"; n > 0 != want {
				t.Errorf("%s: %d answers to who-has", state, n)
			}
			if n, want := len(c.since(at, echo)), state == "master"; n > 0 != want {
				t.Errorf("%s, for %s: %d answers", state, what, n)
			}
		}
	}
}

func parseMAC(t *testing.T, s string) []byte {
	t.Helper()
	mac, err := net.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// A shared link-local address is one of its carpdev alone: that of a backup does not keep the host from a neighbour with the same address elsewhere.
func TestLinkLocalElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, isp, a := l.machine("client"), l.machine("isp"), l.host("a")
	l.wire(a, "eth1", []string{"fe80::a/64"}, isp, "eth1", []string{"fe80::1:1/64"})
	a.must("ifconfig-carp carp0 vhid 1 carpdev eth0 advbase 20")
	a.must("ifconfig-carp carp0 inet6 fe80::1:1 prefixlen 64")
	a.becomes("backup", 5*time.Second)
	for _, state := range []string{"backup", "master", "backup"} {
		a.must("ifconfig-carp carp0 state " + state)
		a.becomes(state, 5*time.Second)
		l.ip(client.ns, "-6", "neigh", "flush", "dev", "eth0")
		if got := client.do("ping -n -c 2 -i 0.1 -W 0.3 fe80::1:1%eth0").code == 0; got != (state == "master") {
			t.Errorf("%s: an answer on the carpdev: %t", state, got)
		}
		if r := a.do("ping -n -c 2 -i 0.1 -W 1 fe80::1:1%eth1"); r.code != 0 {
			t.Errorf("%s: the neighbour elsewhere does not answer: %s", state, r.out)
		}
		if r := isp.do("ping -n -c 2 -i 0.1 -W 1 fe80::a%eth1"); r.code != 0 {
			t.Errorf("%s: the neighbour elsewhere gets no answer: %s", state, r.out)
		}
	}
}

// Services stay bound to a shared address, and can bind to it, in every state; those that were there before are reached again.
func TestServicesStayBound(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
	a.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
	a.becomes("backup", 5*time.Second)
	var bound []net.Listener
	for n, state := range []string{"backup", "master", "backup", "master"} {
		a.must("ifconfig-carp carp0 state " + state)
		a.becomes(state, 5*time.Second)
		for _, addr := range []string{"192.168.1.10", "2001:db8:1::10"} {
			err := a.in(func() error {
				s, err := net.Listen("tcp", net.JoinHostPort(addr, fmt.Sprint(7000+n)))
				if err == nil {
					bound = append(bound, s)
					t.Cleanup(func() { s.Close() })
				}
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", state, err)
			}
		}
		if state != "master" {
			continue
		}
		l.within(2*time.Second, "an answer", func() bool { return client.ping("192.168.1.10") && client.ping("2001:db8:1::10") })
		for _, s := range bound {
			err := client.in(func() error {
				c, err := net.DialTimeout("tcp", s.Addr().String(), 2*time.Second)
				if err == nil {
					c.Close()
				}
				return err
			})
			if err != nil {
				t.Errorf("of %d services one is not reached: %v", len(bound), err)
			}
		}
	}
}

// What sets sysctls on new interfaces comes a moment after the link is there: rp_filter is put right again, and the address answers.
func TestStrictReversePath(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	for _, dev := range []string{"all", "default", "eth0"} {
		a.set("ipv4/conf/"+dev+"/rp_filter", "1")
	}
	for n := range trials(1, 10) {
		for _, after := range []time.Duration{1, 10, 100, 500} {
			a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
			time.Sleep(after*time.Millisecond + time.Duration(n)*time.Millisecond)
			for _, dev := range []string{"carp0", "all", "default", "eth0"} {
				a.set("ipv4/conf/"+dev+"/rp_filter", "1")
			}
			at := time.Now()
			l.within(3*time.Second, "it is put right", func() bool { return a.look("ipv4/conf/carp0/rp_filter") == "2\n" })
			if d := time.Since(at); d > 1100*time.Millisecond {
				t.Errorf("after %d ms: put right %v later", after, d)
			}
			a.becomes("master", 5*time.Second)
			l.ip(client.ns, "neigh", "flush", "dev", "eth0")
			if !client.ping("192.168.1.10") {
				t.Errorf("after %d ms: no answer", after)
			}
			a.must("ifconfig-carp carp0 destroy")
		}
	}
}
