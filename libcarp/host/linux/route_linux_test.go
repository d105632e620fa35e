package linux

import (
	"strings"
	"testing"
)

// subnets returns the routes that we have set on a link, in words of ip(8).
func (l *lab) subnets(dev string) string {
	l.t.Helper()
	var ours []string
	for _, line := range strings.Split(l.ip("route", "show", "dev", dev)+l.ip("-6", "route", "show", "dev", dev), "\n") {
		if strings.Contains(line, " metric 4096") {
			to, rest, _ := strings.Cut(line, " ")
			_, src, _ := strings.Cut(rest, " src ")
			src, _, _ = strings.Cut(src, " ")
			ours = append(ours, to+" from "+src)
		}
	}
	return strings.Join(ours, ", ")
}

// The route of a subnet has another source when the first address in it goes, of either family, on the carp's link and on the carpdev.
func TestRouteSource(t *testing.T) {
	inNetwork(t, func(l *lab) {
		for _, own := range []bool{false, true} {
			c, dev := l.carp(1, true, "10.9.0.10/16", "10.9.0.11/16", "2001:db8::10/64", "2001:db8::11/64"), "carp1"
			if own {
				c.Own, c.MAC, dev = true, l.mac, "eth0"
			}
			l.ensure(c)
			if got, want := l.subnets(dev), "10.9.0.0/16 from 10.9.0.10, 2001:db8::/64 from 2001:db8::10"; got != want {
				t.Errorf("own %t: %s", own, got)
			}
			c.Addrs = c.Addrs[1:2:2]
			c.Addrs = append(c.Addrs, l.carp(1, true, "2001:db8::11/64").Addrs...)
			l.ensure(c)
			if got, want := l.subnets(dev), "10.9.0.0/16 from 10.9.0.11, 2001:db8::/64 from 2001:db8::11"; got != want {
				t.Errorf("own %t: after the first has gone: %s", own, got)
			}
			if err := l.host.Remove("carp1"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Carps of one subnet on one carpdev share its route, whose source is the address of one that is MASTER; the last takes it away.
func TestRouteIsShared(t *testing.T) {
	inNetwork(t, func(l *lab) {
		one, two := l.carp(1, true, "10.9.0.10/16", "2001:db8::10/64"), l.carp(2, true, "10.9.0.20/16", "2001:db8::20/64")
		one.Own, one.MAC, two.Own, two.MAC = true, l.mac, true, l.mac
		const ofOne, ofTwo = "10.9.0.0/16 from 10.9.0.10, 2001:db8::/64 from 2001:db8::10", "10.9.0.0/16 from 10.9.0.20, 2001:db8::/64 from 2001:db8::20"
		is := func(when, want string) {
			t.Helper()
			if got := l.subnets("eth0"); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		for range 2 {
			one.Master, two.Master = true, true
			l.ensure(one)
			is("one is master", ofOne)
			l.ensure(two)
			is("both are", ofOne)
			one.Master = false
			l.ensure(one)
			is("one is backup", ofTwo)
			one.Master = true
			l.ensure(one)
			is("both are again", ofTwo)
			two.Master = false
			l.ensure(two)
			is("two is backup", ofOne)
			one.Master = false
			l.ensure(one)
			is("both are backups", "")
		}
		one.Master = true
		l.ensure(one)
		one.Own, one.MAC = false, virtual // another mode
		l.ensure(one)
		is("the other mode", "")
	})
}

// The mode changes on a MASTER: the routes go over, and on a link that passes nothing any more no route stays, somebody else's neither.
func TestRouteChangesMode(t *testing.T) {
	inNetwork(t, func(l *lab) {
		const ours = "10.9.0.0/16 from 10.9.0.10, 2001:db8::/64 from 2001:db8::10"
		c := l.carp(1, true, "10.9.0.10/16", "2001:db8::10/64")
		for range 2 {
			c.Own, c.MAC = false, virtual
			l.ensure(c)
			if link, dev := l.subnets("carp1"), l.subnets("eth0"); link != ours || dev != "" {
				t.Errorf("virtual: on the link %q, on the carpdev %q", link, dev)
			}
			l.ip("route", "add", "10.7.0.0/16", "via", "10.9.0.1", "dev", "carp1")
			l.ip("-6", "route", "add", "2001:db8:7::/64", "via", "2001:db8::1", "dev", "carp1")
			c.Own, c.MAC = true, l.mac
			l.ensure(c)
			if dev := l.subnets("eth0"); dev != ours {
				t.Errorf("own: on the carpdev %q", dev)
			}
			if link := l.ip("route", "show", "dev", "carp1") + l.ip("-6", "route", "show", "dev", "carp1"); link != "" {
				t.Errorf("own: on the link %q", link)
			}
		}
	})
}
