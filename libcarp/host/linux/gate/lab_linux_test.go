package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

func TestMain(m *testing.M) {
	if what := os.Getenv("CARP_GATE_PROBE"); what != "" {
		fmt.Println(Probe())
		return
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "gate: the tests need root, for network namespaces and eBPF")
		os.Exit(77)
	}
	os.Exit(m.Run())
}

const (
	vip4, vip6 = "192.168.1.10", "2001:db8:1::10"
	virtualMAC = "00:00:5e:00:01:0a"
	hostMAC    = "02:00:00:00:01:01" // of eth0
	farSideMAC = "02:00:00:00:01:02" // of eth1
)

var labs atomic.Int32

// A lab is a host with a carp that is always up and has no other protection than the gate, a client on its LAN, and somebody far behind a third
// interface.
//
//	client eth0 ── br0 ── eth0 host eth1 ── eth0 far
type lab struct {
	t                     *testing.T
	host, client, far, sw string // namespaces
	gate                  *Gate
}

func newLab(t *testing.T) *lab {
	t.Helper()
	id := fmt.Sprintf("gate%d-%d-", os.Getpid(), labs.Add(1))
	l := &lab{t: t, host: id + "host", client: id + "client", far: id + "far", sw: id + "sw"}
	for _, ns := range []string{l.host, l.client, l.far, l.sw} {
		l.run("ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		l.ip(ns, "link set lo up")
	}
	l.ip(l.sw, "link add br0 type bridge")
	l.ip(l.sw, "link set br0 up")
	l.ip(l.sw, "link add host type veth peer name eth0 address "+hostMAC+" netns "+l.host)
	l.ip(l.sw, "link add client type veth peer name eth0 netns "+l.client)
	l.ip(l.sw, "link set host master br0 up")
	l.ip(l.sw, "link set client master br0 up")
	l.ip(l.host, "link add eth1 address "+farSideMAC+" type veth peer name eth0 netns "+l.far)
	for _, ns := range []string{l.host, l.client, l.far} {
		for _, c := range []string{"all", "default", "eth0"} {
			l.sysctl(ns, "ipv6/conf/"+c+"/accept_dad", "0")
		}
	}
	for ns, addrs := range map[string][]string{
		l.host + " eth0":   {"192.168.1.1/24", "2001:db8:1::1/64"},
		l.host + " eth1":   {"10.0.0.1/24", "2001:db8:2::1/64"},
		l.client + " eth0": {"192.168.1.4/24", "2001:db8:1::4/64"},
		l.far + " eth0":    {"10.0.0.2/24", "2001:db8:2::2/64"},
	} {
		ns, dev, _ := strings.Cut(ns, " ")
		for _, a := range addrs {
			l.ip(ns, "addr add "+a+" dev "+dev+nodad(a))
		}
		l.ip(ns, "link set "+dev+" up")
	}
	l.ip(l.client, "route add default via 192.168.1.1")
	l.ip(l.client, "route add default via 2001:db8:1::1")
	l.ip(l.far, "route add default via 10.0.0.1")
	l.ip(l.far, "route add default via 2001:db8:2::1")
	l.sysctl(l.host, "ipv4/ip_forward", "1")
	l.sysctl(l.host, "ipv6/conf/all/forwarding", "1")
	l.sysctl(l.host, "ipv4/conf/eth0/arp_ignore", "1")
	l.carp("carp0", virtualMAC, vip4+"/24", vip6+"/64")
	l.in(l.host, func() {
		var err error
		if l.gate, err = New("/test"); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { l.gate.Close() })
	return l
}

func nodad(addr string) string {
	if strings.Contains(addr, ":") {
		return " nodad"
	}
	return ""
}

// carp makes a carp's link on the host.
func (l *lab) carp(name, mac string, addrs ...string) {
	l.t.Helper()
	l.ip(l.host, "link add "+name+" link eth0 address "+mac+" type macvlan mode private")
	for kv, v := range map[string]string{"ipv4/conf/%s/arp_ignore": "1", "ipv4/conf/%s/rp_filter": "2", "ipv6/conf/%s/accept_dad": "0", "ipv6/conf/%s/addr_gen_mode": "1"} {
		l.sysctl(l.host, fmt.Sprintf(kv, name), v)
	}
	l.ip(l.host, "link set "+name+" up")
	for _, a := range addrs {
		if strings.HasPrefix(a, "fe80") {
			l.ip(l.host, "addr add "+a+" dev "+name+" nodad")
		} else {
			l.ip(l.host, "addr add "+a+" dev "+name+" noprefixroute"+nodad(a))
		}
	}
}

// attach puts the gate on everything, as if carp0 had these addresses, and returns its slot.
func (l *lab) attach(addrs ...string) (slot int) {
	l.t.Helper()
	l.in(l.host, func() {
		slot = l.add("carp0", addrs...)
		for _, dev := range []string{"eth0", "eth1"} {
			l.must(l.gate.Attach(index(l.t, dev), 0))
		}
	})
	return slot
}

// add adds a carp within the host's namespace.
func (l *lab) add(carp string, addrs ...string) int {
	l.t.Helper()
	slot, err := l.gate.Add(carp)
	l.must(err)
	l.must(l.gate.SetAddrs(map[string][]Addr{carp: l.addrs(addrs...)}))
	l.must(l.gate.AttachCarp(index(l.t, carp), carp))
	return slot
}

func (l *lab) addrs(addrs ...string) (all []Addr) {
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		all = append(all, Addr{Domain(a, index(l.t, "eth0"), 0), a})
	}
	return all
}

// index returns the index of an interface of the namespace that the thread is in.
func index(t *testing.T, name string) int {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return ifi.Index
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// in runs f in a namespace.
func (l *lab) in(ns string, f func()) {
	l.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	l.must(err)
	defer home.Close()
	to, err := os.Open("/run/netns/" + ns)
	l.must(err)
	defer to.Close()
	l.must(unix.Setns(int(to.Fd()), unix.CLONE_NEWNET))
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err == nil {
			runtime.UnlockOSThread() // else the thread ends with its goroutine
		}
	}()
	f()
}

func (l *lab) run(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (l *lab) ip(ns, words string) string {
	l.t.Helper()
	return l.run(append([]string{"ip", "-n", ns}, strings.Fields(words)...)...)
}

// exec runs a command in a namespace and reports whether it succeeded.
func (l *lab) exec(ns, words string) bool {
	return exec.Command("ip", append([]string{"netns", "exec", ns}, strings.Fields(words)...)...).Run() == nil
}

func (l *lab) sysctl(ns, key, value string) {
	l.t.Helper()
	l.run("ip", "netns", "exec", ns, "sh", "-c", "echo "+value+" > /proc/sys/net/"+key)
}

func now(t *testing.T) int64 {
	t.Helper()
	n, err := boottime()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const second = int64(time.Second)

// echoes returns how many echo requests were delivered on the host, of both families.
func (l *lab) echoes() (n int) {
	l.t.Helper()
	out := l.run("ip", "netns", "exec", l.host, "cat", "/proc/net/snmp6", "/proc/net/snmp")
	var names []string
	for _, line := range strings.Split(out, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "Icmp6InEchos":
			v, _ := strconv.Atoi(f[1])
			n += v
		case len(f) > 1 && f[0] == "Icmp:" && names == nil:
			names = f
		case len(f) > 1 && f[0] == "Icmp:":
			for i, name := range names {
				if name == "InEchos" {
					v, _ := strconv.Atoi(f[i])
					n += v
				}
			}
		}
	}
	return n
}

// delivered reports whether the host takes in what f sends.
func (l *lab) delivered(f func()) bool {
	l.t.Helper()
	before := l.echoes()
	f()
	time.Sleep(20 * time.Millisecond)
	return l.echoes() > before
}

// inject sends a frame out of eth0 of a namespace.
func (l *lab) inject(ns string, frame []byte) {
	l.t.Helper()
	l.in(ns, func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		l.must(err)
		defer unix.Close(fd)
		// A frame that is dropped on its way out has no buffer, to its sender.
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index(l.t, "eth0")}); !errors.Is(err, unix.ENOBUFS) {
			l.must(err)
		}
	})
}

func mac(s string) []byte {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

// ethernet puts a header before a packet: its MAC, the client's own invention as source, and the types of tags and the packet.
func ethernet(to string, payload []byte, types ...uint16) []byte {
	b := append(mac(to), mac("02:00:00:00:00:99")...)
	for i, t := range types {
		b = binary.BigEndian.AppendUint16(b, t)
		if i < len(types)-1 {
			b = binary.BigEndian.AppendUint16(b, 0xe000) // priority 7, VLAN 0
		}
	}
	return append(b, payload...)
}

// packet4 is an IPv4 packet of a protocol.
func packet4(proto byte, src, dst string, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	copy(b[12:], netip.MustParseAddr(src).AsSlice())
	copy(b[16:], netip.MustParseAddr(dst).AsSlice())
	binary.BigEndian.PutUint16(b[10:], wire.Checksum(b))
	return append(b, payload...)
}

// echo4 is an echo request.
func echo4(src, dst string, seq uint16) []byte {
	b := make([]byte, 40)
	b[0] = 8
	binary.BigEndian.PutUint16(b[6:], seq)
	binary.BigEndian.PutUint16(b[2:], wire.Checksum(b))
	return packet4(unix.IPPROTO_ICMP, src, dst, b)
}
