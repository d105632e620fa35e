package linux

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"carp/libcarp/host"
)

// The kernel tells each setting under the number that we believe.
func TestSettingsAreSeen(t *testing.T) {
	t.Parallel()
	inNetwork(t, func(l *lab) {
		l.ip("link", "add", "test0", "link", "eth0", "type", "macvlan", "mode", "private")
		l.ip("link", "set", "test0", "up")
		index, _ := l.link("test0")
		for _, all := range [][]setting{carpSettings, carpdevSettings} {
			for _, w := range all {
				key := fmt.Sprintf("%s/conf/test0/%s", w.family, w.key)
				for _, value := range []int{w.value, 1 - min(w.value, 1), w.value} { // all of them can be 0 and 1
					l.sysctl(key, strconv.Itoa(value))
					var s linkState
					if err := (kernel{}).getLinks(index, func(now linkState) { s = now }); err != nil {
						t.Fatal(err)
					}
					if s.name != "test0" || (s.unlike([]setting{w}) == "") != (value == w.value) {
						t.Errorf("%s = %d: %q", key, value, s.unlike([]setting{w}))
					}
				}
			}
		}
	})
}

// What somebody does to a link is told as amiss, once, and Ensure mends it; what we do is not.
func TestAmiss(t *testing.T) {
	t.Parallel()
	inNetwork(t, func(l *lab) {
		c := l.carp(1, true, "192.168.1.10/24", "2001:db8::10/64")
		l.ensure(c)
		for l.amiss(200 * time.Millisecond) { // while it is made, it is not what it has to be
			l.ensure(c)
		}
		for range 4 {
			c.Master = !c.Master
			l.ensure(c)
		}
		if l.amiss(1500 * time.Millisecond) {
			t.Error("what we did ourselves is amiss")
		}
		look := func() string {
			return l.ip("-o", "addr", "show", "dev", "carp1") + strings.ReplaceAll(l.ip("-d", "-o", "link", "show", "dev", "carp1"), "state UNKNOWN", "state UP")
		}
		before := look()
		for _, line := range []string{
			"addr flush dev carp1", "addr del 192.168.1.10/24 dev carp1", "addr add 192.168.1.77/32 dev carp1", "link set carp1 address 02:00:00:00:00:77",
			"link set carp1 type macvlan mode bridge", "link set carp1 name other", "link set carp1 arp off", "link set carp1 down",
		} {
			l.ip(strings.Fields(line)...)
			if !l.amiss(1500 * time.Millisecond) {
				t.Errorf("%s: not seen", line)
			}
			l.ensure(c)
			if after := look(); after != before {
				t.Errorf("%s: not mended:\n%s%s", line, before, after)
			}
		}
		l.ip("link", "del", "carp1")
		if !l.amiss(time.Second) {
			t.Error("deletion: not seen")
		}
		l.ensure(c)
		for _, w := range append(carpSettings, carpdevSettings...) {
			name := "carp1"
			if w.key == "arp_announce" {
				name = "eth0"
			}
			if w.key == "addr_gen_mode" {
				continue // with 0 the link would get an address of its own
			}
			for l.amiss(100 * time.Millisecond) {
				l.ensure(c)
			}
			key := fmt.Sprintf("%s/conf/%s/%s", w.family, name, w.key)
			l.sysctl(key, strconv.Itoa(1-min(w.value, 1)))
			if !l.amiss(1500 * time.Millisecond) {
				t.Errorf("%s: not seen", key)
			}
			l.ensure(c)
			if now, _ := os.ReadFile("/proc/sys/net/" + key); strings.TrimSpace(string(now)) != strconv.Itoa(w.value) {
				t.Errorf("%s: not mended: %s", key, now)
			}
		}
	})
}

// A carpdev's sysctls are kept as long as any carp is on it, whichever was made last; what is just being made is not amiss.
func TestCarpdevIsKept(t *testing.T) {
	t.Parallel()
	inNetwork(t, func(l *lab) {
		one, two := l.carp(1, false, "192.168.1.10/24"), l.carp(2, false, "192.168.1.20/24")
		l.ensure(one)
		l.ensure(two)
		for l.amiss(200 * time.Millisecond) { // while they were made, they were not what they have to be
			l.ensure(one)
			l.ensure(two)
		}
		if err := l.host.Remove("carp2"); err != nil {
			t.Fatal(err)
		}
		l.sysctl("ipv4/conf/eth0/arp_ignore", "0")
		if !l.amiss(1500 * time.Millisecond) {
			t.Error("a change of the carpdev is not seen")
		}
		l.ensure(one)
		if now, _ := os.ReadFile("/proc/sys/net/ipv4/conf/eth0/arp_ignore"); string(now) != "1\n" {
			t.Errorf("not mended: %s", now)
		}
	})
	k, wrong := newKeeper(), &linkState{index: 7, conf: [2][]int{make([]int, 30)}}
	k.expect(8, host.Carp{Name: "carp0"}, true, 7)
	if carp, what, _ := k.sees(wrong); carp != "" {
		t.Errorf("%s is amiss while it is made: %s", carp, what)
	}
	if k.done("carp0"); k.carpdevs[7]["carp0"] != true {
		t.Error("it is not made")
	}
	if carp, _, _ := k.sees(wrong); carp != "carp0" {
		t.Errorf("%q is amiss, not carp0", carp)
	}
}

// Whoever does it again and again wins, and then there is no link; after a while it is tried again.
func TestPatience(t *testing.T) {
	now := time.Now()
	p := &patience{}
	for range fightMax {
		if !p.bear(now) {
			t.Fatal("lost too early")
		}
	}
	if p.lost(now) || p.bear(now.Add(fightSpan)) || !p.lost(now.Add(fightSpan)) || p.lost(now.Add(2*fightSpan)) || !p.bear(now.Add(2*fightSpan)) {
		t.Errorf("%+v", p)
	}
	for n := range 10 * fightMax { // seldom enough
		if !p.bear(now.Add(3*fightSpan + time.Duration(n)*fightSpan/(fightMax-1))) {
			t.Fatalf("lost at %d", n)
		}
	}
}

func TestFight(t *testing.T) {
	t.Parallel()
	inNetwork(t, func(l *lab) {
		c := l.carp(1, true, "192.168.1.10/24")
		l.ensure(c)
		var err error
		for n := 0; n < 2*fightMax && err == nil; n++ {
			l.ip("addr", "flush", "dev", "carp1")
			select {
			case <-l.host.Amiss():
			case <-time.After(2 * time.Second):
				t.Fatalf("%d: not seen", n)
			}
			_, err = l.host.Ensure(c)
		}
		if err == nil || !strings.Contains(err.Error(), "again and again") || strings.Contains(l.ip("link", "show"), "carp1") {
			t.Errorf("%v", err)
		}
		for range 3 {
			if _, again := l.host.Ensure(c); again == nil || strings.Contains(l.ip("link", "show"), "carp1") {
				t.Errorf("soon after: %v", again)
			}
		}
		l.host.fights["carp1"].until = time.Now()
		l.ensure(c)
	})
}

// A link to which somebody has just given another name goes with its carp, with the host, and with what a dead engine has left.
func TestRenamedLinkGoes(t *testing.T) {
	t.Parallel()
	inNetwork(t, func(l *lab) {
		c := l.carp(1, true, "192.168.1.10/24")
		gone := func(how string) {
			t.Helper()
			if links := l.ip("-o", "link", "show", "type", "macvlan"); links != "" {
				t.Errorf("%s: left is %s", how, links)
			}
		}
		rename := func() {
			t.Helper()
			l.ensure(c)
			l.ip("link", "set", "carp1", "name", "other")
		}
		rename()
		if err := l.host.Remove("carp1"); err != nil {
			t.Error(err)
		}
		gone("Remove")
		rename()
		if err := l.host.Silence(); err != nil {
			t.Error(err)
		}
		gone("Silence")
		rename()
		l.host.made = map[string]made{} // as the next engine, which knows nothing of it
		if err := l.host.Adopt(map[string]bool{"carp1": true}); err != nil {
			t.Error(err)
		}
		gone("Adopt")
		l.ensure(c)
		if err := l.host.Remove("carp1"); err != nil {
			t.Error(err)
		}

		// Somebody else's macvlan of any name stays.
		l.ip("link", "add", "link", "eth0", "name", "theirs", "type", "macvlan", "mode", "private")
		if err := l.host.Adopt(nil); err != nil {
			t.Error(err)
		}
		if links := l.ip("-o", "link", "show", "type", "macvlan"); !strings.Contains(links, "theirs") {
			t.Error("another's link has gone")
		}
	})
}

// A link that is deleted while what a dead engine has left is taken over keeps nobody from starting.
func TestDeletedDuringAdoption(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.gated(nil)
		l.ip("link", "add", "link", "eth0", "name", "carp1", "type", "macvlan", "mode", "private")
		link, err := netlink.LinkByName("carp1")
		if err != nil {
			t.Fatal(err)
		}
		l.ip("link", "del", "carp1")
		if err := l.host.guard.adopt([]netlink.Link{link}, l.host.own); err != nil {
			t.Error(err)
		}
	})
}

// Who has left mends nothing any more: the next process has its own gate, and this one would put it away.
func TestLeave(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.gated(nil)
		l.ensure(l.carp(1, true, "192.168.1.10/24"))
		clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.eth0, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
		mended := func() bool {
			t.Helper()
			if err := netlink.QdiscDel(clsact); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(lookEvery * 3 / 2); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if l.host.guard.gate.Check(l.eth0) == nil {
					return true
				}
			}
			return false
		}
		if !mended() {
			t.Error("the gate is not mended before")
		}
		for l.amiss(200 * time.Millisecond) { // no old news
		}
		l.host.Leave()
		if mended() {
			t.Error("the gate is mended")
		}
		l.ip("link", "set", "carp1", "address", "02:00:00:00:00:77")
		if l.amiss(lookEvery * 3 / 2) {
			t.Error("it is told what is amiss")
		}
	})
}
