package regress

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo is an echo reply to the machine from a shared address, of either family.
func echo(f *frame) bool {
	b := f.data
	switch {
	case len(b) >= 42 && b[12] == 8 && b[13] == 0 && b[23] == syscall.IPPROTO_ICMP && b[34] == 0:
		return string(b[26:30]) == "\xc0\xa8\x01\x0a" // 192.168.1.10
	case len(b) >= 62 && b[12] == 0x86 && b[20] == syscall.IPPROTO_ICMPV6 && b[54] == 129:
		return b[37] == 0x10 // 2001:db8:1::10
	}
	return false
}

// After two masters had parted the network between them, after a frozen master has thawed, and after the carrier has gone and come back, a client
// that has learned either side reaches the address within an advert's interval of the moment at which the loser gave way.
func TestHealing(t *testing.T)       { testHealing(t, false) }
func TestOwnMACHealing(t *testing.T) { testHealing(t, true) }

func testHealing(t *testing.T, own bool) {
	const interval = 98 * time.Millisecond
	for _, fault := range []struct {
		name string
		do   func(a *machine) (undo func())
	}{
		{"partition", func(a *machine) func() { a.cut(); return a.heal }},
		{"frozen master", func(a *machine) func() {
			pid := a.engine()
			syscall.Kill(pid, syscall.SIGSTOP)
			return func() { syscall.Kill(pid, syscall.SIGCONT) }
		}},
		{"carrier", func(a *machine) func() {
			a.lab.ip(a.lab.sw, "link", "set", a.port, "down")
			return func() { a.lab.ip(a.lab.sw, "link", "set", a.port, "up") }
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel() // to the others: most of the time is waited for
			l := newLab(t)
			client := l.machine("client")
			a, b := l.host("a"), l.host("b")
			if own {
				l.filtered(client, a, b)
				client.sysctl("ipv4/neigh/eth0/locktime", "0") // else a client believes no other address within a second: arp(7)
			}
			for _, m := range []*machine{a, b} {
				if own {
					m.ownMAC(fast)
				} else {
					m.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
					m.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
				}
				if m == a {
					a.becomes("master", 5*time.Second)
				}
			}
			for _, addr := range []string{"192.168.1.10", "2001:db8:1::10"} {
				ping := client.command("ping", "-n", "-q", "-i", "0.005", addr)
				if err := ping.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { ping.Process.Signal(syscall.SIGINT); ping.Wait() }()
			}
			c := client.capture()
			s := &series{name: "healing of a " + fault.name}
			for n := 0; n < trials(3, 50); n++ {
				l.within(5*time.Second, "one master", func() bool {
					x, y := a.status("carp0"), b.status("carp0")
					return x == "master" && y == "backup" || x == "backup" && y == "master"
				})
				if a.status("carp0") != "master" {
					a, b = b, a
				}
				from := c.count()
				c.wait(t, from, time.Second, "an answer", echo)
				undo := fault.do(a)
				b.becomes("master", 5*time.Second)
				time.Sleep(2 * interval) // everybody has learned the one side that he hears
				at, from := time.Now(), c.count()
				control := startControl(t, at.Add(10*time.Millisecond))
				undo()
				time.Sleep(5 * interval)
				// The longest time without an answer since then.
				now, longest := time.Now(), time.Duration(0)
				for _, kind := range []byte{8, 0x86} { // each family by itself
					last := at
					for _, f := range c.since(from, echo) {
						if f.data[12] == kind {
							longest, last = max(longest, f.at.Sub(last)), f.at
						}
					}
					longest = max(longest, now.Sub(last))
				}
				if control.late(t) > controlLimit && s.repeated < 20 {
					s.repeated++
					n--
					continue
				}
				s.late = append(s.late, longest)
			}
			s.judge(t, interval, interval+100*time.Millisecond)
			if log := a.readLog() + b.readLog(); strings.Contains(log, "failed") || strings.Contains(log, "duplicate IP") {
				t.Error(log)
			}
		})
	}
}
