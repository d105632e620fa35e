package regress

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The virtual host as the IPv6 gateway of a LAN: radvd(8) on the carp advertises the link-local address of the virtual MAC, from the master alone, and
// fails over with it; the clients' default route stays what it was. A shared fe80::1 on the LAN leaves the provider's router fe80::1 on the WAN alone.
func TestIPv6Gateway(t *testing.T) {
	t.Parallel()
	const (
		gateway = "fe80::200:5eff:fe00:101" // of the virtual MAC
		beyond  = "2001:db8:9::1"           // on both hosts
		distant = "2001:db8:3::9"           // behind the provider's router
	)
	l := newLab(t)
	l.next = 5 // nobody has fe80::1 on the LAN
	l.ip(l.sw, "link", "add", "br1", "type", "bridge")
	l.ip(l.sw, "link", "set", "br1", "up")
	client, isp := l.machine("client"), l.machine("isp")
	l.ip(l.sw, "link", "del", isp.port)
	wan := func(m *machine, addrs ...string) {
		l.ip(l.sw, "link", "add", m.port+"-wan", "type", "veth", "peer", "name", "eth1", "netns", m.ns)
		l.ip(l.sw, "link", "set", m.port+"-wan", "master", "br1", "up")
		m.address("eth1", addrs...)
	}
	wan(isp, "fe80::1/64", "2001:db8:2::fe/64")
	l.ip(isp.ns, "addr", "add", distant+"/128", "dev", "lo")
	advertised := func(m *machine) (ras []string) { // router advertisements that have come out of the host, by tcpdump's words
		for _, line := range strings.Split(m.lab.read(m.name+".ra"), "\n") {
			if strings.Contains(line, "router advertisement") {
				ras = append(ras, line)
			}
		}
		return ras
	}
	var hosts []*machine
	for _, name := range []string{"a", "b"} {
		m := l.host(name)
		m.sysctl("ipv6/conf/all/forwarding", "1") // before anybody advertises
		hosts = append(hosts, m)
	}
	for n, m := range hosts {
		wan(m, fmt.Sprintf("fe80::%d/64", n+11), fmt.Sprintf("2001:db8:2::%d/64", n+11))
		l.ip(m.ns, "addr", "add", beyond+"/128", "dev", "lo")
		l.ip(m.ns, "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth1")
		m.carpWith("vhid 1 "+fast, []string{"inet6 2001:db8:1::254/64", "inet6 fe80::1/64 alias"})
		if n == 0 {
			m.becomes("master", 5*time.Second)
		} else {
			m.must("ifconfig-carp carp0 advskew 50")
		}
		conf := filepath.Join(l.dir, m.name+".radvd")
		text := "interface carp0 {\n AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 30;\n AdvRASrcAddress { " + gateway + "; };\n};\n"
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(l.dir, m.name+".ra"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		// What comes from the host into the switch.
		dump := m.command("tcpdump", "-i", m.port, "-Q", "in", "--immediate-mode", "-lnte", "icmp6 and ip6[40] == 134")
		dump.Args[3] = l.sw
		dump.Stdout = out
		radvd := m.command("radvd", "-n", "-C", conf, "-p", conf+".pid", "-m", "stderr")
		for _, c := range []interface {
			Start() error
			Wait() error
		}{dump, radvd} {
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { dump.Process.Kill(); dump.Wait(); radvd.Process.Kill(); radvd.Wait() })
	}
	a, b := hosts[0], hosts[1]
	if out := b.must("ifconfig-carp carp0"); !strings.Contains(out, "\tinet6 "+gateway+"%carp0 prefixlen 64 scopeid ") {
		t.Errorf("no link-local address of the virtual MAC: %s", out)
	}
	route := func() string {
		return regexp.MustCompile(` expires.*| hoplimit.*`).ReplaceAllString(l.ip(client.ns, "-6", "route", "show", "default"), "")
	}
	l.within(10*time.Second, "the client has a default route", func() bool { return strings.Contains(route(), "default via "+gateway+" dev eth0 ") })
	before := route()
	works := func(m *machine) {
		t.Helper()
		if !client.ping(beyond) {
			t.Errorf("while %s is master the client does not get beyond its gateway", m.name)
		}
		for _, h := range hosts {
			if r := h.do("ping -n -c 1 -W 2 " + distant); r.code != 0 {
				t.Errorf("while %s is master %s does not get beyond fe80::1 on the WAN\n%s", m.name, h.name, r.out)
			}
		}
		if now := route(); now != before {
			t.Errorf("while %s is master the client's default route is %s, was %s", m.name, now, before)
		}
	}
	works(a)
	if ras := advertised(b); len(ras) != 0 {
		t.Errorf("a backup has sent %q", ras)
	}
	a.must("ifconfig-carp -g carp carpdemote 50")
	b.becomes("master", 5*time.Second)
	a.becomes("backup", 5*time.Second)
	time.Sleep(100 * time.Millisecond) // tcpdump has written what a has sent before
	quiet := len(advertised(a))
	works(b)
	l.within(10*time.Second, "b's radvd advertises", func() bool { return len(advertised(b)) > 0 })
	for _, ra := range append(advertised(a), advertised(b)...) {
		if !strings.HasPrefix(ra, virtualMAC+" > ") || !strings.Contains(ra, gateway+" > ") {
			t.Errorf("not from the virtual host: %s", ra)
		}
	}
	works(b)
	if ras := advertised(a); len(ras) > quiet {
		t.Errorf("a has sent %q as a backup", ras[quiet:])
	}
}

// read returns a file of the lab's.
func (l *lab) read(name string) string {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

// Where several interfaces have the subnet of the address and no carpdev is given, the first by index is taken. That is logged, shown, and stays so when others
// come and go.
func TestSeveralFit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	fits := func(dev, addr string) {
		l.ip(l.sw, "link", "add", a.port+dev, "type", "veth", "peer", "name", dev, "netns", a.ns)
		l.ip(l.sw, "link", "set", a.port+dev, "master", "br0", "up")
		a.address(dev, addr)
	}
	fits("eth1", "192.168.1.71/24")
	a.start()
	t.Cleanup(a.crash)
	a.serves()
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	const line = "carp0: carpdev eth0 chosen for 192.168.1.10, not eth1\n"
	for n := range 3 {
		a.becomes("master", 5*time.Second)
		if _, carpdev := a.shown("carp0"); carpdev != "eth0" {
			t.Fatalf("after %d changes the carpdev is %s", n, carpdev)
		}
		switch n {
		case 0:
			fits("eth2", "192.168.1.72/24")
			l.ip(a.ns, "link", "del", "eth1")
			time.Sleep(200 * time.Millisecond)
		case 1:
			a.stop()
			a.start()
			a.serves()
		}
	}
	if log := a.readLog(); strings.Count(log, "chosen for") != 1 || !strings.Contains(log, line) {
		t.Errorf("the log is\n%snot once\n%s", log, line)
	}
}
