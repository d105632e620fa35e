package regress

import (
	"strings"
	"testing"
	"time"
)

// Nothing leaves a backup from the shared address, not even by address translation; and the host's own traffic never has it as its source, also
// after the carpdev has bounced.
func TestNothingFromTheSharedAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 20 192.168.1.10")
	a.becomes("backup", 5*time.Second)
	a.must("nft add table ip test")
	a.must("nft add chain ip test out { type nat hook postrouting priority 100 ; }")
	a.must("nft add rule ip test out ip daddr " + client.addr + " icmp type echo-request snat to 192.168.1.10")
	c := client.capture()
	shared := func(f *frame) bool {
		return len(f.data) >= 34 && f.data[12] == 8 && f.data[13] == 0 && string(f.data[26:30]) == "\xc0\xa8\x01\x0a"
	}
	if a.do("ping -n -c 3 -i 0.05 -W 0.2 "+client.addr).code == 0 {
		t.Error("a backup's translated packets are answered")
	}
	if n := len(c.since(0, shared)); n != 0 {
		t.Errorf("%d packets from the shared address of a backup", n)
	}
	a.must("ifconfig-carp carp0 state master")
	a.becomes("master", 5*time.Second)
	if out := a.do("ping -n -c 3 -i 0.05 -W 1 " + client.addr).out; !strings.Contains(out, " 0% packet loss") {
		t.Errorf("a master's translated packets: %s", out)
	}
	if n := len(c.since(0, shared)); n == 0 {
		t.Error("a master translates nothing: the test sees nothing")
	}
	a.must("nft delete table ip test")

	from := c.count()
	for range 3 {
		l.ip(a.ns, "link", "set", "eth0", "down")
		l.ip(a.ns, "link", "set", "eth0", "up")
		l.within(2*time.Second, "a route", func() bool { return a.do("ping -n -c 1 -W 1 "+client.addr).code == 0 })
	}
	if n := len(c.since(from, func(f *frame) bool { return shared(f) && f.advert == nil && !f.icmp })); n != 0 {
		t.Errorf("the host's own traffic has left from the shared address %d times", n)
	}
}
