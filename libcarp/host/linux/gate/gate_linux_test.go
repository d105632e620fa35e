package gate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// What reaches, or leaves, a host whose carp has no lease, and one whose has.
func TestGate(t *testing.T) {
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	neighbour := func(addr, mac string) {
		l.ip(l.client, "neigh replace "+addr+" lladdr "+mac+" dev eth0 nud permanent")
	}
	ping := func(ns, addr string) bool { return l.exec(ns, "ping -n -c 1 -W 0.3 "+addr) }
	tags := func(to string, types ...uint16) bool {
		return l.delivered(func() { l.inject(l.client, ethernet(to, echo4("192.168.1.4", vip4, 1), types...)) })
	}
	cases := []struct {
		what        string
		shut, fresh bool // it goes through
		try         func() bool
	}{
		{"who-has", false, true, func() bool {
			l.ip(l.client, "neigh flush dev eth0")
			return l.exec(l.client, "arping -c 1 -w 1 -i eth0 "+vip4)
		}},
		{"ping, neighbours unknown", false, true, func() bool {
			l.ip(l.client, "neigh flush dev eth0")
			return ping(l.client, vip4)
		}},
		{"ping v6, neighbours unknown", false, true, func() bool {
			l.ip(l.client, "-6 neigh flush dev eth0")
			return ping(l.client, vip6)
		}},
		{"ping the virtual MAC", false, true, func() bool { neighbour(vip4, virtualMAC); return ping(l.client, vip4) }},
		{"ping v6 the virtual MAC", false, true, func() bool { neighbour(vip6, virtualMAC); return ping(l.client, vip6) }},
		{"ping the carpdev's MAC", false, true, func() bool { neighbour(vip4, hostMAC); return ping(l.client, vip4) }},
		{"ping v6 the carpdev's MAC", false, true, func() bool { neighbour(vip6, hostMAC); return ping(l.client, vip6) }},
		{"ping through a third interface", false, true, func() bool { return ping(l.far, vip4) }},
		{"ping v6 through a third interface", false, true, func() bool { return ping(l.far, vip6) }},
		{"VLAN 0, the carpdev's MAC", false, true, func() bool { return tags(hostMAC, unix.ETH_P_8021Q, unix.ETH_P_IP) }},
		{"VLAN 0, the virtual MAC", false, true, func() bool { return tags(virtualMAC, unix.ETH_P_8021Q, unix.ETH_P_IP) }},
		{"VLAN 0 twice", false, true, func() bool { return tags(hostMAC, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_IP) }},
		{"VLAN 0 of 802.1ad, then 802.1Q", false, true, func() bool { return tags(hostMAC, unix.ETH_P_8021AD, unix.ETH_P_8021Q, unix.ETH_P_IP) }},
		{"VLAN 0 three times", false, true, func() bool {
			return tags(hostMAC, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_IP)
		}},
		{"VLAN 0 four times", false, true, func() bool {
			return tags(virtualMAC, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_IP)
		}},
		{"VLAN 0 five times", false, false, func() bool {
			return tags(hostMAC, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_IP)
		}},
		{"forwarding what comes for the virtual MAC", false, true, func() bool {
			return l.leaves(l.far, func() { l.inject(l.client, ethernet(virtualMAC, echo4("192.168.1.4", "10.0.0.2", 1), unix.ETH_P_IP)) },
				func(f []byte) bool { return isEcho(f, "192.168.1.4") })
		}},
		{"a packet from the address", false, true, func() bool {
			return l.leaves(l.client, func() { l.exec(l.host, "ping -n -c 1 -W 0.1 -I "+vip4+" 192.168.1.4") },
				func(f []byte) bool { return isEcho(f, vip4) })
		}},
		// As SNAT makes them: the filter is behind postrouting.
		{"a packet from the address out of a third interface", false, true, func() bool {
			return l.leaves(l.far, func() { l.exec(l.host, "ping -n -c 1 -W 0.1 -I "+vip4+" 10.0.0.2") },
				func(f []byte) bool { return isEcho(f, vip4) })
		}},
		{"ARP in the address's name from the carpdev", false, true, func() bool {
			frame := ethernet("ff:ff:ff:ff:ff:ff", arpRequest(vip4, "192.168.1.4"), unix.ETH_P_ARP)
			return l.leaves(l.client, func() { l.inject(l.host, frame) }, func(f []byte) bool { return bytes.Equal(f[12:42], frame[12:42]) })
		}},
		{"a tagged packet from the address", false, true, func() bool {
			frame := ethernet("ff:ff:ff:ff:ff:ff", echo4(vip4, "192.168.1.4", 1), unix.ETH_P_8021Q, unix.ETH_P_IP)
			return l.leaves(l.client, func() { l.inject(l.host, frame) }, func(f []byte) bool { return isEcho(f, vip4) })
		}},
		{"adverts from the address", true, true, func() bool { return l.advertLeaves("eth0") }},
		{"adverts from the carp", true, true, func() bool { return l.advertLeaves("carp0") }},
		{"the host's own address", true, true, func() bool { return ping(l.client, "192.168.1.1") && ping(l.client, "2001:db8:1::1") }},
		{"the host's own address, VLAN 0", true, true, func() bool {
			return l.delivered(func() {
				l.inject(l.client, ethernet(hostMAC, echo4("192.168.1.4", "192.168.1.1", 1), unix.ETH_P_8021Q, unix.ETH_P_IP))
			})
		}},
		{"forwarding what comes for the host's MAC", true, true, func() bool { return ping(l.client, "10.0.0.2") && ping(l.client, "2001:db8:2::2") }},
		{"the host pings", true, true, func() bool { return ping(l.host, "192.168.1.4") && ping(l.host, "2001:db8:2::2") }},
		{"the host's own copy", true, true, func() bool { return ping(l.host, vip4) && ping(l.host, vip6) }},
	}
	for _, fresh := range []bool{false, true, false} {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s, fresh %t", c.what, fresh), func(t *testing.T) {
				l.t = t
				l.gate.Shut(slot)
				if fresh {
					l.gate.Renew(slot, now(t)+10*second)
				}
				want := c.shut
				if fresh {
					want = c.fresh
				}
				if got := c.try(); got != want {
					t.Errorf("goes through: %t, want %t", got, want)
				}
			})
		}
	}
}

func isEcho(frame []byte, src string) bool {
	at := 14
	for len(frame) > at+2 && binary.BigEndian.Uint16(frame[at-2:]) == unix.ETH_P_8021Q {
		at += 4
	}
	return len(frame) >= at+28 && binary.BigEndian.Uint16(frame[at-2:]) == unix.ETH_P_IP && frame[at+9] == unix.IPPROTO_ICMP &&
		bytes.Equal(frame[at+12:at+16], netip.MustParseAddr(src).AsSlice()) && frame[at+20] == 8
}

func arpRequest(sender, target string) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac(hostMAC)...)
	b = append(b, netip.MustParseAddr(sender).AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, netip.MustParseAddr(target).AsSlice()...)
}

// listen opens a packet socket on eth0 of a namespace.
func (l *lab) listen(ns string) (fd int) {
	l.t.Helper()
	l.in(ns, func() {
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, 0)
		l.must(err)
		l.must(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(onWire(unix.ETH_P_ALL)), Ifindex: index(l.t, "eth0")}))
	})
	return fd
}

// leaves reports whether a frame arrives at eth0 of a namespace that f makes.
func (l *lab) leaves(ns string, f func(), is func([]byte) bool) bool {
	l.t.Helper()
	fd := l.listen(ns)
	defer unix.Close(fd)
	f()
	buf := make([]byte, 2048)
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if n >= 42 && is(buf[:n]) {
			return true
		}
	}
	return false
}

// advertLeaves sends what looks like an advert from the shared address out of an interface of the host.
func (l *lab) advertLeaves(dev string) bool {
	l.t.Helper()
	frame := ethernet("01:00:5e:00:00:12", packet4(wire.Protocol, vip4, "224.0.0.18", make([]byte, wire.Size)), unix.ETH_P_IP)
	return l.leaves(l.client, func() {
		l.in(l.host, func() {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
			l.must(err)
			defer unix.Close(fd)
			l.must(unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index(l.t, dev)}))
		})
	}, func(f []byte) bool { return f[23] == wire.Protocol && bytes.Equal(f[:34], frame[:34]) })
}

// A link-local address is shared on its carpdev alone: the same one of a router behind another interface is somebody else.
func TestLinkLocal(t *testing.T) {
	l := newLab(t)
	l.ip(l.host, "addr add fe80::1/64 dev carp0 nodad")
	l.ip(l.far, "addr add fe80::1/64 dev eth0 nodad")
	slot := l.attach("fe80::1")
	for _, fresh := range []bool{false, true} {
		if fresh {
			l.gate.Renew(slot, now(t)+10*second)
		}
		if !l.exec(l.host, "ping -n -c 1 -W 0.5 fe80::1%eth1") {
			t.Errorf("fresh %t: the other router is lost", fresh)
		}
		l.ip(l.client, "-6 neigh flush dev eth0") // it would ask again only a second later
		if got := l.exec(l.client, "ping -n -c 1 -W 0.5 fe80::1%eth0"); got != fresh {
			t.Errorf("fresh %t: the shared address answers: %t", fresh, got)
		}
	}
}

// An address on two carps is answered for while either is master.
func TestTwoCarps(t *testing.T) {
	l := newLab(t)
	l.carp("carp1", "00:00:5e:00:01:0b", vip4+"/24")
	slots := []int{l.attach(vip4, vip6), 0}
	l.in(l.host, func() { slots[1] = l.add("carp1", vip4) })
	mac := []string{virtualMAC, "00:00:5e:00:01:0b"}
	answers := func(carp int) bool {
		l.ip(l.client, "neigh replace "+vip4+" lladdr "+mac[carp]+" dev eth0 nud permanent")
		return l.exec(l.client, "ping -n -c 1 -W 0.3 "+vip4)
	}
	for _, masters := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}, {false, false}} {
		for i, master := range masters {
			l.gate.Shut(slots[i])
			if master {
				l.gate.Renew(slots[i], now(t)+10*second)
			}
		}
		for i, master := range masters {
			if got := answers(i); got != master {
				t.Errorf("masters %v: carp%d answers: %t", masters, i, got)
			}
		}
	}
	// It goes from carp0, and follows carp1 alone; it comes back.
	l.gate.Renew(slots[0], now(t)+10*second)
	l.in(l.host, func() { l.must(l.gate.SetAddrs(map[string][]Addr{"carp0": l.addrs(vip6)})) })
	if answers(0) {
		t.Error("an address that is carp1's alone answers while carp0 is master")
	}
	l.in(l.host, func() { l.must(l.gate.SetAddrs(map[string][]Addr{"carp0": l.addrs(vip4, vip6)})) })
	if !answers(0) {
		t.Error("an address that has come back does not answer")
	}
	l.ip(l.host, "link del carp0")
	l.must(l.gate.Remove("carp0"))
	l.gate.Renew(slots[1], now(t)+10*second)
	if !answers(1) {
		t.Error("carp1 does not answer without carp0")
	}
}

// Requests that leave the client after the lease has run out are not answered, those well before are.
func TestExpiry(t *testing.T) {
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	for _, lease := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
		fd := l.listen(l.client)
		frame := ethernet(virtualMAC, echo4("192.168.1.4", vip4, 0), unix.ETH_P_IP)
		copy(frame[6:], l.macOf(l.client))
		sent := make([]int64, 0, 4096)
		answered := map[uint16]bool{}
		until := now(t) + int64(lease)
		l.gate.Renew(slot, until)
		l.in(l.client, func() {
			to := &unix.SockaddrLinklayer{Ifindex: index(t, "eth0")}
			buf := make([]byte, 2048)
			for end := until + 50*int64(time.Millisecond); ; time.Sleep(200 * time.Microsecond) {
				for {
					n, _, err := unix.Recvfrom(fd, buf, 0)
					if err != nil {
						break
					}
					if n >= 42 && buf[23] == unix.IPPROTO_ICMP && buf[34] == 0 {
						answered[binary.BigEndian.Uint16(buf[40:])] = true
					}
				}
				at := now(t)
				if at > end {
					break
				}
				request := echo4("192.168.1.4", vip4, uint16(len(sent)))
				copy(frame[14:], request)
				sent = append(sent, at)
				l.must(unix.Sendto(fd, frame, 0, to))
			}
		})
		unix.Close(fd)
		last, lost := int64(0), 0
		for seq, at := range sent {
			switch {
			case answered[uint16(seq)]:
				last = max(last, at)
			case at < until-20*int64(time.Millisecond)/10:
				lost++
			}
		}
		t.Logf("lease %v: %d requests, the last answered one left %v before its end", lease, len(sent), time.Duration(until-last))
		if last > until {
			t.Errorf("lease %v: a request of %v after its end was answered", lease, time.Duration(last-until))
		}
		if lost > len(sent)/50 || until-last > int64(20*time.Millisecond) {
			t.Errorf("lease %v: %d of %d requests within it were not answered, none after %v before its end", lease, lost, len(sent), time.Duration(until-last))
		}
	}
}

func (l *lab) macOf(ns string) []byte {
	l.t.Helper()
	return mac(strings.TrimSpace(l.run("ip", "netns", "exec", ns, "cat", "/sys/class/net/eth0/address")))
}

// filtersOf returns what tc(8) shows of an interface of the host.
func (l *lab) filtersOf(dev string) string {
	l.t.Helper()
	out := ""
	for _, way := range []string{"ingress", "egress"} {
		out += l.run("tc", "-n", l.host, "filter", "show", "dev", dev, way)
	}
	return out
}

func (l *lab) qdiscs() string { l.t.Helper(); return l.run("tc", "-n", l.host, "qdisc", "show") }

// Nothing is left behind, and a qdisc of somebody else stays; also when an earlier run was killed.
func TestDetach(t *testing.T) {
	l := newLab(t)
	l.run("tc", "-n", l.host, "qdisc", "add", "dev", "eth1", "clsact")
	before := l.qdiscs()
	l.attach(vip4, vip6)
	for range 2 {
		l.gate.Close() // killed
		l.in(l.host, func() {
			var err error
			l.gate, err = New("/test")
			l.must(err)
		})
		l.attach(vip4, vip6)
		for _, dev := range []string{"eth0", "eth1", "carp0"} {
			if n := strings.Count(l.filtersOf(dev), "direct-action"); n != 2 {
				t.Errorf("%s: %d filters\n%s", dev, n, l.filtersOf(dev))
			}
		}
	}
	other, err := New("/other")
	l.must(err)
	defer other.Close()
	l.in(l.host, func() {
		l.must(l.gate.DetachAll())
		for _, dev := range []string{"eth0", "eth1", "carp0"} {
			if err := l.gate.Check(index(t, dev)); !errors.Is(err, unix.ENOENT) {
				t.Errorf("%s: %v", dev, err)
			}
		}
	})
	if after := l.qdiscs(); after != before {
		t.Errorf("qdiscs before:\n%safter:\n%s", before, after)
	}
	if out := l.filtersOf("eth1"); out != "" {
		t.Errorf("left: %s", out)
	}
}

// Two state directories have their gates beside each other.
func TestTwoGates(t *testing.T) {
	l := newLab(t)
	l.attach(vip4, vip6)
	l.in(l.host, func() {
		other, err := New("/other")
		l.must(err)
		defer other.Close()
		l.must(other.Attach(index(t, "eth0"), 0))
		if err := l.gate.Check(index(t, "eth0")); err != nil {
			t.Errorf("another gate before ours: %v", err)
		}
		l.must(other.DetachAll())
		l.must(l.gate.Check(index(t, "eth0")))
	})
	if l.exec(l.far, "ping -n -c 1 -W 0.3 "+vip4) {
		t.Error("it answers")
	}
}

// Somebody else's hands.
func TestStrangers(t *testing.T) {
	l := newLab(t)
	l.attach(vip4, vip6)
	l.in(l.host, func() {
		eth0 := index(t, "eth0")
		l.must(l.gate.Check(eth0))

		l.run("tc", "-n", l.host, "qdisc", "del", "dev", "eth0", "clsact")
		if err := l.gate.Check(eth0); !errors.Is(err, unix.ENOENT) {
			t.Errorf("without qdisc: %v", err)
		}
		l.must(l.gate.Attach(eth0, 0))
		l.must(l.gate.Check(eth0))

		ok, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "ISC", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
		l.must(err)
		defer ok.Close()
		stranger := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: eth0, Parent: netlink.HANDLE_MIN_INGRESS, Priority: preference, Protocol: unix.ETH_P_ALL},
			Fd:          ok.FD(), Name: "stranger", DirectAction: true,
		}
		l.must(netlink.FilterAdd(stranger))
		if err := l.gate.Check(eth0); !errors.Is(err, ErrBehind) {
			t.Errorf("with a filter before: %v", err)
		}
		l.must(l.gate.Attach(eth0, 0))
		l.must(l.gate.Check(eth0))
		if out := l.filtersOf("eth0"); strings.Count(out, nameOurs)+strings.Count(out, nameQdisc) != 2 || !strings.Contains(out, "stranger") {
			t.Errorf("filters: %s", out)
		}

		l.must(l.gate.Detach(eth0))
		if out := l.qdiscs(); !strings.Contains(out, "clsact") {
			t.Error("the qdisc is gone, and a stranger's filter with it")
		}
	})
}

// What another process inherits: leases go on, carps keep their slots, and what is no longer wanted goes.
func TestInherit(t *testing.T) {
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	l.gate.Renew(slot, now(t)+20*second)
	files, err := l.gate.Files()
	l.must(err)
	var fds []int
	for _, f := range files {
		fd, err := unix.Dup(int(f.Fd()))
		l.must(err)
		fds = append(fds, fd)
		f.Close()
	}
	l.gate.Close()
	l.in(l.host, func() {
		l.gate, err = Open("/test", fds)
		l.must(err)
		if got := l.gate.Carps(); len(got) != 1 || got[0] != "carp0" {
			t.Fatalf("carps %q", got)
		}
		again, err := l.gate.Add("carp0")
		l.must(err)
		if again != slot {
			t.Errorf("slot %d, was %d", again, slot)
		}
	})
	answers := func() bool { return l.exec(l.client, "ping -n -c 1 -W 0.3 "+vip4) }
	if !answers() {
		t.Error("it does not answer before it was attached again")
	}
	l.attach(vip4)
	if !answers() {
		t.Error("it does not answer after it was attached again")
	}
	l.in(l.host, func() {
		key, value := l.addrs(vip6)[0].key(), make([]byte, slotSize)
		if err := l.gate.maps.addrs.lookup(key[:], value); !errors.Is(err, unix.ENOENT) {
			t.Errorf("an address that is no longer shared: %d, %v", value, err)
		}
	})
	l.gate.ShutAll()
	if answers() {
		t.Error("it answers after everything was shut")
	}
	if _, err := Open("/test", []int{-1}); err == nil {
		t.Error("one bad descriptor is taken")
	}
}

// A packet whose headers a card has left in fragments, and one on an interface without Ethernet.
func TestOddPackets(t *testing.T) {
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	tun := -1
	l.in(l.host, func() {
		var err error
		tun, err = unix.Open("/dev/net/tun", unix.O_RDWR, 0)
		l.must(err)
		req, err := unix.NewIfreq("tun0")
		l.must(err)
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		l.must(unix.IoctlIfreq(tun, unix.TUNSETIFF, req))
		l.ip(l.host, "addr add 10.9.0.1/24 dev tun0")
		l.ip(l.host, "link set tun0 up")
		l.must(l.gate.Attach(index(t, "tun0"), 0))
	})
	defer unix.Close(tun)
	for _, fresh := range []bool{false, true} {
		l.gate.Shut(slot)
		if fresh {
			l.gate.Renew(slot, now(t)+10*second)
		}
		for what, send := range map[string]func(dst string){
			"tun": func(dst string) {
				_, err := unix.Write(tun, echo4("10.9.0.2", dst, 1))
				l.must(err)
			},
			"fragments": func(dst string) {
				// Not through the bridge, which puts the headers together.
				l.injectFragments(l.far, ethernet(farSideMAC, echo4("10.0.0.2", dst, 1), unix.ETH_P_IP))
			},
		} {
			if got := l.delivered(func() { send(vip4) }); got != fresh {
				t.Errorf("%s, fresh %t: delivered %t", what, fresh, got)
			}
			if !l.delivered(func() { send("192.168.1.1") }) {
				t.Errorf("%s, fresh %t: the host's own address is not delivered to", what, fresh)
			}
		}
	}
}

// injectFragments sends a frame through a ring: of it, the kernel has the Ethernet header alone at hand.
func (l *lab) injectFragments(ns string, frame []byte) {
	l.t.Helper()
	l.in(ns, func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		l.must(err)
		defer unix.Close(fd)
		l.must(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2))
		size := os.Getpagesize()
		l.must(unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_TX_RING, &unix.TpacketReq{Block_size: uint32(size), Block_nr: 1, Frame_size: uint32(size), Frame_nr: 1}))
		ring, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		l.must(err)
		defer unix.Munmap(ring)
		header := (*unix.Tpacket2Hdr)(unsafe.Pointer(&ring[0]))
		header.Len = uint32(copy(ring[unsafe.Sizeof(*header):], frame))
		header.Status = unix.TP_STATUS_SEND_REQUEST
		l.must(unix.Sendto(fd, nil, 0, &unix.SockaddrLinklayer{Ifindex: index(l.t, "eth0"), Protocol: uint16(onWire(unix.ETH_P_IP))}))
	})
}

// What keeps a gate from working is said.
func TestProbe(t *testing.T) {
	if err := Probe(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, want string }{
		{"setpriv --bounding-set -bpf,-sys_admin --inh-caps -bpf,-sys_admin " + self, "CAP_BPF"},
		{"unshare --time --boottime 1000 --fork " + self, ErrClock.Error()},
		{"unshare --time --boottime -1 --fork " + self, ErrClock.Error()},
		{"setpriv --bounding-set -all,+bpf,+net_admin --inh-caps -all,+bpf,+net_admin " + self, "<nil>"},
	} {
		cmd := exec.Command("sh", "-c", "exec "+c.command)
		cmd.Env = append(os.Environ(), "CARP_GATE_PROBE=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s, want %q", c.command, err, out, c.want)
		}
	}
}
