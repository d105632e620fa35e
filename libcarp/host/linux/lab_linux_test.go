package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
	"carp/libcarp/wire"
)

var (
	virtual = config.VirtualMAC(1)
	theirs  = config.MAC{2, 0, 0, 0, 0, 2} // of somebody on the wire
)

// inNetwork runs f in a network namespace of its own: the whole process has to be in it, so the test is run again as a child.
func inNetwork(t *testing.T, f func(l *lab)) {
	t.Helper()
	if os.Getenv("CARP_LAB") == t.Name() {
		f(newLab(t))
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	c.Env = append(os.Environ(), "CARP_LAB="+t.Name())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if _, text, ok := strings.Cut(line, "_test.go:"); ok {
			t.Log(text)
		}
	}
}

// A lab is a host with eth0, 192.168.1.1/24 and fe80::1:1, and the other end of its wire, wire0, which has nothing.
type lab struct {
	t     *testing.T
	host  *Host
	eth0  int
	mac   config.MAC
	wire  int         // a packet socket on wire0
	seen  chan []byte // what came out of eth0
	ended chan struct{}
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, seen: make(chan []byte, 4096), ended: make(chan struct{})}
	l.ip("link", "set", "lo", "up")
	l.ip("link", "add", "eth0", "type", "veth", "peer", "name", "wire0")
	l.sysctl("ipv6/conf/wire0/disable_ipv6", "1")
	l.sysctl("ipv4/conf/wire0/arp_ignore", "8")
	l.sysctl("ipv6/conf/eth0/accept_dad", "0")
	l.sysctl("ipv6/conf/eth0/router_solicitations", "0")
	for _, name := range []string{"wire0", "eth0"} {
		l.ip("link", "set", name, "up")
	}
	l.ip("addr", "add", "192.168.1.1/24", "dev", "eth0")
	l.ip("addr", "add", "fe80::1:1/64", "dev", "eth0", "nodad")
	l.eth0, l.mac = l.link("eth0")
	other, _ := l.link("wire0")
	var err error
	if l.wire, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(l.wire, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		t.Fatal(err)
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(l.wire, &unix.SockaddrLinklayer{Protocol: all, Ifindex: other}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			buf := make([]byte, 2048)
			n, _, err := unix.Recvfrom(l.wire, buf, 0)
			if err != nil {
				return
			}
			select {
			case l.seen <- buf[:n]:
			default:
			}
		}
	}()
	l.open()
	return l
}

func (l *lab) open() {
	l.t.Helper()
	var err error
	if l.host, err = Open(Options{Mark: "test", Logf: l.t.Logf}); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := l.host.Close(); err != nil {
			l.t.Errorf("close: %v", err)
		}
	})
}

func (l *lab) ip(args ...string) string {
	l.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (l *lab) sysctl(key, value string) {
	l.t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) link(name string) (index int, mac config.MAC) {
	l.t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		l.t.Fatal(err)
	}
	return link.Attrs().Index, config.MAC(link.Attrs().HardwareAddr)
}

// inject puts a frame on the wire, towards eth0.
func (l *lab) inject(frame []byte) {
	l.t.Helper()
	if _, err := unix.Write(l.wire, frame); err != nil {
		l.t.Fatal(err)
	}
}

// sees waits for a frame from eth0.
func (l *lab) sees(what string, want func(f []byte) bool) []byte {
	l.t.Helper()
	late := time.After(3 * time.Second)
	for {
		select {
		case f := <-l.seen:
			if want(f) {
				return f
			}
		case <-late:
			l.t.Fatalf("not seen: %s", what)
		}
	}
}

// quiet fails the test if a frame from eth0 comes that is not wanted.
func (l *lab) quiet(what string, unwanted func(f []byte) bool) {
	l.t.Helper()
	late := time.After(200 * time.Millisecond)
	for {
		select {
		case f := <-l.seen:
			if unwanted(f) {
				l.t.Errorf("%s: %x", what, f)
			}
		case <-late:
			return
		}
	}
}

// hears returns how often the host delivers an advert of that vhid within a while.
func (l *lab) hears(vhid byte) (n int, last host.Packet) {
	late := time.After(150 * time.Millisecond)
	for {
		select {
		case p := <-l.host.Packets():
			if len(p.Payload) > 1 && p.Payload[1] == vhid {
				n, last = n+1, p
			}
		case <-late:
			return n, last
		}
	}
}

func (l *lab) ensure(c host.Carp) int {
	l.t.Helper()
	index, err := l.host.Ensure(c)
	if err != nil {
		l.t.Fatal(err)
	}
	return index
}

// amiss reports whether the host says within d that somebody has changed a carp's link.
func (l *lab) amiss(d time.Duration) bool {
	select {
	case <-l.host.Amiss():
		return true
	case <-time.After(d):
		return false
	}
}

func (l *lab) carp(vhid uint8, master bool, addrs ...string) host.Carp {
	c := host.Carp{Name: "carp" + string('0'+rune(vhid)), Carpdev: l.eth0, MAC: config.VirtualMAC(vhid), VHIDs: []uint8{vhid}, Master: master}
	for _, a := range addrs {
		c.Addrs = append(c.Addrs, netip.MustParsePrefix(a))
	}
	return c
}

// advert4 and advert6 are frames with an advert of a vhid.
func advert4(vhid byte, to, from config.MAC, src, dst string) []byte {
	return frameOf(to, from, packet4(vhid, src, dst))
}

func packet4(vhid byte, src, dst string) []byte {
	b := make([]byte, wire.IPv4Header+wire.Size)
	wire.MarshalIPv4(b, 7, netip.MustParseAddr(src), netip.MustParseAddr(dst))
	(&wire.Advert{Version: wire.Version, Type: wire.Type, VHID: vhid, Authlen: wire.Authlen, Advbase: 1}).Marshal(b[wire.IPv4Header:])
	return b
}

func advert6(vhid byte, to, from config.MAC, src, dst string) []byte {
	return frameOf(to, from, packet6(vhid, src, dst))
}

func packet6(vhid byte, src, dst string) []byte {
	b := make([]byte, wire.IPv6Header+wire.Size)
	wire.MarshalIPv6(b, netip.MustParseAddr(src), netip.MustParseAddr(dst))
	(&wire.Advert{Version: wire.Version, Type: wire.Type, VHID: vhid, Authlen: wire.Authlen, Advbase: 1}).Marshal(b[wire.IPv6Header:])
	return b
}

func kind(f []byte) uint16 { return binary.BigEndian.Uint16(f[12:]) }

func to(mac config.MAC) func([]byte) bool {
	return func(f []byte) bool { return string(f[:6]) == string(mac[:]) }
}

// arp makes an ARP packet.
func arp(op byte, to, from config.MAC, sender, target string) []byte {
	f := append(append(append([]byte{}, to[:]...), from[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, op)
	f = append(append(f, from[:]...), net.ParseIP(sender).To4()...)
	return append(append(f, to[:]...), net.ParseIP(target).To4()...)
}

var broadcast = config.MAC{255, 255, 255, 255, 255, 255}

// asks reports whether a frame is an ARP request for addr.
func asks(addr string) func([]byte) bool {
	return func(f []byte) bool {
		return kind(f) == unix.ETH_P_ARP && f[21] == 1 && net.IP(f[38:42]).String() == addr && net.IP(f[28:32]).String() != addr
	}
}

// answers reports whether a frame is an ARP reply for addr.
func answers(addr string) func([]byte) bool {
	return func(f []byte) bool {
		return kind(f) == unix.ETH_P_ARP && f[21] == 2 && net.IP(f[28:32]).String() == addr
	}
}

// icmp6 makes an ICMPv6 packet with hop limit 255.
func icmp6(to, from config.MAC, src, dst string, body []byte) []byte {
	b := make([]byte, wire.IPv6Header, wire.IPv6Header+len(body))
	b[0], b[5], b[6], b[7] = 0x60, byte(len(body)), unix.IPPROTO_ICMPV6, 255
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	body[2], body[3] = 0, 0
	pseudo := append(append(append([]byte{}, b[8:40]...), 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6), body...)
	binary.BigEndian.PutUint16(body[2:], wire.Checksum(pseudo))
	return frameOf(to, from, append(b, body...))
}

func isICMP6(f []byte, kinds ...byte) bool {
	if kind(f) != unix.ETH_P_IPV6 || f[20] != unix.IPPROTO_ICMPV6 {
		return false
	}
	for _, k := range kinds {
		if f[54] == k {
			return true
		}
	}
	return false
}

// solicit makes a neighbour solicitation.
func solicit(from config.MAC, src, target string) []byte {
	group := solicitedNode(netip.MustParseAddr(target))
	a := netip.MustParseAddr(target).As16()
	body := append(append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, a[:]...), 1, 1)
	return icmp6(multicastMAC(group), from, src, group.String(), append(body, from[:]...))
}

// told reports whether a frame is a neighbour advertisement for addr.
func told(addr string) func([]byte) bool {
	a := netip.MustParseAddr(addr).As16()
	return func(f []byte) bool { return isICMP6(f, 136) && string(f[62:78]) == string(a[:]) }
}

// gated opens the host anew, with a gate.
func (l *lab) gated(warnf func(string, ...any)) {
	l.t.Helper()
	if os.Getuid() != 0 {
		l.t.Fatal("needs root, for eBPF")
	}
	g, err := gate.New("test")
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.host.Close(); err != nil {
		l.t.Fatal(err)
	}
	if l.host, err = Open(Options{Mark: "test", Gate: g, Logf: l.t.Logf, Warnf: warnf}); err != nil {
		l.t.Fatal(err)
	}
}
