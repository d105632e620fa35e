package regress

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// families are the shared addresses of the scenarios: the lines after `ifconfig carp0`, and what a client can ping.
var families = []struct {
	name   string
	lines  []string
	shared []string
	v4, v6 bool // which adverts are sent
}{
	{"IPv4", []string{"192.168.1.10/24"}, []string{"192.168.1.10"}, true, false},
	{"IPv6", []string{"inet6 2001:db8:1::10/64"}, []string{"2001:db8:1::10"}, false, true},
	{"both", []string{"192.168.1.10/24", "inet6 2001:db8:1::10/64 alias"}, []string{"192.168.1.10", "2001:db8:1::10"}, true, true},
	{"link-local", []string{"inet6 fe80::10/64"}, []string{"fe80::10"}, false, true},
}

// carpWith configures carp0, the parameters before the addresses.
func (m *machine) carpWith(words string, lines []string) {
	m.lab.t.Helper()
	m.must("ifconfig-carp carp0 " + words)
	for _, line := range lines {
		m.must("ifconfig-carp carp0 " + line)
	}
}

// ping reports whether an address answers.
func (m *machine) ping(addr string) bool {
	m.lab.t.Helper()
	return m.do("ping -n -c 2 -i 0.1 -W 1 "+scoped(addr)).code == 0
}

func scoped(addr string) string {
	if strings.HasPrefix(addr, "fe80:") {
		return addr + "%eth0"
	}
	return addr
}

// reaches checks that a client reaches a shared address at a MAC.
func (m *machine) reaches(addr, mac string) {
	m.lab.t.Helper()
	m.lab.within(3*time.Second, addr+" answers", func() bool { return m.ping(addr) })
	if out := m.lab.ip(m.ns, "neigh", "show", addr, "dev", "eth0"); !strings.Contains(out, "lladdr "+mac) {
		m.lab.t.Errorf("the entry for %s: %s", addr, out)
	}
}

// FreeBSD's basic_v4 and basic_v6, and both at once: one master, which answers with the virtual MAC; a backup does not.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			l := newLab(t)
			client := l.machine("client")
			a, b := l.host("a"), l.host("b")
			a.carpWith("vhid 1 carpdev eth0 advbase 20", f.lines)
			a.becomes("backup", 3*time.Second)
			for _, addr := range f.shared { // alone on the wire, and no master
				l.ip(client.ns, "neigh", "flush", "dev", "eth0")
				if client.ping(addr) {
					t.Errorf("a backup answers for %s", addr)
				}
				l.ip(client.ns, "neigh", "replace", addr, "lladdr", virtualMAC, "dev", "eth0", "nud", "permanent")
				if client.ping(addr) {
					t.Errorf("a backup answers to the virtual MAC for %s", addr)
				}
				l.ip(client.ns, "neigh", "del", addr, "dev", "eth0")
			}
			c := client.capture()
			a.must("ifconfig-carp carp0 " + fast)
			b.carpWith("vhid 1 carpdev eth0 advbase 0 advskew 100", f.lines)
			a.becomes("master", 5*time.Second)
			for _, addr := range f.shared {
				c.wait(t, 0, 3*time.Second, "an announcement of "+addr, func(f *frame) bool { return announcement(addr)(f) && f.from.String() == virtualMAC })
				client.reaches(addr, virtualMAC)
			}
			time.Sleep(time.Second)
			if s := b.status("carp0"); s != "backup" {
				t.Errorf("b is %s", s)
			}
			from := c.count()
			time.Sleep(time.Second)
			for source, want := range map[string]bool{a.addr: f.v4, a.local: f.v6, b.addr: false, b.local: false, a.addr6: false} {
				ads := c.since(from, advertFrom(source))
				if (len(ads) > 4) != want || !want && len(ads) > 0 {
					t.Errorf("%d adverts from %s", len(ads), source)
				}
				for _, ad := range ads {
					if hops := ad.data[22-binary.BigEndian.Uint16(ad.data[12:])/0x86dd]; hops != 255 || ad.from.String() != virtualMAC {
						t.Errorf("%x", ad.data)
					}
				}
			}
			from = c.count()
			a.crash()
			b.becomes("master", 3*time.Second)
			for _, addr := range f.shared {
				c.wait(t, from, 3*time.Second, "an announcement of "+addr, announcement(addr))
				client.reaches(addr, virtualMAC)
			}
		})
	}
}

// NetBSD's handovers: by halt and by the interface going down, with and without an address on the carpdev.
func TestHandover(t *testing.T) {
	t.Parallel()
	for _, f := range families[:2] {
		for _, how := range []string{"halt", "interface down"} {
			for _, numbered := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, carpdev with an address %t", f.name, how, numbered), func(t *testing.T) {
					l := newLab(t)
					client, a, b := l.machine("client"), l.host("a"), l.host("b")
					for _, m := range []*machine{a, b} {
						if !numbered {
							l.ip(m.ns, "addr", "flush", "dev", "eth0")
							l.ip(m.ns, "addr", "add", m.local+"/64", "dev", "eth0", "nodad") // goes with IPv6 itself
						}
					}
					a.carpWith("vhid 175 pass s3cret carpdev eth0 "+fast, f.lines)
					a.becomes("master", 5*time.Second)
					b.carpWith("vhid 175 pass s3cret carpdev eth0 advbase 0 advskew 50", f.lines)
					b.becomes("backup", 5*time.Second)
					time.Sleep(time.Second)
					if x, y := a.status("carp0"), b.status("carp0"); x != "master" || y != "backup" {
						t.Errorf("%s and %s", x, y)
					}
					if numbered {
						client.reaches(f.shared[0], "00:00:5e:00:01:af")
					}
					if how == "halt" {
						a.stop()
					} else {
						l.ip(a.ns, "link", "set", "eth0", "down")
					}
					b.becomes("master", 3*time.Second)
					if numbered {
						client.reaches(f.shared[0], "00:00:5e:00:01:af")
					}
				})
			}
		}
	}
}

// FreeBSD's unicast_v4, unicast_v6 and unicast_ll_v6 on one link, beside a carp that uses the groups. Nothing of it is answered with an error.
func TestUnicast(t *testing.T) {
	t.Parallel()
	for _, peer := range []struct {
		family int // in families
		words  func(m *machine) string
	}{
		{0, func(m *machine) string { return "carppeer " + m.addr }},
		{1, func(m *machine) string { return "carppeer6 " + m.addr6 }},
		{1, func(m *machine) string { return "carppeer6 " + m.local }},
		{2, func(m *machine) string { return "carppeer " + m.addr + " carppeer6 " + m.local }},
	} {
		f := families[peer.family]
		t.Run(f.name+", "+strings.Fields(peer.words(&machine{addr: "A", addr6: "A6", local: "LL"}))[1], func(t *testing.T) {
			l := newLab(t)
			client, a, b := l.machine("client"), l.host("a"), l.host("b")
			c, onA, onB := client.capture(), a.capture(), b.capture()
			a.carpWith("vhid 1 "+fast+" "+peer.words(b), f.lines)
			b.carpWith("vhid 1 "+fast+" "+peer.words(a), f.lines)
			for _, m := range []*machine{a, b} {
				m.must("ifconfig-carp carp1 vhid 2 " + fast + " 192.168.1.20/24")
			}
			single := func(carp string) (master, backup *machine) {
				t.Helper()
				l.within(6*time.Second, "one master of "+carp, func() bool {
					x, y := a.status(carp), b.status(carp)
					master, backup = a, b
					if y == "master" {
						master, backup = b, a
					}
					return x == "master" && y == "backup" || x == "backup" && y == "master"
				})
				return master, backup
			}
			single("carp0")
			single("carp1")
			time.Sleep(time.Second)
			master, backup := single("carp0")
			single("carp1")
			for _, addr := range f.shared {
				client.reaches(addr, virtualMAC)
			}
			for _, ad := range c.since(0, func(f *frame) bool { return f.advert != nil && f.advert.VHID == 1 && f.data[0]&1 != 0 }) {
				t.Errorf("an advert to a group: %x", ad.data)
			}
			if ads := c.since(0, func(f *frame) bool { return f.advert != nil && f.advert.VHID == 2 }); len(ads) < 3 {
				t.Errorf("%d adverts of carp1", len(ads))
			}
			for _, at := range []*capture{onA, onB} {
				if errors := at.since(0, func(f *frame) bool { return f.icmp }); len(errors) > 0 {
					t.Errorf("an error: %x", errors[0].data)
				}
			}
			master.crash()
			l.within(3*time.Second, "the other takes over", func() bool { return backup.status("carp0") == "master" })
			for _, addr := range f.shared {
				client.reaches(addr, virtualMAC)
			}
			if log := backup.readLog(); strings.Contains(log, "output failed") {
				t.Errorf("not resolved is no error to send:\n%s", log)
			}
		})
	}
}

// Demotion moves the address without preempt, and its end moves it back with it.
func TestDemotionAndItsEnd(t *testing.T) {
	t.Parallel()
	for _, f := range families[:3] {
		t.Run(f.name, func(t *testing.T) {
			l := newLab(t)
			a, b := l.host("a"), l.host("b")
			a.carpWith("vhid 1 "+fast, f.lines)
			a.becomes("master", 5*time.Second)
			b.carpWith("vhid 1 advbase 0 advskew 50", f.lines)
			b.becomes("backup", 5*time.Second)
			for _, m := range []*machine{a, b} {
				m.must("sysctl-carp net.inet.carp.preempt=1")
			}
			a.must("ifconfig-carp -g carp carpdemote 10")
			b.becomes("master", 3*time.Second)
			a.becomes("backup", 3*time.Second)
			a.must("ifconfig-carp -g carp -carpdemote 10")
			a.becomes("master", 3*time.Second)
			b.becomes("backup", 3*time.Second)
		})
	}
}

// FreeBSD's switch: states by hand.
func TestStatesByHand(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.carpWith("vhid 1 advskew 100", families[2].lines)
	for range 3 {
		a.must("ifconfig-carp carp0 state backup")
		a.becomes("backup", time.Second)
		a.must("ifconfig-carp carp0 state master")
		a.becomes("master", time.Second)
		for _, addr := range families[2].shared {
			client.reaches(addr, virtualMAC)
		}
	}
	a.must("ifconfig-carp carp0 state init")
	if client.ping("2001:db8:1::10") && a.status("carp0") != "master" {
		t.Error("it answers in INIT")
	}
}

// FreeBSD's nd6_ns_source_mac: who is not master reaches nobody from the shared address, and clients' entries stay right.
func TestFromSharedAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	for _, m := range []*machine{a, b} {
		m.carpWith("vhid 1 "+fast, families[1].lines)
		if m == a {
			a.becomes("master", 5*time.Second)
		}
	}
	b.becomes("backup", 5*time.Second)
	client.reaches("2001:db8:1::10", virtualMAC)
	if r := b.do("ping -6 -n -c 3 -i 0.2 -W 1 -I 2001:db8:1::10 " + client.addr6); r.code == 0 {
		t.Errorf("from the backup: %s", r.out)
	}
	client.reaches("2001:db8:1::10", virtualMAC)
	if r := a.do("ping -6 -n -c 3 -i 0.2 -W 1 -I 2001:db8:1::10 " + client.addr6); r.code != 0 {
		t.Errorf("from the master: %s", r.out)
	}
	client.reaches("2001:db8:1::10", virtualMAC)
}

// Aliases of both families come and go on a running pair, the backup first: nobody moves, only the new one is announced, the others answer on.
func TestAliases(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	c := client.capture()
	a.carpWith("vhid 1 "+fast, families[2].lines)
	a.becomes("master", 5*time.Second)
	b.carpWith("vhid 1 advbase 0 advskew 50", families[2].lines)
	b.becomes("backup", 5*time.Second)
	time.Sleep(time.Second)
	for _, step := range []struct{ line, announced string }{
		{"alias 192.168.1.11/24", "192.168.1.11"},
		{"inet6 2001:db8:1::11/64 alias", "2001:db8:1::11"},
		{"inet6 fe80::11/64 alias", "fe80::11"},
		{"inet6 2001:db8:1::11 -alias", ""},
		{"inet 192.168.1.11 -alias", ""},
	} {
		from := c.count()
		for _, m := range []*machine{b, a} {
			m.must("ifconfig-carp carp0 " + step.line)
			time.Sleep(500 * time.Millisecond)
		}
		for _, f := range c.since(from, func(f *frame) bool { return f.garp.IsValid() }) {
			if f.garp.String() != step.announced {
				t.Errorf("%s: %s is announced", step.line, f.garp)
			}
		}
		if step.announced != "" {
			c.wait(t, from, time.Second, step.line+": an announcement", announcement(step.announced))
			client.reaches(step.announced, virtualMAC)
		}
		for _, addr := range families[2].shared {
			if !client.ping(addr) {
				t.Errorf("%s: %s does not answer", step.line, addr)
			}
		}
	}
	for m, log := range map[*machine]string{a: "MASTER -> ", b: " -> MASTER"} {
		if strings.Contains(m.readLog(), log) {
			events, _ := os.ReadFile(filepath.Join(m.state, "events"))
			t.Errorf("%s moved:\n%s", m.name, events)
		}
	}
}

// Two carps with one address, the 2003 form of balancing: it is answered while either is master.
func TestSharedTwice(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	for _, m := range []*machine{a, b} {
		for vhid, carp := range []string{"carp0", "carp1"} {
			m.must(fmt.Sprintf("ifconfig-carp %s vhid %d %s 192.168.1.10/24", carp, vhid+1, fast))
			m.must("ifconfig-carp " + carp + " inet6 2001:db8:1::10/64 alias")
		}
	}
	for _, masters := range [][2]*machine{{a, b}, {b, a}, {a, a}, {b, b}} {
		for n, master := range masters {
			carp := fmt.Sprint("carp", n)
			for _, m := range []*machine{a, b} {
				m.must("sysctl-carp net.inet.carp.preempt=1")
				m.must(fmt.Sprintf("ifconfig-carp %s advskew %d", carp, map[bool]int{true: 25, false: 50}[m == master]))
			}
			l.within(5*time.Second, carp+" has moved", func() bool {
				x, y := a.status(carp), b.status(carp)
				return x == "master" && y == "backup" && master == a || y == "master" && x == "backup" && master == b
			})
		}
		l.ip(client.ns, "neigh", "flush", "dev", "eth0")
		for _, addr := range families[2].shared {
			l.within(3*time.Second, addr+" answers", func() bool { return client.ping(addr) })
		}
	}
}

// A VRRP router with our virtual MAC is named, once, and harms nobody.
func TestVRRP(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	// VRRPv2, RFC 3768: VRID 1, priority 100, one address, interval 1 s.
	vrrp := []byte{0x21, 1, 100, 1, 0, 1, 0, 0, 192, 168, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(vrrp[6:], wire.Checksum(vrrp))
	packet := make([]byte, wire.IPv4Header)
	wire.MarshalIPv4(packet, 1, mustAddr(client.addr), wire.GroupIPv4)
	binary.BigEndian.PutUint16(packet[2:], uint16(wire.IPv4Header+len(vrrp)))
	packet[10], packet[11] = 0, 0
	binary.BigEndian.PutUint16(packet[10:], wire.Checksum(packet))
	frame := append([]byte{1, 0, 0x5e, 0, 0, 18, 0, 0, 0x5e, 0, 1, 1, 8, 0}, append(packet, vrrp...)...)
	fd := client.packetSocket()
	defer unix.Close(fd)
	for range 5 {
		if _, err := unix.Write(fd, frame); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := a.counter("vrrp"); n != 5 {
		t.Errorf("counted %d", n)
	}
	want := "carp0: VRRP router " + client.addr + " uses virtual MAC " + virtualMAC + ", choose another vhid\n"
	if n := strings.Count(a.readLog(), want); n != 1 {
		t.Errorf("logged %d times:\n%s", n, a.readLog())
	}
	if s := a.status("carp0"); s != "master" {
		t.Errorf("it is %s", s)
	}
}

// A virtual host of the same number and pass phrase in a VLAN on the wire is another: its adverts, made by hand out of ours, are not even counted.
func TestTagged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	c := client.capture()
	a.carpWith("vhid 1 "+fast, families[2].lines)
	a.becomes("master", 5*time.Second)
	onA := [][]byte{}
	for _, from := range []string{a.addr, a.local} {
		f, _ := c.wait(t, 0, time.Second, "an advert from "+from, advertFrom(from))
		onA = append(onA, f.data)
	}
	a.crash()
	b.carpWith("vhid 1 advbase 0 advskew 100", families[2].lines)
	fd := client.packetSocket()
	defer unix.Close(fd)
	for _, c := range []struct {
		tag     []byte
		counted bool
	}{{[]byte{0x81, 0, 0, 10}, false}, {[]byte{0x88, 0xa8, 0, 10}, false}, {[]byte{0x81, 0, 0xe0, 0}, true}, {nil, true}} {
		before := b.counter("ipackets") + b.counter("ipackets6")
		for range 3 {
			for _, data := range onA {
				if _, err := unix.Write(fd, slices.Insert(slices.Clone(data), 12, c.tag...)); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := map[bool]uint64{true: 6}[c.counted]
		if n := b.counter("ipackets") + b.counter("ipackets6") - before; n != want {
			t.Errorf("tag %x: %d of 6 adverts counted", c.tag, n)
		}
	}
}

// The carpdev is a macvlan: two masters hear each other, though the kernel gives their adverts to carp0 alone.
func TestMacvlanHeals(t *testing.T) {
	t.Parallel()
	for _, f := range families[:2] {
		t.Run(f.name, func(t *testing.T) {
			l := newLab(t)
			client, a, b := l.machine("client"), l.host("a"), l.host("b")
			for n, m := range []*machine{a, b} {
				l.ip(m.ns, "addr", "flush", "dev", "eth0")
				l.ip(m.ns, "link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
				l.ip(m.ns, "link", "set", "mv0", "addrgenmode", "none", "up")
				for _, addr := range []string{m.addr + "/24", m.addr6 + "/64", m.local + "/64"} {
					l.ip(m.ns, "addr", "add", addr, "dev", "mv0")
				}
				l.within(3*time.Second, "mv0 is known", func() bool {
					return m.do(fmt.Sprintf("ifconfig-carp carp0 vhid 1 carpdev mv0 advbase 0 advskew %d", 25+25*n)).code == 0
				})
				m.carpWith("up", f.lines)
			}
			a.becomes("master", 8*time.Second)
			b.becomes("backup", 3*time.Second)
			a.cut()
			b.becomes("master", 5*time.Second)
			a.heal()
			b.becomes("backup", 5*time.Second)
			time.Sleep(time.Second)
			if x, y := a.status("carp0"), b.status("carp0"); x != "master" || y != "backup" {
				t.Errorf("%s and %s", x, y)
			}
			client.reaches(f.shared[0], virtualMAC)
		})
	}
}

// A custom link-level address is the adverts' and the answers', and part of the hash.
func TestLladdr(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a, b := l.machine("client"), l.host("a"), l.host("b")
	c := client.capture()
	const mac = "02:00:5e:10:00:01"
	a.carpWith("vhid 1 lladdr "+mac+" "+fast, families[2].lines)
	a.becomes("master", 5*time.Second)
	b.carpWith("vhid 1 lladdr "+mac+" "+fast, families[2].lines)
	b.becomes("backup", 3*time.Second)
	time.Sleep(time.Second)
	if s := b.status("carp0"); s != "backup" {
		t.Errorf("b is %s", s)
	}
	for _, addr := range families[2].shared {
		client.reaches(addr, mac)
	}
	for _, ad := range c.since(0, func(f *frame) bool { return f.advert != nil }) {
		if ad.from.String() != mac {
			t.Fatalf("an advert from %s", ad.from)
		}
	}
	b.must("ifconfig-carp carp0 destroy") // or it would still take adverts with the previous hash
	b.carpWith("vhid 1 lladdr 02:00:5e:10:00:02 "+fast, families[2].lines)
	b.becomes("master", 5*time.Second)
	if n := b.counter("badauth"); n == 0 {
		t.Error("another address, and the hash is the same")
	}
}

// A demoted master gives way to a real ucarp, which does not know demotion, with demoteskew=1 alone.
func TestDemoteSkew(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ours, peer := l.host("ours"), l.machine("ucarp")
	ours.must("ifconfig-carp carp0 vhid 1 pass lablove advskew 0 192.168.1.10")
	ours.becomes("master", 6*time.Second)
	peer.ucarp(100, "-P")
	time.Sleep(3 * time.Second)
	ours.must("ifconfig-carp -g carp carpdemote 1")
	time.Sleep(4 * time.Second)
	if s := ours.status("carp0"); s != "master" || peer.hasAddress() {
		t.Errorf("demoteskew 0: we are %s, ucarp master %t", s, peer.hasAddress())
	}
	ours.must("sysctl-carp net.inet.carp.demoteskew=1")
	l.within(8*time.Second, "ucarp is master", func() bool { return peer.hasAddress() && ours.status("carp0") == "backup" })
}

// Demoting a group moves its members alone, each of two groups counts, and who leaves one is demoted by it no longer.
func TestGroups(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.host("a"), l.host("b")
	for m, words := range map[*machine]string{a: fast, b: "advbase 0 advskew 50"} {
		m.must("sysctl-carp -q net.inet.carp.preempt=1")
		m.must("ifconfig-carp carp0 vhid 1 " + words + " 192.168.1.10/24")
		m.must("ifconfig-carp carp1 vhid 2 " + words + " 192.168.1.20/24")
	}
	a.must("ifconfig-carp carp0 group web group db")
	on := func(what string, first, second *machine) {
		t.Helper()
		other := map[*machine]*machine{a: b, b: a}
		l.within(5*time.Second, what, func() bool {
			return first.status("carp0") == "master" && other[first].status("carp0") == "backup" &&
				second.status("carp1") == "master" && other[second].status("carp1") == "backup"
		})
	}
	on("the better host has both", a, a)
	a.must("ifconfig-carp -g web carpdemote 3")
	on("web demoted", b, a)
	a.must("ifconfig-carp -g db carpdemote 2")
	a.must("ifconfig-carp -g web -carpdemote 3")
	time.Sleep(time.Second)
	on("db demoted, web no longer", b, a)
	a.must("ifconfig-carp carp0 -group db")
	on("not in db any more", a, a)
	if r := a.do("ifconfig-carp -g db"); r.code != 1 || r.err != "ifconfig: db: SIOCGIFGATTR: No such file or directory\n" {
		t.Errorf("a group without members: exit %d, %q", r.code, r.err)
	}
	a.must("ifconfig-carp carp0 -group carp")
	a.must("ifconfig-carp -g carp carpdemote 5")
	on("carp demoted, and carp0 is not in it", a, b)
}

// A running pair gets its first IPv6 address, another Ethernet address, unicast peers and many aliases, the backup first, and loses them again: clients
// follow, and nobody moves but while only one of two has its peer.
func TestChangesOfWhatIsShared(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.machine("client")
	a, b := l.pair("advbase 0", "advskew 50", "advskew 250") // slow enough for a busy machine
	a.becomes("master", 5*time.Second)
	b.becomes("backup", 5*time.Second)
	time.Sleep(time.Second)
	both := func(line string) {
		t.Helper()
		for _, m := range []*machine{b, a} {
			m.must("ifconfig-carp carp0 " + line)
		}
	}
	stays := func(what string) {
		t.Helper()
		time.Sleep(time.Second)
		if strings.Contains(a.readLog(), "MASTER -> ") || strings.Contains(b.readLog(), "-> MASTER") || a.status("carp0") != "master" || b.status("carp0") != "backup" {
			t.Errorf("%s: somebody moved:\n%s\n%s", what, a.readLog(), b.readLog())
		}
	}
	client.reaches("192.168.1.10", virtualMAC)
	both("inet6 2001:db8:1::10/64")
	stays("inet6")
	client.reaches("2001:db8:1::10", virtualMAC)
	const mac = "02:00:5e:10:00:01"
	both("lladdr " + mac)
	stays("lladdr")
	for _, addr := range []string{"192.168.1.10", "2001:db8:1::10"} {
		client.reaches(addr, mac)
	}
	both("lladdr 00:00:00:00:00:00")
	stays("the usual lladdr")
	for _, addr := range []string{"192.168.1.10", "2001:db8:1::10"} {
		client.reaches(addr, virtualMAC)
	}
	both("-inet6")
	stays("-inet6")
	for _, m := range []*machine{b, a} { // more than there are lists remembered
		for n := range 20 {
			m.must(fmt.Sprintf("ifconfig-carp carp0 alias 192.168.1.%d/24", 100+n))
		}
		stays("aliases")
	}
	b.must("ifconfig-carp carp0 carppeer " + a.addr)
	a.must("ifconfig-carp carp0 carppeer " + b.addr)
	single := func() bool { return a.status("carp0") == "master" && b.status("carp0") == "backup" }
	l.within(5*time.Second, "one master with peers", single)
	both("-carppeer")
	l.within(5*time.Second, "one master without them", single)
	client.reaches("192.168.1.119", virtualMAC)
}
