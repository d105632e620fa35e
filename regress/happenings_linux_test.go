package regress

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What becomes of a carp and of its carpdev when something happens to that, while the host is MASTER. Where the state is lost it comes back by itself.
type happening struct {
	what     string
	do, undo func(m *machine)
	state    string   // while it is so
	carpdev  string   // as ifconfig shows it meanwhile
	adverts  bool     // they go on meanwhile
	log      []string // of both, with one carp; the numbers are left out
	many     bool     // in CI, too, with 255 virtual hosts
}

func (m *machine) eth0(args ...string) {
	m.lab.t.Helper()
	m.lab.ip(m.ns, append([]string{"link", "set", "eth0"}, args...)...)
}

// ownAddr is the carpdev's.
const ownAddr = "10.9.0.2"

// cableMAC is the Ethernet address that the carpdev has, and keeps.
const cableMAC = "02:00:00:00:09:02"

// cable makes eth0 and its port anew, without an address.
func (m *machine) cable() {
	m.lab.t.Helper()
	m.lab.ip(m.lab.sw, "link", "add", m.port, "type", "veth", "peer", "name", "new0", "netns", m.ns)
	m.lab.ip(m.lab.sw, "link", "set", m.port, "master", "br0", "up")
	m.lab.ip(m.ns, "link", "set", "new0", "address", cableMAC)
	m.appears("new0")
}

// appears makes an interface eth0 that is up when it has that name for the first time: one that is seen down for a moment, or not, leaves other lines
// in the log.
func (m *machine) appears(name string) {
	m.lab.t.Helper()
	m.lab.ip(m.ns, "link", "set", name, "addrgenmode", "none", "up")
	m.lab.within(2*time.Second, name+" has a carrier", func() bool { return strings.Contains(m.lab.ip(m.ns, "link", "show", name), " state UP ") })
	m.lab.ip(m.ns, "link", "set", name, "name", "eth0") // while it is up: Linux 6.2
}

func (m *machine) ownAddress() {
	m.lab.t.Helper()
	m.lab.ip(m.ns, "addr", "add", ownAddr+"/16", "dev", "eth0")
}

// The log lines of what happens, in their order.
const (
	logInit    = "carpN: state transition: MASTER -> INIT"
	logBackup  = "carpN: state transition: INIT -> BACKUP"
	logMaster  = "carpN: state transition: BACKUP -> MASTER"
	logDemoted = "carp: carpN demoted group carp by 1 to N (carpdev)"
	logHealed  = "carp: carpN demoted group carp by -1 to N (carpdev)"
	logWaiting = "carpN: waiting for carpdev eth0"
)

var happenings = []happening{
	{
		what: "down and up", many: true,
		do:    func(m *machine) { m.eth0("down") },
		undo:  func(m *machine) { m.eth0("up") },
		state: "INIT", carpdev: "eth0",
		log: []string{logInit, logDemoted, logHealed, logBackup, logMaster},
	}, {
		what:  "no carrier",
		do:    func(m *machine) { m.lab.ip(m.lab.sw, "link", "set", m.port, "down") },
		undo:  func(m *machine) { m.lab.ip(m.lab.sw, "link", "set", m.port, "up") },
		state: "INIT", carpdev: "eth0",
		log: []string{logInit, logDemoted, logHealed, logBackup, logMaster},
	}, {
		what: "deleted and made again", many: true,
		do:    func(m *machine) { m.lab.ip(m.ns, "link", "del", "eth0") },
		undo:  func(m *machine) { m.cable(); m.ownAddress() },
		state: "INIT", carpdev: "none",
		log: []string{logInit, logBackup, logMaster},
	}, {
		what:  "renamed and back",
		do:    func(m *machine) { m.eth0("name", "lan0") },
		undo:  func(m *machine) { m.appears("lan0") },
		state: "INIT", carpdev: "none",
		log: []string{logInit, logBackup, logMaster},
	}, {
		what: "moved to another namespace and back",
		do:   func(m *machine) { m.eth0("netns", m.lab.sw, "name", "away0") },
		undo: func(m *machine) {
			m.lab.ip(m.lab.sw, "link", "set", "away0", "netns", m.ns)
			m.appears("away0")
			m.ownAddress()
		},
		state: "INIT", carpdev: "none",
		log: []string{logInit, logBackup, logMaster},
	}, {
		what:  "another MTU and back",
		do:    func(m *machine) { m.eth0("mtu", "1400") },
		undo:  func(m *machine) { m.eth0("mtu", "1500") },
		state: "MASTER", carpdev: "eth0", adverts: true,
	}, {
		what:  "its addresses flushed and set again",
		do:    func(m *machine) { m.lab.ip(m.ns, "addr", "flush", "dev", "eth0") },
		undo:  func(m *machine) { m.ownAddress() },
		state: "MASTER", carpdev: "eth0", adverts: true,
	}, {
		what: "absent at the start",
		do: func(m *machine) {
			m.stop()
			m.lab.ip(m.ns, "link", "del", "eth0")
			m.start()
			m.serves()
		},
		undo:  func(m *machine) { m.cable(); m.ownAddress() },
		state: "INIT", carpdev: "none",
		log: []string{logInit, logWaiting, logBackup, logMaster},
	}, {
		what: "without its address at the start",
		do: func(m *machine) {
			m.stop()
			m.lab.ip(m.ns, "addr", "flush", "dev", "eth0")
			m.start()
			m.serves()
			m.becomes("master", 10*time.Second)
		},
		undo:  func(m *machine) { time.Sleep(300 * time.Millisecond); m.ownAddress() },
		state: "MASTER", carpdev: "eth0", adverts: true,
		log: []string{logInit, logBackup, logMaster},
	},
}

var carpNumber = regexp.MustCompile(`carp[0-9]+|to [0-9]+ `)

// logged returns the log from an offset on, each line once and with how many times it is there, without numbers.
func (m *machine) logged(from int) (lines []string, times map[string]int) {
	m.lab.t.Helper()
	times = map[string]int{}
	for _, line := range strings.Split(strings.TrimSuffix(m.readLog()[from:], "\n"), "\n") {
		line = carpNumber.ReplaceAllStringFunc(line, func(s string) string {
			if strings.HasPrefix(s, "to ") {
				return "to N "
			}
			return "carpN"
		})
		if line == "" || strings.Contains(line, " ip_output failed: ") { // an advert between what has happened and the news of it
			continue
		}
		if times[line]++; times[line] == 1 {
			lines = append(lines, line)
		}
	}
	return lines, times
}

var shownCarp = regexp.MustCompile(`\tcarp: (\w+) carpdev (\S+) `)

// shown returns the state and the carpdev that ifconfig shows.
func (m *machine) shown(carp string) (state, carpdev string) {
	r, err := outcome(m.command("ifconfig-carp", carp))
	if err != nil {
		return "", ""
	}
	if f := shownCarp.FindStringSubmatch(r.out); f != nil {
		return f[1], f[2]
	}
	return "", ""
}

// One virtual host, and as many as one network has; with the virtual MAC, and with the carpdev's own.
func TestCarpdevHappenings(t *testing.T)       { testHappenings(t, 1, fast, 3*98*time.Millisecond) }
func TestCarpdevHappeningsOfMany(t *testing.T) { testHappenings(t, 255, "advbase 1", 3*time.Second) }
func TestOwnMACHappenings(t *testing.T) {
	testHappenings(t, 1, fast+" lladdr "+cableMAC, 3*98*time.Millisecond)
}
func TestOwnMACHappeningsOfMany(t *testing.T) {
	testHappenings(t, 255, "advbase 1 lladdr "+cableMAC, 3*time.Second)
}

func testHappenings(t *testing.T, carps int, words string, wait time.Duration) {
	t.Parallel() // its times are judged against a control
	l := newLab(t)
	client := l.machine("client")
	l.ip(client.ns, "addr", "add", "10.9.0.1/16", "dev", "eth0")
	c := client.capture()
	a := l.host("a")
	l.ip(a.ns, "addr", "flush", "dev", "eth0")
	a.ownAddress()
	a.eth0("address", cableMAC)
	a.must("sysctl-carp net.inet.carp.log=4")
	for n := range carps {
		a.must(fmt.Sprintf("ifconfig-carp carp%d vhid %d carpdev eth0 %s 10.9.1.%d/16", n, n+1, words, n+1))
	}
	all := func() bool { return strings.Count(a.do("ifconfig-carp").out, "\tstatus: master\n") == carps }
	l.within(30*time.Second, "a is master", all)
	// What there is while MASTER, whatever has happened before.
	looks := func() string {
		links := regexp.MustCompile(`(?m)^\d+: |@[^:]*|link/.*|qlen.*`).ReplaceAllString(l.ip(a.ns, "-o", "link"), "")
		addrs := regexp.MustCompile(`(?m)^\d+: |valid_lft.*`).ReplaceAllString(l.ip(a.ns, "-o", "addr"), "")
		lines := strings.Split(links+addrs+l.ip(a.ns, "route")+a.must("cat /proc/sys/net/ipv4/conf/eth0/arp_ignore /proc/sys/net/ipv4/conf/eth0/arp_announce"), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	before := looks()
	sent := func() int { return len(c.since(0, func(f *frame) bool { return f.advert != nil })) }
	var control time.Duration
	for n, h := range append(happenings[:1:1], happenings...) { // the first is the control, too
		if carps > 1 && !h.many && !long {
			continue
		}
		from, adverts := len(a.readLog()), sent()
		h.do(a)
		var state, carpdev string
		l.within(10*time.Second, h.what+": "+h.state+" on "+h.carpdev, func() bool {
			state, carpdev = a.shown(fmt.Sprintf("carp%d", carps-1))
			return state == h.state && carpdev == h.carpdev
		})
		time.Sleep(50 * time.Millisecond) // for what is on its way
		quiet := sent()
		time.Sleep(wait / 2)
		meanwhile := sent() - quiet
		if h.adverts != (meanwhile > 0) {
			t.Errorf("%s: %d adverts meanwhile", h.what, meanwhile)
		}
		began := time.Now()
		h.undo(a)
		l.within(30*time.Second, h.what+": master again", all)
		took := time.Since(began)
		if n == 0 {
			control = took
		}
		if limit := 2*control + 2*time.Second + time.Duration(carps)*20*time.Millisecond; took > limit { // a master-down time, the links to make, and what the machine does besides
			t.Errorf("%s: master again after %v, the control took %v", h.what, took, control)
		}
		for _, vip := range []int{1, carps} {
			client.must(fmt.Sprintf("ping -n -c 1 -W 2 10.9.1.%d", vip))
		}
		var lines []string
		var times map[string]int
		l.within(3*time.Second, h.what+": the log has all lines", func() bool {
			lines, times = a.logged(from)
			return len(lines) >= len(h.log)
		})
		for _, line := range lines {
			if times[line] != carps {
				t.Errorf("%s: %d times %q", h.what, times[line], line)
			}
		}
		if !slices.Equal(lines, h.log) {
			t.Errorf("%s: the log is\n%s\nnot\n%s", h.what, strings.Join(lines, "\n"), strings.Join(h.log, "\n"))
		}
		if now := looks(); now != before {
			t.Errorf("%s: it was\n%s\nand is\n%s", h.what, before, now)
		}
		t.Logf("%-40s %-6s carpdev %-4s, %d adverts in all, master again after %4d ms", h.what, state, carpdev,
			sent()-adverts, took.Milliseconds())
		if t.Failed() {
			return
		}
	}
}
