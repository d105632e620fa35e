package linux

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// says makes a neighbour advertisement to all that addr is at mac.
func says(from config.MAC, addr string, flags byte, mac config.MAC) []byte {
	a := netip.MustParseAddr(addr).As16()
	body := append(append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, a[:]...), 2, 1)
	return icmp6(config.MAC{0x33, 0x33, 0, 0, 0, 1}, from, addr, "ff02::1", append(body, mac[:]...))
}

// duplicate returns what the host tells of claims: the first, if one comes within a while, which is long where one is wanted.
func (l *lab) duplicate(wanted bool) host.Duplicate {
	l.t.Helper()
	late := time.After(map[bool]time.Duration{false: 30 * time.Millisecond, true: 3 * time.Second}[wanted])
	for {
		select {
		case p := <-l.host.Packets():
			if p.Duplicate.Addr.IsValid() {
				if p.Carpdev != l.eth0 {
					l.t.Errorf("%+v", p)
				}
				return p.Duplicate
			}
		case <-late:
			return host.Duplicate{}
		}
	}
}

// packetSockets counts those of this namespace.
func packetSockets(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/net/packet")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

// Of all that is said of addresses, only what misleads others about a shared one comes through.
func TestDuplicates(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ensure(l.carp(1, true, "192.168.1.10/24", "2001:db8::10/64"))
		stranger := config.MAC{0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
		v4 := func(op byte, to config.MAC, mac config.MAC, sender, target string) []byte {
			f := arp(op, to, stranger, sender, target)
			copy(f[ethernetHeader+arpSenderMAC:], mac[:])
			return f
		}
		change := func(f []byte, at int, b byte) []byte { f = slices.Clone(f); f[at] = b; return f }
		gratuitous, na := v4(1, broadcast, stranger, "192.168.1.10", "192.168.1.10"), says(stranger, "2001:db8::10", naOverride, stranger)
		for what, c := range map[string]struct {
			frame []byte
			want  string
		}{
			"a gratuitous request":      {gratuitous, "192.168.1.10"},
			"padded":                    {append(slices.Clone(gratuitous), make([]byte, 18)...), "192.168.1.10"},
			"a gratuitous reply":        {v4(2, broadcast, stranger, "192.168.1.10", "192.168.1.10"), "192.168.1.10"},
			"a question for another":    {v4(1, broadcast, stranger, "192.168.1.10", "192.168.1.77"), "192.168.1.10"},
			"an advertisement":          {na, "2001:db8::10"},
			"VLAN 0":                    {tagged(0, gratuitous), "192.168.1.10"},
			"VLAN 10":                   {tagged(10, gratuitous), ""},
			"to us alone":               {v4(2, l.mac, stranger, "192.168.1.10", "192.168.1.10"), ""},
			"a probe":                   {v4(1, broadcast, stranger, "0.0.0.0", "192.168.1.10"), ""},
			"another address":           {v4(1, broadcast, stranger, "192.168.1.11", "192.168.1.11"), ""},
			"a question for it":         {v4(1, broadcast, stranger, "192.168.1.77", "192.168.1.10"), ""},
			"RARP's operation":          {v4(3, broadcast, stranger, "192.168.1.10", "192.168.1.10"), ""},
			"not of Ethernet":           {change(gratuitous, ethernetHeader+1, 6), ""},
			"cut":                       {gratuitous[:ethernetHeader+16], ""},
			"another's virtual MAC":     {v4(1, broadcast, config.VirtualMAC(9), "192.168.1.10", "192.168.1.10"), ""},
			"of balancing ip":           {v4(1, broadcast, config.MAC{1, 0, 0x5e, 0, 1, 9}, "192.168.1.10", "192.168.1.10"), ""},
			"VRRP's over IPv6":          {v4(1, broadcast, config.MAC{0, 0, 0x5e, 0, 2, 9}, "192.168.1.10", "192.168.1.10"), "192.168.1.10"},
			"nearly virtual":            {v4(1, broadcast, config.MAC{2, 0, 0x5e, 0, 1, 9}, "192.168.1.10", "192.168.1.10"), "192.168.1.10"},
			"without override":          {says(stranger, "2001:db8::10", 0x80, stranger), ""},
			"of another address":        {says(stranger, "2001:db8::11", naOverride, stranger), ""},
			"another's, virtual":        {says(config.VirtualMAC(9), "2001:db8::10", naOverride, config.VirtualMAC(9)), ""},
			"from beyond a router":      {change(na, 21, 254), ""},
			"a solicitation":            {solicit(stranger, "2001:db8::10", "2001:db8::77"), ""},
			"without an Ethernet one":   {na[:naOption], ""},
			"another option":            {change(na, naOption, 1), ""},
			"an advert of 192.168.1.10": {advert4(1, l.mac, theirs, "192.168.1.10", "192.168.1.1"), ""},
		} {
			l.again()
			l.inject(c.frame)
			got := l.duplicate(c.want != "")
			mac := config.MAC{}
			if c.want != "" {
				mac = stranger
				if strings.Contains(what, "virtual") || strings.HasPrefix(what, "VRRP") {
					mac = config.MAC(c.frame[ethernetHeader+arpSenderMAC : ethernetHeader+arpSenderIP])
				}
			}
			if a := got.Addr; a.IsValid() != (c.want != "") || a.IsValid() && a.String() != c.want || got.MAC != mac {
				t.Errorf("%s: %+v, want %q at %s", what, got, c.want, mac)
			}
		}

		// Of a flood little comes through, and it hides nothing of another address.
		l.again()
		began := time.Now()
		for range 1000 {
			l.inject(gratuitous)
		}
		most := 1 + int(time.Since(began)/strangerEvery)
		l.inject(na)
		n := map[string]int{}
		for late := time.After(3 * time.Second); late != nil; {
			select {
			case p := <-l.host.Packets():
				if n[p.Duplicate.Addr.String()]++; len(n) == 2 {
					late = time.After(30 * time.Millisecond)
				}
			case <-late:
				late = nil
			}
		}
		if n["192.168.1.10"] > most || n["192.168.1.10"] == 0 || n["2001:db8::10"] != 1 {
			t.Errorf("of a flood: %v", n)
		}
	})
}

// again lets the filter forget what came through lately.
func (l *lab) again() {
	l.t.Helper()
	d := l.host.ports[l.eth0].duplicates
	if d == nil || l.host.ports[l.eth0].deaf {
		l.t.Fatal("no filter for duplicates")
	}
	for a := range d.set {
		if err := d.addrs.Put(a.As16(), uint64(0)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// The advert of a peer that takes over comes before what it announces, though another goroutine reads it.
func TestDuplicateAfterAdvert(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ensure(l.carp(1, true, "192.168.1.10/24"))
		p := l.host.ports[l.eth0]
		for range 200 {
			l.again()
			p.reading.Lock() // as if the adverts' goroutine had no turn
			l.inject(advert4(1, l.mac, theirs, "192.168.1.2", "192.168.1.1"))
			l.inject(arp(1, broadcast, theirs, "192.168.1.10", "192.168.1.10"))
			time.Sleep(time.Millisecond)
			p.reading.Unlock()
			if first, second := <-l.host.Packets(), <-l.host.Packets(); first.Duplicate.Addr.IsValid() || !second.Duplicate.Addr.IsValid() {
				t.Fatalf("%+v before %+v", first, second)
			}
		}
	})
}

// There are sockets for the families that there are shared addresses of, and none is left.
func TestDuplicateSockets(t *testing.T) {
	inNetwork(t, func(l *lab) {
		none := packetSockets(t)
		for _, c := range []struct {
			addrs []string
			want  int // with that for adverts
		}{
			{[]string{"192.168.1.10/24"}, 2},
			{[]string{"192.168.1.10/24", "2001:db8::10/64"}, 3},
			{[]string{"2001:db8::10/64"}, 2},
			{[]string{"2001:db8::11/64"}, 2},
		} {
			l.ensure(l.carp(1, true, c.addrs...))
			l.ensure(l.carp(2, false, "192.168.1.20/24"))
			want := c.want
			if !strings.Contains(c.addrs[0], ".") {
				want++ // the other's
			}
			if n := packetSockets(t) - none; n != want {
				t.Errorf("%v: %d sockets, want %d", c.addrs, n, want)
			}
			if err := l.host.Remove("carp2"); err != nil {
				t.Fatal(err)
			}
			if n := packetSockets(t) - none; n != c.want {
				t.Errorf("%v: %d sockets, want %d", c.addrs, n, c.want)
			}
		}
		l.again()
		l.inject(says(theirs, "2001:db8::10", naOverride, theirs)) // no longer shared
		if got := l.duplicate(false); got.Addr.IsValid() {
			t.Errorf("%+v", got)
		}
		l.inject(says(theirs, "2001:db8::11", naOverride, theirs))
		if got := l.duplicate(true); got != (host.Duplicate{Addr: netip.MustParseAddr("2001:db8::11"), MAC: theirs}) {
			t.Errorf("%+v", got)
		}
		if err := l.host.Remove("carp1"); err != nil {
			t.Fatal(err)
		}
		if n := packetSockets(t) - none; n != 0 {
			t.Errorf("%d sockets are left", n)
		}
	})
}
