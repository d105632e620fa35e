package regress

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The networks of a pair of routers: a and b between a LAN and a WAN, and on each side a client beyond a further router. What goes to a server's
// first address is translated to the shared address of the WAN, what goes to its second is not.
//
//	far 10.20.0.9 - core 192.168.1.3 - LAN (desk 192.168.1.4) - a, b - WAN - isp 198.51.100.254 - server 203.0.113.9, .10
const (
	lanShared, lanShared6     = "192.168.1.254", "2001:db8:1::254"
	wanShared, wanShared6     = "198.51.100.100", "2001:db8:2::100"
	server, server6           = "203.0.113.9", "2001:db8:3::9"
	serverPlain, serverPlain6 = "203.0.113.10", "2001:db8:3::10"
	farAddr, farAddr6         = "10.20.0.9", "2001:db8:20::9"
)

// A site is such a pair.
type site struct {
	*lab
	a, b, core, desk, far, isp, server *machine
	ports                              map[*machine][2]string // of a and b on the switch: LAN and WAN
}

// in runs f in the machine's network namespace; sockets that it makes stay there.
func (m *machine) in(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		ns, err := os.Open("/var/run/netns/" + m.ns)
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("setns: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// echoPort is where echoes listen.
const echoPort = "7000"

// echo listens on the machine for both families: who connects is told from where, and gets back every line.
func (m *machine) echo() {
	m.lab.t.Helper()
	var l net.Listener
	err := m.in(func() (err error) { l, err = net.Listen("tcp", ":"+echoPort); return err })
	if err != nil {
		m.lab.t.Fatalf("%s: %v", m.name, err)
	}
	m.lab.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintln(c, netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().Unmap())
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					fmt.Fprint(c, line)
				}
			}()
		}
	}()
}

// A talk is a connection to an echo.
type talk struct {
	what string
	from string // as the echo sees us
	conn net.Conn
	r    *bufio.Reader
}

// dial connects to an echo, from an address if one is given.
func (m *machine) dial(to, from string) (*talk, error) {
	d := net.Dialer{Timeout: 3 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	k := &talk{what: m.name + " to " + to}
	err := m.in(func() (err error) {
		k.conn, err = d.Dial("tcp", net.JoinHostPort(to, echoPort))
		return err
	})
	if err != nil {
		return nil, err
	}
	m.lab.t.Cleanup(func() { k.conn.Close() })
	k.r = bufio.NewReader(k.conn)
	k.conn.SetDeadline(time.Now().Add(3 * time.Second))
	k.from, err = k.r.ReadString('\n')
	k.from = strings.TrimSpace(k.from)
	return k, err
}

// say sends a line and waits for it.
func (k *talk) say(line string, within time.Duration) error {
	k.conn.SetDeadline(time.Now().Add(within))
	if _, err := fmt.Fprintln(k.conn, line); err != nil {
		return err
	}
	got, err := k.r.ReadString('\n')
	if err == nil && got != line+"\n" {
		err = fmt.Errorf("%q came back", got)
	}
	return err
}

// longestPause talks until ctx is done and returns for how long nothing came back at most.
func (k *talk) longestPause(ctx context.Context) (pause time.Duration, err error) {
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		if err := k.say(fmt.Sprint(n), 10*time.Second); err != nil {
			return pause, err
		}
		pause = max(pause, time.Since(began))
		time.Sleep(2 * time.Millisecond)
	}
	return pause, nil
}

// gets checks that a machine gets an answer to ping and to TCP; who the echo takes it for is as, unless that is "".
func (m *machine) gets(to, as string) {
	m.lab.t.Helper()
	if r := m.do("ping -n -c 1 -W 2 " + to); r.code != 0 {
		m.lab.t.Errorf("%s does not get an answer to a ping from %s\n%s%s", m.name, to, r.out, r.err)
	}
	k, err := m.dial(to, "")
	if err != nil {
		m.lab.t.Errorf("%s does not reach %s over TCP: %v", m.name, to, err)
		return
	}
	defer k.conn.Close()
	if as != "" && k.from != as {
		m.lab.t.Errorf("%s is %s for %s, not %s", m.name, k.from, to, as)
	}
}

// sysctl sets one of a machine's, which is a path below /proc/sys/net.
func (m *machine) sysctl(key, value string) {
	m.lab.t.Helper()
	if err := m.in(func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644) }); err != nil {
		m.lab.t.Fatal(err)
	}
}

// wire joins two machines with a cable: on each its interface and its addresses.
func (l *lab) wire(m *machine, dev string, addrs []string, n *machine, ndev string, naddrs []string) {
	l.t.Helper()
	l.ip(m.ns, "link", "add", dev, "type", "veth", "peer", "name", ndev, "netns", n.ns)
	m.address(dev, addrs...)
	n.address(ndev, naddrs...)
}

// address brings an interface up and gives it addresses, and no others. A router needs a link-local one to ask for its neighbours.
func (m *machine) address(dev string, addrs ...string) {
	m.lab.t.Helper()
	m.lab.ip(m.ns, "link", "set", dev, "addrgenmode", "none", "up")
	for _, a := range addrs {
		args := []string{"addr", "add", a, "dev", dev}
		if strings.Contains(a, ":") {
			args = append(args, "nodad")
		}
		m.lab.ip(m.ns, args...)
	}
}

// newSite makes the networks. Unnumbered: the hosts have no address on the WAN.
func newSite(t *testing.T, unnumbered bool, args ...string) *site {
	l := newLab(t)
	s := &site{lab: l, ports: map[*machine][2]string{}}
	l.ip(l.sw, "link", "add", "br1", "type", "bridge")
	l.ip(l.sw, "link", "set", "br1", "up")
	s.a, s.b = l.machine("a"), l.machine("b")
	s.core, s.desk, s.far = l.machine("core"), l.machine("desk"), l.machine("far")
	s.isp, s.server = l.machine("isp"), l.machine("server")
	for _, m := range []*machine{s.far, s.isp, s.server} { // they are not on the LAN
		l.ip(l.sw, "link", "del", m.port)
	}
	for n, m := range []*machine{s.a, s.b, s.isp} {
		port := m.port + "-wan"
		l.ip(l.sw, "link", "add", port, "type", "veth", "peer", "name", "eth1", "netns", m.ns)
		l.ip(l.sw, "link", "set", port, "master", "br1", "up")
		s.ports[m] = [2]string{m.port, port}
		switch {
		case m == s.isp:
			m.address("eth1", "198.51.100.254/24", "2001:db8:2::fe/64", "fe80::fe/64")
		case unnumbered:
			m.address("eth1")
		default:
			m.address("eth1", fmt.Sprintf("198.51.100.%d/24", n+1), fmt.Sprintf("2001:db8:2::%d/64", n+1), fmt.Sprintf("fe80::%d/64", n+1))
		}
	}
	l.wire(s.core, "eth1", []string{"10.20.0.1/24", "2001:db8:20::1/64", "fe80::1/64"}, s.far, "eth0", []string{farAddr + "/24", farAddr6 + "/64", "fe80::9/64"})
	l.wire(s.isp, "eth2", []string{"203.0.113.1/24", "2001:db8:3::1/64", "fe80::1/64"}, s.server, "eth0", []string{server + "/24", server6 + "/64", serverPlain + "/24", serverPlain6 + "/64", "fe80::9/64"})
	for _, m := range []*machine{s.a, s.b, s.core, s.isp} {
		m.sysctl("ipv4/ip_forward", "1")
		m.sysctl("ipv6/conf/all/forwarding", "1")
	}
	for _, r := range []struct {
		m          *machine
		to, to6    string
		via, via6  string
		unlessBare bool
	}{
		{m: s.far, to: "default", to6: "default", via: "10.20.0.1", via6: "2001:db8:20::1"},
		{m: s.server, to: "default", to6: "default", via: "203.0.113.1", via6: "2001:db8:3::1"},
		{m: s.core, to: "default", to6: "default", via: lanShared, via6: lanShared6},
		{m: s.desk, to: "default", to6: "default", via: lanShared, via6: lanShared6},
		{m: s.desk, to: "10.20.0.0/24", to6: "2001:db8:20::/64", via: s.core.addr, via6: s.core.addr6},
		{m: s.isp, to: "192.168.1.0/24", to6: "2001:db8:1::/64", via: wanShared, via6: wanShared6},
		{m: s.isp, to: "10.20.0.0/24", to6: "2001:db8:20::/64", via: wanShared, via6: wanShared6},
		{m: s.a, to: "10.20.0.0/24", to6: "2001:db8:20::/64", via: s.core.addr, via6: s.core.addr6},
		{m: s.b, to: "10.20.0.0/24", to6: "2001:db8:20::/64", via: s.core.addr, via6: s.core.addr6},
		{m: s.a, to: "default", to6: "default", via: "198.51.100.254", via6: "2001:db8:2::fe", unlessBare: true},
		{m: s.b, to: "default", to6: "default", via: "198.51.100.254", via6: "2001:db8:2::fe", unlessBare: true},
	} {
		if !unnumbered || !r.unlessBare {
			l.ip(r.m.ns, "route", "add", r.to, "via", r.via)
			l.ip(r.m.ns, "-6", "route", "add", r.to6, "via", r.via6)
		}
	}
	for _, m := range []*machine{s.a, s.b} {
		nft := m.command("nft", "-f", "-")
		nft.Stdin = strings.NewReader(`table inet routers {
			chain out {
				type nat hook postrouting priority srcnat
				ip saddr { 192.168.1.0/24, 10.20.0.0/24 } ip daddr ` + server + ` snat to ` + wanShared + `
				ip6 saddr { 2001:db8:1::/64, 2001:db8:20::/64 } ip6 daddr ` + server6 + ` snat ip6 to ` + wanShared6 + `
			}
		}`)
		if out, err := nft.CombinedOutput(); err != nil {
			t.Fatalf("nft: %v\n%s", err, out)
		}
		m.start(args...)
		m.serves()
		t.Cleanup(func() {
			if t.Failed() {
				log, _ := os.ReadFile(m.log)
				t.Logf("log of %s:\n%s", m.name, log)
			}
			m.crash()
		})
		m.must("sysctl-carp net.inet.carp.preempt=1")
		l.within(5*time.Second, "eth1 is known", func() bool {
			return m.do("ifconfig-carp carp0 vhid 1 carpdev eth1 "+fast+" "+wanShared+"/24").code == 0
		})
		m.must("ifconfig-carp carp0 inet6 " + wanShared6 + "/64")
		m.must("ifconfig-carp carp1 vhid 2 carpdev eth0 " + fast + " " + lanShared + "/24")
		m.must("ifconfig-carp carp1 inet6 " + lanShared6 + "/64")
		m.echo()
	}
	s.b.must("ifconfig-carp carp0 advskew 50")
	s.b.must("ifconfig-carp carp1 advskew 50")
	for _, m := range []*machine{s.far, s.desk, s.server} {
		m.echo()
	}
	s.isMaster(s.a, s.b)
	return s
}

// isMaster waits until one host has both addresses and the other has none.
func (s *site) isMaster(m, other *machine) {
	s.t.Helper()
	s.within(10*time.Second, m.name+" has both addresses", func() bool {
		return m.status("carp0") == "master" && m.status("carp1") == "master" && other.status("carp0") != "master" && other.status("carp1") != "master"
	})
}

// works checks all that has to work through the pair while m is master.
func (s *site) works(m *machine) {
	s.t.Helper()
	// Beyond a router: the shared addresses themselves.
	s.server.gets(wanShared, server)
	s.server.gets(wanShared6, "")
	s.far.gets(lanShared, farAddr)
	s.far.gets(lanShared6, farAddr6)
	// From the LAN to the WAN's address.
	s.desk.gets(wanShared, s.desk.addr)
	s.desk.gets(wanShared6, s.desk.addr6)
	// Through the pair, translated and not.
	for _, c := range []*machine{s.desk, s.far} {
		c.gets(server, wanShared)
		c.gets(server6, wanShared6)
	}
	s.desk.gets(serverPlain, s.desk.addr)
	s.far.gets(serverPlain6, farAddr6)
	s.server.gets(farAddr, server)
	s.server.gets(farAddr6, "")
	// A connection from the shared address leaves by the default route.
	for _, c := range [][2]string{{wanShared, server}, {wanShared6, server6}} {
		if k, err := m.dial(c[1], c[0]); err != nil {
			s.t.Errorf("%s does not reach %s from %s: %v", m.name, c[1], c[0], err)
		} else if k.from != c[0] {
			s.t.Errorf("%s is %s for %s, not %s", m.name, k.from, c[1], c[0])
		}
	}
}

// legs takes either leg from the first host, and then the other one: both addresses move, and come back.
func (s *site) legs() {
	s.t.Helper()
	for n, leg := range []string{"LAN", "WAN"} {
		s.ip(s.sw, "link", "set", s.ports[s.a][n], "down")
		s.isMaster(s.b, s.a)
		s.desk.gets(server, wanShared)
		s.far.gets(serverPlain6, farAddr6)
		if s.t.Failed() {
			s.t.Fatalf("without %s's leg to the %s", s.a.name, leg)
		}
		s.ip(s.sw, "link", "set", s.ports[s.a][n], "up")
		s.isMaster(s.a, s.b)
	}
}

// moves lets both addresses go to the other host and back by a demotion, and returns for how long connections stood still at most. They all survive,
// and so does a ping.
func (s *site) moves() time.Duration {
	s.t.Helper()
	var talks []*talk
	for _, c := range []struct {
		m        *machine
		to, from string // from another address what comes back would be translated by a host that has not seen the beginning
	}{{s.desk, serverPlain, ""}, {s.far, serverPlain6, ""}, {s.server, farAddr, serverPlain}, {s.server, s.desk.addr6, serverPlain6}} {
		k, err := c.m.dial(c.to, c.from)
		if err != nil {
			s.t.Fatal(err)
		}
		talks = append(talks, k)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	type ended struct {
		k     *talk
		pause time.Duration
		err   error
	}
	results := make(chan ended)
	for _, k := range talks {
		go func() {
			pause, err := k.longestPause(ctx)
			results <- ended{k, pause, err}
		}()
	}
	ping := s.far.command("ping", "-n", "-q", "-i", "0.01", serverPlain)
	var out strings.Builder
	ping.Stdout = &out
	if err := ping.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range trials(1, 5) {
		for _, word := range []string{"carpdemote", "-carpdemote"} {
			s.a.must("ifconfig-carp -g carp " + word + " 50")
			if word == "carpdemote" {
				s.isMaster(s.b, s.a)
			} else {
				s.isMaster(s.a, s.b)
			}
			time.Sleep(500 * time.Millisecond) // for the clients to notice
		}
	}
	stop()
	ping.Process.Signal(unix.SIGINT)
	ping.Wait()
	var worst time.Duration
	for range talks {
		r := <-results
		if r.err != nil {
			s.t.Errorf("%s did not survive: %v", r.k.what, r.err)
		}
		worst = max(worst, r.pause)
	}
	_, counts, _ := strings.Cut(out.String(), "---\n")
	counts, _, _ = strings.Cut(counts, "\n")
	var sent, received int
	if _, err := fmt.Sscanf(counts, "%d packets transmitted, %d received", &sent, &received); err != nil || received < sent/2 {
		s.t.Errorf("a ping through the pair: %s", counts)
	}
	s.t.Logf("connections through the pair stood still for %v at most while it moved; ping: %s", worst, counts)
	return worst
}

// pathMTU checks that the errors of a narrow path beyond the pair, which go to the shared address, get to the client that sent too much.
func (s *site) pathMTU() {
	s.t.Helper()
	s.ip(s.isp.ns, "link", "set", "eth2", "mtu", "1300")
	s.ip(s.server.ns, "link", "set", "eth0", "mtu", "1300")
	for _, c := range []struct{ family, to string }{{"-4", server}, {"-6", server6}} {
		s.within(5*time.Second, "the path MTU to "+c.to+" is known", func() bool {
			s.desk.do("ping " + c.family + " -n -c 1 -W 1 -M do -s 1400 " + c.to)
			return strings.Contains(s.ip(s.desk.ns, "route", "get", c.to), "mtu 1300")
		})
		if r := s.desk.do("ping " + c.family + " -n -c 1 -W 2 -M do -s 1200 " + c.to); r.code != 0 {
			s.t.Errorf("a packet that fits does not get to %s\n%s", c.to, r.out)
		}
	}
}

// A pair of routers, with every rp_filter.
func TestRouters(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	for _, filter := range []string{"0", "1", "2"} {
		for _, m := range []*machine{s.a, s.b} {
			for _, dev := range []string{"all", "default", "eth0", "eth1"} {
				m.sysctl("ipv4/conf/"+dev+"/rp_filter", filter)
			}
		}
		s.works(s.a)
		if t.Failed() {
			t.Fatalf("with rp_filter %s", filter)
		}
	}
	s.legs()
	s.moves()
	s.pathMTU()
}

// The same where the hosts have no address on the WAN: their carp carries the route to it and to the provider's router, while they are MASTER.
func TestUnnumberedRouters(t *testing.T) {
	for _, c := range []struct {
		what string
		args []string
	}{{what: "with the gate"}, {"without", []string{"-g"}}} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			testUnnumbered(t, newSite(t, true, c.args...), len(c.args) == 0)
		})
	}
}

func testUnnumbered(t *testing.T, s *site, gate bool) {
	move := func(from, to *machine, word string) {
		t.Helper()
		s.a.must("ifconfig-carp -g carp " + word + " 50")
		s.isMaster(to, from)
	}
	provider := func(m *machine) {
		s.ip(m.ns, "route", "add", "default", "via", "198.51.100.254", "dev", "carp0", "metric", "10")
		s.ip(m.ns, "-6", "route", "add", "default", "via", "2001:db8:2::fe", "dev", "carp0", "metric", "10")
	}
	for _, m := range []*machine{s.a, s.b} { // a backup goes by the LAN
		s.ip(m.ns, "route", "add", "default", "via", s.core.addr, "metric", "20")
		s.ip(m.ns, "-6", "route", "add", "default", "via", s.core.addr6, "metric", "20")
	}
	provider(s.a)
	if gate {
		provider(s.b)
	} else { // while its link is down the kernel takes no route
		move(s.a, s.b, "carpdemote")
		provider(s.b)
		move(s.b, s.a, "-carpdemote")
	}
	for _, filter := range []string{"0", "1", "2"} {
		for _, m := range []*machine{s.a, s.b} {
			for _, dev := range []string{"all", "default", "eth0", "eth1"} {
				m.sysctl("ipv4/conf/"+dev+"/rp_filter", filter)
			}
		}
		s.works(s.a)
		if t.Failed() {
			t.Fatalf("with rp_filter %s", filter)
		}
	}
	way := func(m *machine, want string) {
		t.Helper()
		for _, to := range []string{server, server6} {
			if got := s.ip(m.ns, "route", "get", to); !strings.Contains(got, " dev "+want+" ") {
				t.Errorf("%s's own way to %s is not by %s: %s", m.name, to, want, got)
			}
		}
	}
	way(s.a, "carp0")
	way(s.b, "eth0")
	s.legs()
	s.ip(s.a.ns, "link", "set", "eth1", "down") // the routes through the link stay
	s.isMaster(s.b, s.a)
	s.ip(s.a.ns, "link", "set", "eth1", "up")
	s.isMaster(s.a, s.b)
	way(s.a, "carp0")
	s.moves()
	move(s.a, s.b, "carpdemote")
	way(s.a, "eth0")
	way(s.b, "carp0")
	s.works(s.b)
	move(s.b, s.a, "-carpdemote")
	s.pathMTU()
	// An address of its own makes the route unnecessary; without it it is needed again.
	const subnet = "198.51.100.0/24"
	leads := func(to, other string) {
		t.Helper()
		s.within(2*time.Second, "the subnet is on "+to+" alone", func() bool {
			got := s.ip(s.a.ns, "route", "show", subnet)
			return strings.Contains(got, "dev "+to+" ") && !strings.Contains(got, "dev "+other+" ")
		})
	}
	leads("carp0", "eth1")
	s.ip(s.a.ns, "addr", "add", "198.51.100.1/24", "dev", "eth1")
	leads("eth1", "carp0")
	s.ip(s.a.ns, "addr", "flush", "dev", "eth1")
	leads("carp0", "eth1")
	s.isMaster(s.a, s.b)
	s.server.gets(wanShared, server)
}

// A classful mask pulls nothing on-link that is beyond a router: the announcement's form has no length, and 10.0.0.1 is of a class A network.
func TestClassfulMask(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	l.ip(a.ns, "addr", "flush", "dev", "eth0")
	l.ip(a.ns, "addr", "add", "10.0.0.2/24", "dev", "eth0")
	l.ip(a.ns, "route", "add", "default", "via", "10.0.0.254")
	before := l.ip(a.ns, "route", "show")
	a.start()
	t.Cleanup(a.crash)
	a.serves()
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 10.0.0.1")
	a.becomes("master", 5*time.Second)
	if out := a.must("ifconfig-carp carp0"); !strings.Contains(out, "\tinet 10.0.0.1 netmask 0xff000000 ") {
		t.Errorf("not a classful mask: %s", out)
	}
	if now := l.ip(a.ns, "route", "show"); now != before {
		t.Errorf("routes were\n%sand are\n%s", before, now)
	}
	if got := l.ip(a.ns, "route", "get", "10.9.9.9"); !strings.HasPrefix(got, "10.9.9.9 via 10.0.0.254 dev eth0 src 10.0.0.2 ") {
		t.Errorf("the way to a distant host is %s", got)
	}
}
