package regress

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const virtualMAC = "00:00:5e:00:01:01"

// fast is advbase 0 advskew 25: an advert each 98 ms, a master-down time of 293 ms.
const fast = "advbase 0 advskew 25"

// 1. Two kernelsims on a bridge elect one master; a client sees the virtual MAC alone.
func TestElection(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.machine("client")
	c := client.capture()
	a, b := l.pair("", "", "advskew 100")
	a.becomes("master", 6*time.Second)
	if s := b.status("carp0"); s != "backup" {
		t.Errorf("b is %s", s)
	}
	if out := client.must("ping -n -c 3 -i 0.1 192.168.1.10"); !strings.Contains(out, " 0% packet loss") {
		t.Error(out)
	}
	if out := client.lab.ip(client.ns, "neigh", "show", "192.168.1.10"); !strings.Contains(out, "lladdr "+virtualMAC) {
		t.Errorf("the client's entry: %s", out)
	}
	out := client.exec("arping", "-c", "5", "-i", "eth0", "192.168.1.10").out
	answers := regexp.MustCompile(`(?m)from ([0-9a-f:]{17}) `).FindAllStringSubmatch(out, -1)
	if len(answers) != 5 {
		t.Errorf("%d answers to 5 who-has:\n%s", len(answers), out)
	}
	for _, m := range answers {
		if m[1] != virtualMAC {
			t.Errorf("an answer from %s", m[1])
		}
	}
	// The adverts as they are on the wire, read by somebody else's eyes too.
	f, _ := c.wait(t, 0, time.Second, "an advert", advertFrom(a.addr))
	if f.from.String() != virtualMAC || f.data[14] != 0x45 || f.data[15] != 0x10 || f.data[20] != 0x40 || f.data[22] != 255 {
		t.Errorf("frame %x", f.data)
	}
	if _, sealed := f.advert.Sealed(); !sealed {
		t.Errorf("not sealed: %+v", f.advert)
	}
	dump := client.exec("timeout", "5", "tcpdump", "-c", "1", "-vni", "eth0", "-T", "carp", "proto", "112").out
	want := `(?s)tos 0x10, ttl 255, .*flags \[DF\].*` + a.addr + ` > 224.0.0.18: CARPv2-advertise 36: vhid=1 advbase=1 advskew=0 `
	if !regexp.MustCompile(want).MatchString(dump) ||
		strings.Contains(dump, "bad") {
		t.Errorf("tcpdump: %s", dump)
	}
	if n := len(c.since(0, advertFrom(b.addr))); n != 0 {
		t.Errorf("%d adverts of the backup", n)
	}
}

// silentBackup asks the machine, which is not master, in every way that could be answered.
func silentBackup(t *testing.T, client, m *machine) {
	t.Helper()
	l := client.lab
	l.ip(client.ns, "neigh", "replace", "192.168.1.10", "lladdr", virtualMAC, "dev", "eth0", "nud", "permanent")
	defer l.ip(client.ns, "neigh", "del", "192.168.1.10", "dev", "eth0")
	if r := client.do("ping -n -c 3 -i 0.1 -W 0.3 192.168.1.10"); r.code == 0 {
		t.Errorf("%s answers to the virtual MAC: %s", m.name, r.out)
	}
	if r := client.exec("arping", "-c", "2", "-w", "1", "-i", "eth0", "192.168.1.10"); strings.Contains(r.out, "bytes from") {
		t.Errorf("%s answers ARP: %s", m.name, r.out)
	}
}

func TestBackupIsSilent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
	a.becomes("backup", 5*time.Second)
	silentBackup(t, client, a)
	a.must("ifconfig-carp carp0 state master")
	if out := client.must("ping -n -c 2 -i 0.1 192.168.1.10"); !strings.Contains(out, " 0% packet loss") {
		t.Error(out)
	}
	a.must("ifconfig-carp carp0 state backup")
	silentBackup(t, client, a)
	a.must("ifconfig-carp carp0 down")
	silentBackup(t, client, a)
}

// 2. The master's host is cut from the bridge, or goes down: how late is the other, beyond its master-down time?
func TestFailover(t *testing.T) {
	t.Run("cut fast", func(t *testing.T) {
		s := failover(t, fast, trials(3, 17), 300*time.Second*25/256/100)
		s.judge(t, 20*time.Millisecond, 98*time.Millisecond)
	})
	t.Run("cut 1s", func(t *testing.T) {
		s := failover(t, "advbase 1 advskew 0", 3, 3*time.Second)
		s.judge(t, 20*time.Millisecond, time.Second)
	})
}

func failover(t *testing.T, words string, n int, masterDown time.Duration) *series {
	s := &series{name: "cut, " + words}
	l := newLab(t)
	client := l.machine("client")
	c := client.capture()
	a, b := l.pair(words, "", "")
	a.becomes("master", 10*time.Second)
	for len(s.late) < n && s.repeated < 3*n {
		l.t.Logf("trial %d: %s is master", len(s.late), a.name)
		time.Sleep(3 * masterDown / 2) // both have forgotten the last trial
		from := c.count()
		a.cut()
		time.Sleep(5 * time.Millisecond) // for the capture to see what left before
		adverts := c.since(0, advertFrom(a.addr))
		last := adverts[len(adverts)-1].at
		deadline := last.Add(masterDown)
		control := startControl(t, deadline)
		f, at := c.wait(t, from, 3*masterDown+5*time.Second, "an announcement", announcement("192.168.1.10"))
		if stale := c.since(from, func(f *frame) bool { return advertFrom(a.addr)(f) && f.at.After(last) }); len(stale) > 0 {
			t.Fatalf("an advert of %s after it was cut", a.name)
		}
		if f.at.Before(deadline) {
			t.Errorf("%v early", deadline.Sub(f.at))
		}
		if f.from.String() != virtualMAC {
			t.Errorf("announced from %s", f.from)
		}
		if late := control.late(t); late > controlLimit {
			s.repeated++
		} else {
			s.late = append(s.late, f.at.Sub(deadline)-max(late, 0))
		}
		c.wait(t, at+1, 3*masterDown+time.Second, "a second announcement", announcement("192.168.1.10"))
		afterwards(t, client, b)

		// Heal: one of the two yields.
		a.heal()
		l.within(3*masterDown+5*time.Second, "one master after healing", func() bool {
			x, y := a.status("carp0"), b.status("carp0")
			return x == "master" && y == "backup" || x == "backup" && y == "master"
		})
		if a.status("carp0") != "master" {
			a, b = b, a
		}
	}
	return s
}

// afterwards checks that the bridge and the client know where the address is now.
func afterwards(t *testing.T, client, master *machine) {
	t.Helper()
	l := client.lab
	if out := client.must("ping -n -c 2 -i 0.1 -W 1 192.168.1.10"); !strings.Contains(out, " 0% packet loss") {
		t.Errorf("ping: %s", out)
	}
	fdb := l.run("bridge", "-n", l.sw, "fdb", "show", "br", "br0")
	if !strings.Contains(fdb, virtualMAC+" dev "+master.port+" ") {
		t.Errorf("the bridge has no entry for %s at %s:\n%s", virtualMAC, master.port, fdb)
	}
	if out := l.ip(client.ns, "neigh", "show", "192.168.1.10"); !strings.Contains(out, "lladdr "+virtualMAC) {
		t.Errorf("the client's entry: %s", out)
	}
}

// after `ifconfig carp0 down` on the master the other follows its bow-out.
func TestBowOutIsFollowed(t *testing.T) {
	for _, words := range []string{fast, "advbase 1 advskew 0"} {
		for _, command := range []string{"ifconfig-carp carp0 down", "ifconfig-carp carp0 destroy", "SIGTERM"} {
			s := &series{name: command + ", " + words}
			l := newLab(t)
			client := l.machine("client")
			c := client.capture()
			a, b := l.pair(words, "", "")
			a.becomes("master", 10*time.Second)
			for len(s.late) < trials(3, 20) && s.repeated < 60 {
				from := c.count()
				if command == "SIGTERM" {
					a.stop()
				} else {
					a.must(command)
				}
				control := startControl(t, time.Now().Add(5*time.Millisecond))
				last, _ := c.wait(t, from, time.Second, "a bow-out", func(f *frame) bool { return f.advert != nil && f.advert.IsBowOut() })
				f, _ := c.wait(t, from, 4*time.Second, "an announcement", announcement("192.168.1.10"))
				if control.late(t) > controlLimit {
					s.repeated++
				} else {
					s.late = append(s.late, f.at.Sub(last.at))
				}
				b.becomes("master", time.Second)
				afterwards(t, client, b)
				switch command {
				case "SIGTERM":
					if out := l.ip(a.ns, "link", "show"); strings.Contains(out, "carp0") {
						t.Errorf("left behind: %s", out)
					}
					a.start()
					a.serves()
				case "ifconfig-carp carp0 down":
					a.must("ifconfig-carp carp0 up")
				default:
					a.must("ifconfig-carp carp0 vhid 1 " + words + " 192.168.1.10")
				}
				a.becomes("backup", 10*time.Second)
				a, b = b, a
			}
			s.judge(t, 20*time.Millisecond, time.Second)
		}
	}
}

// 3. Without preempt the host that comes back stays BACKUP; with it the better one takes over at the next advert.
func TestPreempt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.machine("client").capture()
	a, b := l.pair("advbase 0", "advskew 25", "advskew 50")
	a.becomes("master", 5*time.Second)
	for _, preempt := range []int{0, 1} {
		for _, m := range []*machine{a, b} {
			m.must(fmt.Sprintf("sysctl-carp net.inet.carp.preempt=%d", preempt))
		}
		a.must("ifconfig-carp carp0 down")
		b.becomes("master", time.Second)
		a.must("ifconfig-carp carp0 up")
		from := c.count()
		if preempt == 0 {
			time.Sleep(2 * time.Second)
			if s := a.status("carp0"); s != "backup" {
				t.Errorf("preempt 0: a is %s", s)
			}
			a.must("ifconfig-carp carp0 state master")
			a.becomes("master", time.Second)
			b.becomes("backup", time.Second)
			continue
		}
		first, _ := c.wait(t, from, time.Second, "an advert of b", advertFrom(b.addr))
		taken, _ := c.wait(t, from, time.Second, "an advert of a", advertFrom(a.addr))
		if d := taken.at.Sub(first.at); d > 2*time.Second*50/256 {
			t.Errorf("preempt 1: a took over %v after b's advert", d)
		}
		b.becomes("backup", time.Second)
	}
}

// 5. With different pass phrases both are master, both count, and both say whose hash is wrong.
func TestWrongPassPhrase(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.pair(fast, "pass geheim", "pass secret")
	a.becomes("master", 5*time.Second)
	b.becomes("master", 5*time.Second)
	time.Sleep(time.Second)
	for m, other := range map[*machine]*machine{a: b, b: a} {
		want := fmt.Sprintf("carp0: incorrect hash from %s: pass phrase or address list differs\n", other.addr)
		log := m.readLog()
		if n := strings.Count(log, want); n != 1 {
			t.Errorf("%s logged it %d times:\n%s", m.name, n, log)
		}
		if n := m.counter("badauth"); n < 5 {
			t.Errorf("%s counted %d", m.name, n)
		}
		for _, secret := range []string{"geheim", "secret"} {
			if strings.Contains(log, secret) {
				t.Errorf("%s shows the pass phrase in its log", m.name)
			}
		}
	}
	b.must("ifconfig-carp carp0 pass geheim")
	l.within(5*time.Second, "one master with the same pass phrase", func() bool {
		x, y := a.status("carp0"), b.status("carp0")
		return x == "master" && y == "backup" || x == "backup" && y == "master"
	})
}

// A backup that was stopped and goes on after its master-down time hears the master before it takes over.
func TestStoppedBackup(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.pair(fast, "", "advskew 100")
	a.becomes("master", 5*time.Second)
	b.becomes("backup", 5*time.Second)
	engine := b.engine()
	for range trials(5, 50) {
		for _, pid := range []int{b.sim.Process.Pid, engine} { // the supervisor would end an engine that alone is stopped
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		for _, pid := range []int{b.sim.Process.Pid, engine} {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(300 * time.Millisecond)
	}
	if log := b.readLog(); strings.Contains(log, "BACKUP -> MASTER") {
		t.Errorf("it took over from a living master:\n%s", log)
	}
	if b.engine() != engine {
		t.Errorf("another engine:\n%s", b.readLog())
	}
}

// Two addresses are added on the backup, one after the other, before the master gets them: nobody moves.
func TestAliasesOneByOne(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.pair(fast, "", "advskew 100")
	a.becomes("master", 5*time.Second)
	b.becomes("backup", 5*time.Second)
	for _, m := range []*machine{b, a} {
		for _, addr := range []string{"192.168.1.11", "192.168.1.12"} {
			m.must("ifconfig-carp carp0 alias " + addr)
			time.Sleep(500 * time.Millisecond)
		}
	}
	for m, want := range map[*machine]string{a: "master", b: "backup"} {
		if got := m.status("carp0"); got != want {
			t.Errorf("%s is %s, want %s", m.name, got, want)
		}
	}
	if log := b.readLog(); strings.Contains(log, "BACKUP -> MASTER") {
		t.Errorf("the backup moved:\n%s", log)
	}
}
