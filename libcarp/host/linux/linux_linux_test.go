package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/wire"
)

// tagged puts a frame into a VLAN.
func tagged(id uint16, frame []byte) []byte {
	return slices.Insert(slices.Clone(frame), 12, 0x81, 0, byte(id>>8), byte(id))
}

// Which frames are taken, as what, and that none of them is answered.
func TestReceive(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ensure(l.carp(1, false, "192.168.1.10/24", "2001:db8::10/64"))
		for _, a := range []string{"192.168.1.2", "fe80::2"} { // errors would find their way
			l.ip("neigh", "add", a, "lladdr", theirs.String(), "dev", "eth0", "nud", "permanent")
		}
		group4, group6 := multicastMAC(wire.GroupIPv4), multicastMAC(wire.GroupIPv6)
		v4 := advert4(1, group4, virtual, "192.168.1.2", "224.0.0.18")
		v6 := advert6(1, group6, virtual, "fe80::2", "ff02::12")
		change := func(frame []byte, at int, b byte) []byte { f := slices.Clone(frame); f[at] = b; return f }
		for _, c := range []struct {
			what  string
			frame []byte
			want  int
		}{
			{"IPv4", v4, 1},
			{"IPv6", v6, 1},
			{"IPv4 from our own address", advert4(1, group4, virtual, "192.168.1.1", "224.0.0.18"), 1},
			{"IPv4, unicast", advert4(1, l.mac, theirs, "192.168.1.2", "192.168.1.1"), 1},
			{"IPv6, unicast", advert6(1, l.mac, theirs, "fe80::2", "fe80::1:1"), 1},
			{"IPv4, of VLAN 0", tagged(0, v4), 1},
			{"IPv6, of VLAN 0 with a priority", tagged(0xe000, v6), 1},
			{"IPv4, of VLAN 10", tagged(10, v4), 0},
			{"IPv6, of VLAN 10", tagged(10, v6), 0},
			{"IPv6, of VLAN 10 in VLAN 0", tagged(0, tagged(10, v6)), 0},
			{"IPv4, for another host", advert4(1, config.MAC{2, 9, 9, 9, 9, 9}, theirs, "192.168.1.2", "192.168.1.1"), 0},
			{"IPv6, for another host", advert6(1, config.MAC{2, 9, 9, 9, 9, 9}, theirs, "fe80::2", "fe80::1:1"), 0},
			{"IPv4, UDP", change(v4, 23, 17), 0},
			{"IPv6, behind a hop-by-hop header", change(v6, 20, 0), 0},
		} {
			l.inject(c.frame)
			n, p := l.hears(1)
			if n != c.want {
				t.Errorf("%s: delivered %d times", c.what, n)
			}
			if n > 0 && (p.Carpdev != l.eth0 || p.TTL != wire.TTL || len(p.Payload) != wire.Size) {
				t.Errorf("%s: %+v", c.what, p)
			}
		}
		l.quiet("an error", func(f []byte) bool {
			return kind(f) == unix.ETH_P_IP && f[23] == unix.IPPROTO_ICMP || isICMP6(f, 1, 2, 3, 4)
		})
		for _, a := range []host.Advert{
			{Carpdev: l.eth0, From: virtual, Dst: wire.GroupIPv4, Packet: packet4(1, "192.168.1.1", "224.0.0.18")},
			{Carpdev: l.eth0, From: virtual, Dst: wire.GroupIPv6, Packet: packet6(1, "fe80::1:1", "ff02::12")},
		} {
			if err := l.host.Send(a); err != nil {
				t.Fatal(err)
			}
			f := l.sees("our own", to(multicastMAC(a.Dst)))
			for string(f[14:]) != string(a.Packet) {
				f = l.sees("our own advert", to(multicastMAC(a.Dst)))
			}
			if string(f[6:12]) != string(virtual[:]) {
				t.Errorf("from %x", f[6:12])
			}
			if n, _ := l.hears(1); n != 0 {
				t.Errorf("our own advert to %s is delivered", a.Dst)
			}
		}
	})
}

// Unicast: the kernel's table tells where the frames go, and is made to ask; nothing waits for it.
func TestNeighbours(t *testing.T) {
	inNetwork(t, func(l *lab) {
		c := l.carp(1, false, "192.168.1.10/24", "2001:db8::10/64")
		l.ensure(c)
		send := func(a host.Advert) error { a.Carpdev, a.From = l.eth0, virtual; return l.host.Send(a) }
		gone := func(what string, a host.Advert, mac config.MAC, answers ...[]byte) { // given again: on a busy machine the kernel may have given up
			t.Helper()
			for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				err := send(a)
				if err == nil {
					break
				}
				if !errors.Is(err, syscall.EHOSTDOWN) || time.Now().After(deadline) {
					t.Fatalf("%s: %v", what, err)
				}
				for _, f := range answers {
					l.inject(f)
				}
			}
			f := l.sees(what, func(f []byte) bool { return string(f[14:]) == string(a.Packet) })
			if string(f[:6]) != string(mac[:]) || string(f[6:12]) != string(virtual[:]) {
				t.Errorf("%s: frame %x", what, f)
			}
		}
		v4 := host.Advert{Dst: netip.MustParseAddr("192.168.1.2"), Packet: packet4(1, "192.168.1.1", "192.168.1.2")}
		start := time.Now()
		if err := send(v4); !errors.Is(err, syscall.EHOSTDOWN) {
			t.Errorf("not resolved: %v", err)
		}
		if d := time.Since(start); d > 50*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		f := l.sees("who-has 192.168.1.2", asks("192.168.1.2"))
		if string(f[6:12]) != string(l.mac[:]) || net.IP(f[28:32]).String() != "192.168.1.1" {
			t.Errorf("asked in whose name? %x", f)
		}
		gone("IPv4", v4, theirs, arp(2, l.mac, theirs, "192.168.1.2", "192.168.1.1"))

		v6 := host.Advert{Dst: netip.MustParseAddr("fe80::2"), Packet: packet6(1, "fe80::1:1", "fe80::2")}
		send(v6)
		target := netip.MustParseAddr("fe80::2").As16()
		l.sees("a solicitation", func(f []byte) bool { return isICMP6(f, 135) && string(f[62:78]) == string(target[:]) })
		body := append(append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, target[:]...), 2, 1)
		gone("IPv6", v6, theirs, icmp6(l.mac, theirs, "fe80::2", "fe80::1:1", append(body, theirs[:]...)))

		// Another card under the same address.
		other := config.MAC{2, 0, 0, 0, 0, 3}
		l.ip("neigh", "replace", "192.168.1.2", "lladdr", other.String(), "dev", "eth0", "nud", "reachable")
		time.Sleep(50 * time.Millisecond)
		gone("IPv4, another card", v4, other)

		// Beyond a router.
		l.ip("route", "add", "10.0.0.0/8", "via", "192.168.1.254")
		l.ip("neigh", "add", "192.168.1.254", "lladdr", "02:00:00:00:00:fe", "dev", "eth0", "nud", "permanent")
		gone("IPv4, beyond a router", host.Advert{Dst: netip.MustParseAddr("10.1.1.1"), Packet: packet4(1, "192.168.1.1", "10.1.1.1")}, config.MAC{2, 0, 0, 0, 0, 0xfe})
		if out := l.ip("neigh", "show", "192.168.1.254"); !strings.Contains(out, "PERMANENT") {
			t.Errorf("the administrator's entry: %s", out)
		}
		if err := send(host.Advert{Dst: netip.MustParseAddr("172.16.0.1"), Packet: packet4(1, "192.168.1.1", "172.16.0.1")}); !errors.Is(err, syscall.EHOSTDOWN) {
			t.Errorf("without a route: %v", err)
		}

		// A carp's peer is asked for before anything is sent.
		c.Peers = []netip.Addr{netip.MustParseAddr("192.168.1.77")}
		l.ensure(c)
		l.sees("who-has 192.168.1.77", asks("192.168.1.77"))
		// A carpdev that lost its addresses does not ask in the name of a shared one.
		c.Master, c.Peers = true, nil
		l.ensure(c)
		l.ip("addr", "del", "192.168.1.1/24", "dev", "eth0")
		l.ip("route", "add", "192.168.1.0/24", "dev", "eth0")
		l.quiet("before", func([]byte) bool { return false })
		for range 15 {
			send(host.Advert{Dst: netip.MustParseAddr("192.168.1.78"), Packet: packet4(1, "192.168.1.10", "192.168.1.78")})
			l.quiet("who-has", asks("192.168.1.78"))
		}
	})
}

// Of the neighbours of others the kernel says nothing: a flood of ARP changes them all the time.
func TestNeighboursOfOthers(t *testing.T) {
	t.Parallel()
	inNetwork(t, func(l *lab) {
		s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NEIGH)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ours := []string{"fe80::2", "192.168.1.2", "2001:db8::254", "192.168.1.254"}
		var via []netip.Addr
		for _, a := range ours {
			via = append(via, netip.MustParseAddr(a))
		}
		if err := attend(s, via); err != nil {
			t.Fatal(err)
		}
		news, done := make(chan netlink.NeighUpdate, 1000), make(chan struct{})
		defer close(done)
		go receive(s, news, done)
		for _, a := range ours {
			for n := range 20 {
				l.ip("neigh", "replace", fmt.Sprintf("192.168.1.%d", 100+n), "lladdr", theirs.String(), "dev", "eth0")
				l.ip("neigh", "replace", fmt.Sprintf("fe80::%d", 100+n), "lladdr", theirs.String(), "dev", "eth0")
			}
			l.ip("neigh", "replace", a, "lladdr", theirs.String(), "dev", "eth0")
			select {
			case u := <-news:
				if u.IP.String() != a {
					t.Errorf("told of %s, not of %s", u.IP, a)
				}
			case <-time.After(3 * time.Second):
				t.Errorf("not told of %s", a)
			}
		}
	})
}

// memberships returns the groups that eth0 is a member of.
func memberships(t *testing.T) string {
	t.Helper()
	return (&lab{t: t}).ip("maddr", "show", "dev", "eth0")
}

func TestMemberships(t *testing.T) {
	inNetwork(t, func(l *lab) {
		for !strings.Contains(memberships(t), "ff02::1:ff01:1") { // the kernel's own come with the carrier
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
		before := memberships(t)
		is := func(what string, groups map[string]bool) {
			t.Helper()
			now := memberships(t)
			for g, want := range groups {
				if strings.Contains(now, " "+g+"\n") != want && strings.Contains(now, " "+g+" users") != want {
					t.Errorf("%s: %s %t\n%s", what, g, !want, now)
				}
			}
		}
		c := l.carp(1, false, "192.168.1.10/24")
		l.ensure(c)
		is("IPv4 alone", map[string]bool{"224.0.0.18": true, "ff02::12": false})
		c.Addrs = append(c.Addrs, netip.MustParsePrefix("2001:db8::12:3456/64"))
		l.ensure(c)
		is("both", map[string]bool{"224.0.0.18": true, "ff02::12": true, "ff02::1:ff12:3456": true, "ff02::1:ff00:101": true})
		report := multicastMAC(netip.MustParseAddr("ff02::16"))
		group := netip.MustParseAddr("ff02::1:ff12:3456").As16()
		l.sees("an MLD report of the solicited-node group", func(f []byte) bool { return to(report)(f) && strings.Contains(string(f), string(group[:])) })
		d := l.carp(2, false, "2001:db8::1012:3456/64")
		l.ensure(d)
		c.Addrs = c.Addrs[1:]
		l.ensure(c)
		is("IPv6 alone", map[string]bool{"224.0.0.18": false, "ff02::12": true, "ff02::1:ff12:3456": true})
		if err := l.host.Remove("carp1"); err != nil {
			t.Error(err)
		}
		is("the other has them too", map[string]bool{"ff02::12": true, "ff02::1:ff12:3456": true, "ff02::1:ff00:101": false, "ff02::1:ff00:102": true})
		d.Peers = []netip.Addr{netip.MustParseAddr("fe80::2")}
		l.ensure(d)
		is("a unicast peer", map[string]bool{"ff02::12": false, "ff02::1:ff12:3456": true})
		if err := l.host.Remove("carp2"); err != nil {
			t.Error(err)
		}
		for end := time.Now().Add(2 * time.Second); memberships(t) != before && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if now := memberships(t); now != before {
			t.Errorf("left:\n%s\nwas:\n%s", now, before)
		}
		// More than one socket can hold.
		l.sysctl("core/optmem_max", "2048")
		many := l.carp(3, false)
		for i := range 200 {
			many.Addrs = append(many.Addrs, netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/64", i+1)))
		}
		l.ensure(many)
		is("many", map[string]bool{"ff02::1:ff00:1": true, "ff02::1:ff00:c8": true})
	})
}

// The addresses of a link, and what becomes of them.
func TestAddresses(t *testing.T) {
	inNetwork(t, func(l *lab) {
		show := func() (out []string) {
			t.Helper()
			link, err := netlink.LinkByName("carp1")
			if err != nil {
				t.Fatal(err)
			}
			addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range addrs {
				s := a.IPNet.String()
				for flag, name := range map[int]string{unix.IFA_F_NOPREFIXROUTE: "noprefixroute", unix.IFA_F_NODAD: "nodad", unix.IFA_F_DEPRECATED: "deprecated", unix.IFA_F_TENTATIVE: "tentative", unix.IFA_F_DADFAILED: "dadfailed"} {
					if a.Flags&flag != 0 {
						s += " " + name
					}
				}
				f := strings.Fields(s)
				slices.Sort(f[1:])
				out = append(out, strings.Join(f, " "))
			}
			slices.Sort(out)
			return out
		}
		is := func(what string, want ...string) {
			t.Helper()
			slices.Sort(want)
			if got := show(); !slices.Equal(got, want) {
				t.Errorf("%s:\n%q, want\n%q", what, got, want)
			}
		}
		const (
			v4     = "192.168.1.10/24 noprefixroute"
			global = "2001:db8::10/64 deprecated nodad noprefixroute"
			own    = "fe80::200:5eff:fe00:101/64 nodad"
			local  = "fe80::10/64 nodad"
		)
		c := l.carp(1, false, "192.168.1.10/24", "2001:db8::10/64")
		l.ensure(c)
		c.Master = true
		l.ensure(c)
		is("master", v4, global, own)
		for range 2 {
			c.Master = !c.Master
			l.ensure(c)
		}
		is("master again", v4, global, own)
		l.ip("addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
		l.ensure(c)
		var out string
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if out = l.ip("-6", "route", "show", "dev", "carp1"); strings.Contains(out, "fe80::/64") && !strings.Contains(out, "2001:db8::/64") {
				break
			}
		}
		if !strings.Contains(out, "fe80::/64") || strings.Contains(out, "2001:db8::/64") {
			t.Errorf("routes: %s", out)
		}
		if out := l.ip("-6", "route", "get", "2001:db8::99"); !strings.Contains(out, "dev eth0 ") || strings.Contains(out, "src 2001:db8::10") {
			t.Errorf("the shared address as a source: %s", out)
		}
		for _, state := range []string{"down", "up"} {
			l.ip("link", "set", "eth0", state)
		}
		is("after a bounce of the carpdev", v4, global, own)
		// Aliases come and go while the others answer.
		c.Addrs = append(c.Addrs, netip.MustParsePrefix("fe80::10/64"), netip.MustParsePrefix("2001:db8::11/64"))
		l.ensure(c)
		is("aliases", v4, global, own, local, "2001:db8::11/64 deprecated nodad noprefixroute")
		c.Addrs = slices.Delete(c.Addrs, 1, 2)
		l.ensure(c)
		is("an alias less", v4, own, local, "2001:db8::11/64 deprecated nodad noprefixroute")
		c.Addrs[2] = netip.MustParsePrefix("2001:db8::11/48")
		l.ensure(c)
		is("another prefix length", v4, own, local, "2001:db8::11/48 deprecated nodad noprefixroute")
		c.Addrs = c.Addrs[:1]
		l.ensure(c)
		is("no IPv6", v4)
		l.sysctl("ipv6/conf/default/disable_ipv6", "1")
		d := l.carp(2, false, "2001:db8::10/64")
		l.ensure(d)
	})
}

// A carp whose carpdev is not on the subnet carries the route to it itself, as long as that is so.
func TestRoutes(t *testing.T) {
	inNetwork(t, func(l *lab) {
		const subnet, subnet6 = "10.1.0.0/24", "2001:db8:1::/64"
		is := func(what, family, to string, want ...string) {
			t.Helper()
			var got string
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				var devs []string
				got = l.ip(family, "route", "show", to)
				for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
					if f := strings.Fields(line); slices.Index(f, "dev") >= 0 {
						devs = append(devs, f[slices.Index(f, "dev")+1])
					}
				}
				slices.Sort(devs) // which came first is nobody's business
				slices.Sort(want)
				if slices.Equal(devs, want) {
					return
				}
			}
			t.Errorf("%s: %s, want it on %v", what, got, want)
		}
		c := l.carp(1, true, "10.1.0.10/24", "10.1.0.11/24", "2001:db8:1::10/64", "192.168.1.10/8", "172.16.0.1/32")
		l.ensure(c)
		is("master", "-4", subnet, "carp1")
		is("master", "-6", subnet6, "carp1")
		is("wider than the carpdev's", "-4", "192.0.0.0/8")
		d := l.carp(2, true, "10.1.0.12/24")
		l.ensure(d)
		is("a second carp", "-4", subnet, "carp1", "carp2")
		// What somebody else has set comes back with the link, which is down while the host is no master and there is no gate.
		l.ip("route", "add", "default", "via", "10.1.0.254", "dev", "carp1")
		for _, master := range []bool{false, true} {
			c.Master = master
			l.ensure(c)
			if !master {
				is("backup", "-4", subnet, "carp2")
				is("backup", "-4", "default")
			}
		}
		is("master again", "-4", subnet, "carp2", "carp1")
		is("master again", "-4", "default", "carp1")
		is("master again", "-6", subnet6, "carp1")
		// The carpdev's own addresses, and routes, make it unnecessary.
		l.ip("addr", "add", "10.1.0.1/25", "dev", "eth0")
		is("an address of the carpdev's", "-4", subnet)
		l.ip("addr", "del", "10.1.0.1/25", "dev", "eth0")
		is("no more", "-4", subnet, "carp1", "carp2")
		l.ip("route", "add", "10.1.0.0/28", "dev", "eth0")
		c.Addrs = c.Addrs[:2]
		l.ensure(c)
		is("a route of the carpdev's", "-4", subnet, "carp2")
		is("no address any more", "-6", subnet6)
	})
}

// Who answers for an address, over ARP and neighbour discovery.
func TestAnswers(t *testing.T) {
	inNetwork(t, func(l *lab) {
		answered := func(what string, vhid uint8, v4, v6 string) {
			t.Helper()
			for range len(l.seen) {
				<-l.seen
			}
			from := config.VirtualMAC(vhid)
			l.inject(arp(1, broadcast, theirs, "192.168.1.2", v4))
			l.inject(solicit(theirs, "fe80::2", v6))
			if vhid == 0 {
				l.quiet(what+": an answer", func(f []byte) bool { return answers(v4)(f) || told(v6)(f) })
				return
			}
			for name, answer := range map[string]func([]byte) bool{v4: answers(v4), v6: told(v6)} {
				for range len(l.seen) {
					<-l.seen
				}
				l.inject(arp(1, broadcast, theirs, "192.168.1.2", v4))
				l.inject(solicit(theirs, "fe80::2", v6))
				if f := l.sees(what+": "+name, answer); string(f[6:12]) != string(from[:]) && name == v4 {
					t.Errorf("%s: %s is answered by %x", what, name, f[6:12])
				}
			}
		}
		l.ip("neigh", "add", "fe80::2", "lladdr", theirs.String(), "dev", "eth0", "nud", "permanent")
		a, b := l.carp(1, false, "192.168.1.10/24", "2001:db8::10/64", "fe80::10/64"), l.carp(2, false, "192.168.1.10/24", "2001:db8::10/64")
		l.ensure(a)
		l.ensure(b)
		answered("both backup", 0, "192.168.1.10", "2001:db8::10")
		a.Master = true
		l.ensure(a)
		answered("the first", 1, "192.168.1.10", "2001:db8::10")
		answered("its link-local address", 1, "192.168.1.10", "fe80::10")
		b.Master = true
		l.ensure(b)
		a.Master = false
		l.ensure(a)
		answered("the second", 2, "192.168.1.10", "2001:db8::10")
		if err := l.host.Remove("carp1"); err != nil {
			t.Fatal(err)
		}
		answered("the second alone", 2, "192.168.1.10", "2001:db8::10")
		b.Master = false
		l.ensure(b)
		answered("none", 0, "192.168.1.10", "2001:db8::10")
	})
}

func TestAnnounce(t *testing.T) {
	inNetwork(t, func(l *lab) {
		c := l.carp(1, true, "192.168.1.10/24", "2001:db8::10/64")
		l.ensure(c)
		for _, router := range []bool{false, true} {
			l.sysctl("ipv6/conf/eth0/forwarding", map[bool]string{false: "0", true: "1"}[router])
			if err := l.host.Announce(c, []netip.Addr{c.Addrs[0].Addr(), c.Addrs[1].Addr()}); err != nil {
				t.Fatal(err)
			}
			f := l.sees("gratuitous ARP", func(f []byte) bool { return kind(f) == unix.ETH_P_ARP && net.IP(f[38:42]).String() == "192.168.1.10" })
			if string(f[:6]) != string(broadcast[:]) || string(f[6:12]) != string(virtual[:]) {
				t.Errorf("ARP: %x", f)
			}
			f = l.sees("a neighbour advertisement", told("2001:db8::10"))
			p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
			eth, ip := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
			na := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
			if eth.SrcMAC.String() != virtual.String() || eth.DstMAC.String() != "33:33:00:00:00:01" || ip.HopLimit != 255 || ip.SrcIP.String() != "2001:db8::10" ||
				ip.DstIP.String() != "ff02::1" || na.Solicited() || !na.Override() || na.Router() != router || len(na.Options) != 1 ||
				na.Options[0].Type != layers.ICMPv6OptTargetAddress || string(na.Options[0].Data) != string(virtual[:]) {
				t.Errorf("forwarding %t: %s", router, p)
			}
			pseudo := append(append([]byte{}, f[22:54]...), 0, 0, 0, byte(len(f)-54), 0, 0, 0, unix.IPPROTO_ICMPV6)
			if wire.Checksum(append(pseudo, f[54:]...)) != 0 {
				t.Errorf("checksum: %x", f)
			}
		}
	})
}

// A carpdev that is a macvlan itself: the kernel gives a second master's adverts to the carp's link alone while that is up.
func TestMacvlanCarpdev(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ip("link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
		l.ip("link", "set", "mv0", "up")
		index, mac := l.link("mv0")
		c, d := l.carp(1, false, "192.168.1.10/24", "2001:db8::10/64"), l.carp(2, true, "192.168.1.11/24", "2001:db8::11/64")
		c.Carpdev, d.Carpdev = index, index
		first := l.ensure(c)
		l.ensure(d)
		l.ip("link", "set", d.Name, "allmulticast", "on") // as tcpdump(8) does: it sees what is for others
		for _, master := range []bool{false, true, false} {
			c.Master = master
			if again := l.ensure(c); again != first {
				t.Errorf("made again: %d, was %d", again, first)
			}
			for what, frame := range map[string][]byte{
				"IPv4":    advert4(1, multicastMAC(wire.GroupIPv4), virtual, "192.168.1.2", "224.0.0.18"),
				"IPv6":    advert6(1, multicastMAC(wire.GroupIPv6), virtual, "fe80::2", "ff02::12"),
				"unicast": advert4(1, mac, virtual, "192.168.1.2", "192.168.1.1"),
			} {
				l.inject(frame)
				if n, p := l.hears(1); n != 1 || p.Carpdev != index {
					t.Errorf("master %t: %s: delivered %d times, as from %d", master, what, n, p.Carpdev)
				}
			}
		}
		c.Addrs = c.Addrs[:1] // mended, not made again
		if again := l.ensure(c); again != first {
			t.Errorf("made again: %d, was %d", again, first)
		}
	})
}

// A bridge as carpdev, its port the wire.
func TestBridgeCarpdev(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ip("link", "add", "br0", "type", "bridge")
		l.ip("link", "set", "eth0", "master", "br0")
		l.ip("link", "set", "br0", "up")
		index, _ := l.link("br0")
		c := l.carp(1, false, "192.168.1.10/24", "2001:db8::10/64")
		c.Carpdev = index
		for _, c.Master = range []bool{false, true} {
			l.ensure(c)
			l.inject(advert4(1, multicastMAC(wire.GroupIPv4), virtual, "192.168.1.2", "224.0.0.18"))
			l.inject(advert6(1, multicastMAC(wire.GroupIPv6), virtual, "fe80::2", "ff02::12"))
			if n, p := l.hears(1); n != 2 || p.Carpdev != index {
				t.Errorf("master %t: delivered %d times, as from %d", c.Master, n, p.Carpdev)
			}
		}
		l.inject(arp(1, broadcast, theirs, "192.168.1.2", "192.168.1.10"))
		l.sees("an answer", answers("192.168.1.10"))
	})
}

// How long it takes to make, turn and remove many.
func TestMany(t *testing.T) {
	inNetwork(t, func(l *lab) {
		go func() {
			for range l.host.Links() {
			}
		}()
		const n = 255
		carps := make([]host.Carp, n)
		for i := range carps {
			carps[i] = l.carp(1, false, fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("2001:db8::%x/64", i+1))
			carps[i].Name, carps[i].MAC = fmt.Sprintf("carp%d", i), config.VirtualMAC(uint8(i+1))
		}
		took := func(what string, f func(c *host.Carp)) {
			t.Helper()
			start := time.Now()
			for i := range carps {
				f(&carps[i])
			}
			d := time.Since(start)
			t.Logf("%d carps: %s in %v", len(carps), what, d.Round(time.Millisecond))
			if d > 20*time.Second {
				t.Errorf("%s took %v", what, d)
			}
		}
		took("made", func(c *host.Carp) { l.ensure(*c) })
		packets := 0
		if data, err := os.ReadFile("/proc/net/packet"); err == nil {
			packets = strings.Count(string(data), "\n") - 1
		}
		if packets != 4 { // the port's for adverts, ARP and IPv6, and the lab's
			t.Errorf("%d packet sockets", packets)
		}
		took("made master and announced", func(c *host.Carp) {
			c.Master = true
			l.ensure(*c)
			if err := l.host.Announce(*c, []netip.Addr{c.Addrs[0].Addr(), c.Addrs[1].Addr()}); err != nil {
				t.Fatal(err)
			}
		})
		took("made backup", func(c *host.Carp) { c.Master = false; l.ensure(*c) })
		carps = carps[:10]
		took("removed", func(c *host.Carp) {
			if err := l.host.Remove(c.Name); err != nil {
				t.Fatal(err)
			}
		})
		start := time.Now()
		if err := l.host.Silence(); err != nil {
			t.Error(err)
		}
		d := time.Since(start)
		t.Logf("the others silenced in %v", d.Round(time.Millisecond))
		if links, err := netlink.LinkList(); err != nil || slices.ContainsFunc(links, isCarp) {
			t.Errorf("links are left: %v", err)
		}
	})
}

// What somebody else changes meanwhile on another interface is no reason to fail: the kernel marks a list as not whole during which anything has changed.
func TestEnsureWhileOthersChange(t *testing.T) {
	inNetwork(t, func(l *lab) {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		for n := range 500 { // so many that the list has several parts
			if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 2, byte(n / 250), byte(n % 250)}), 32))}); err != nil {
				t.Fatal(err)
			}
		}
		ending, ended := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for ; ; n++ {
				select {
				case <-ending:
					ended <- n
					return
				default:
				}
				a := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(n / 2)}), 32))}
				change := netlink.AddrAdd
				if n%2 == 1 {
					change = netlink.AddrDel
				}
				if err := change(lo, a); err != nil {
					t.Error(err)
				}
				time.Sleep(200 * time.Microsecond)
			}
		}()
		c := l.carp(1, true, "192.168.1.10/24", "2001:db8::10/64")
		failed := 0
		for n := range 300 {
			c.Addrs = append(c.Addrs[:2:2], netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 1, byte(100 + n%2)}), 24))
			if _, err := l.host.Ensure(c); err != nil {
				failed++
				t.Logf("%d: %v", n, err)
			}
		}
		close(ending)
		if n := <-ended; failed > 0 {
			t.Errorf("%d of 300 have failed, beside %d changes", failed, n)
		}
	})
}
