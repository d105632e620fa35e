package regress

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ucarp runs Debian's ucarp on a machine, for vhid 1 and 192.168.1.10, the pass phrase "lablove".
func (m *machine) ucarp(skew int, extra ...string) {
	l := m.lab
	l.t.Helper()
	for name, verb := range map[string]string{"up": "add", "down": "del"} {
		script := fmt.Sprintf("#!/bin/sh\nexec ip addr %s \"$2\"/32 dev \"$1\"\n", verb)
		if err := os.WriteFile(filepath.Join(l.dir, name+".sh"), []byte(script), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	args := append([]string{"ucarp", "-i", "eth0", "-s", m.addr, "-v", "1", "-p", "lablove", "-a", "192.168.1.10", "-b", "1", "-k", fmt.Sprint(skew),
		"-u", filepath.Join(l.dir, "up.sh"), "-d", filepath.Join(l.dir, "down.sh"), "-z", "-n", "-f", "none"}, extra...)
	m.sim = m.command(args...)
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	m.sim.Stderr, m.sim.Stdout = log, log
	if err := m.sim.Start(); err != nil {
		l.t.Fatal(err)
	}
	m.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { c.Wait(); close(ended) }(m.sim, m.ended)
	l.t.Cleanup(func() {
		m.sim.Process.Kill()
		<-m.ended
		if l.t.Failed() {
			log, _ := os.ReadFile(m.log)
			l.t.Logf("log of ucarp:\n%s", log)
		}
	})
}

// hasAddress reports whether a ucarp is master: its script has put the address there.
func (m *machine) hasAddress() bool {
	out, err := exec.Command("ip", "-n", m.ns, "addr", "show", "dev", "eth0").Output()
	return err == nil && strings.Contains(string(out), "192.168.1.10/")
}

// 4. With ucarp as the peer: one master, whoever is preferred and whatever the order of the addresses, fail-over in both directions.
func TestUcarp(t *testing.T) {
	for _, c := range []struct {
		name        string
		ours, skew  int // advskew of ours and of ucarp
		oursIsLower bool
		preferred   string // who has to be master in the end
	}{
		{"ours preferred", 0, 100, true, "ours"},
		{"ucarp preferred", 100, 0, true, "ucarp"},
		{"equal, ours with the lower address", 10, 10, true, ""},
		{"equal, ucarp with the lower address", 10, 10, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			client := l.machine("client")
			var ours, peer *machine
			if c.oursIsLower {
				ours = l.host("ours")
				peer = l.machine("ucarp")
			} else {
				peer = l.machine("ucarp")
				ours = l.host("ours")
			}
			ours.must("sysctl-carp net.inet.carp.preempt=1")
			ours.must(fmt.Sprintf("ifconfig-carp carp0 vhid 1 pass lablove advskew %d 192.168.1.10", c.ours))
			peer.ucarp(c.skew, "-P")

			// settled returns who is master once exactly one is, and checks that it stays so.
			settled := func(what string, bound time.Duration) string {
				t.Helper()
				start, who := time.Now(), ""
				l.within(bound, what+": exactly one master", func() bool {
					x, y := ours.status("carp0") == "master", peer.hasAddress()
					who = map[bool]string{true: "ours", false: "ucarp"}[x]
					return x != y
				})
				t.Logf("%s: %s is master after %d ms", what, who, time.Since(start).Milliseconds())
				return who
			}
			// stays: three of ucarp's intervals, its reader's second of delay, and what preempting takes
			stays := func(what string) string {
				t.Helper()
				who := settled(what, 7*time.Second)
				for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					if x, y := ours.status("carp0") == "master", peer.hasAddress(); x == y {
						who = settled(what+", again", 5*time.Second) // somebody preempts
					}
				}
				return who
			}
			who := stays("start")
			if c.preferred != "" && who != c.preferred {
				t.Errorf("%s is master, want %s", who, c.preferred)
			}
			for round := 0; round < 2; round++ {
				master, backup := ours, peer
				if who == "ucarp" {
					master, backup = peer, ours
				}
				master.cut()
				l.within(7*time.Second, backup.name+" takes over", func() bool {
					return ours.status("carp0") == "master" && peer.hasAddress() // both, on their sides
				})
				if out := client.must("ping -n -c 3 -i 0.2 -W 1 192.168.1.10"); strings.Contains(out, "100% packet loss") {
					t.Error(out)
				}
				master.heal()
				// within three intervals, and ucarp hears up to a second late
				settled("after healing", 5*time.Second)
				who = stays("healed")
				if c.preferred != "" && who != c.preferred {
					t.Errorf("%s is master after healing, want %s", who, c.preferred)
				}
				if c.preferred != "" {
					break // the other direction:
				}
			}
			// Ours bows out, or ucarp ends.
			if who == "ours" {
				ours.must("ifconfig-carp carp0 down")
				l.within(5*time.Second, "ucarp takes over from ours", peer.hasAddress)
				ours.must("ifconfig-carp carp0 up")
			} else {
				peer.sim.Process.Kill()
				<-peer.ended
				ours.becomes("master", 7*time.Second)
			}
			// It announces on hearing us, up to an interval before its first advert: until we have heard one it is a stranger, once.
			if got := ours.duplicates(); len(got) > 1 {
				t.Errorf("ucarp is taken for a stranger: %q", got)
			}
		})
	}
}

// No advert of a live ucarp is taken for a copy, in either role.
func TestNothingOfUcarpIsRefused(t *testing.T) {
	for _, c := range []struct {
		name       string
		base       int
		ours, skew int // advskew of ours and of ucarp
	}{
		{"base 1, ours is master", 1, 0, 100},
		{"base 1, ucarp is master", 1, 100, 0},
		{"base 0, ours is master", 0, 10, 200},
		{"base 0, ucarp is master", 0, 200, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			peer, ours := l.machine("ucarp"), l.host("ours")
			ours.must("sysctl-carp net.inet.carp.preempt=1")
			if r := ours.do("sysctl-carp -n net.inet.carp.replay"); strings.TrimSpace(r.out) != "1" {
				t.Fatalf("replay is %q", r.out)
			}
			ours.must(fmt.Sprintf("ifconfig-carp carp0 vhid 1 pass lablove advbase %d advskew %d 192.168.1.10", c.base, c.ours))
			peer.ucarp(c.skew, "-P", "-b", fmt.Sprint(c.base))
			time.Sleep(time.Duration(trials(15, 1200)) * time.Second)
			packets, refused := ours.counter("ipackets"), ours.counter("replayed")+ours.counter("altered")
			t.Logf("%d adverts of ucarp, %d refused, %d sent", packets, refused, ours.counter("opackets"))
			if refused != 0 {
				t.Errorf("%d of %d refused; log:\n%s", refused, packets, ours.readLog())
			}
			if packets == 0 && c.skew < c.ours {
				t.Error("nothing was heard")
			}
		})
	}
}
