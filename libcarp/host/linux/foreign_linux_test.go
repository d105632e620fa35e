package linux

import (
	"slices"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/wire"
)

// Adverts of foreign vhids are dropped and counted; whatever else comes in with such a vhid reaches us, to be judged in OpenBSD's order.
func TestForeign(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ensure(l.carp(1, false, "192.168.1.10/24", "2001:db8:1::10/64"))
		group4, group6 := multicastMAC(wire.GroupIPv4), multicastMAC(wire.GroupIPv6)
		from := config.VirtualMAC(9)
		of4 := func(vhid byte) []byte { return advert4(vhid, group4, from, "192.168.1.2", "224.0.0.18") }
		of6 := func(vhid byte) []byte { return advert6(vhid, group6, from, "fe80::2", "ff02::12") }
		const ip4, ip6 = ethernetHeader + wire.IPv4Header, ethernetHeader + wire.IPv6Header
		with := func(f []byte, change func(f []byte)) []byte { f = slices.Clone(f); change(f); return f }

		for range 5 {
			l.inject(of4(9))
			l.inject(of6(9))
			l.inject(of6(9))
		}
		if n, _ := l.hears(9); n != 0 {
			t.Errorf("%d adverts of a foreign vhid reach us", n)
		}
		if got := l.host.Foreign(); got != (host.Foreign{IPv4: 5, IPv6: 10}) {
			t.Errorf("counted %+v", got)
		}
		if got := l.host.Foreign(); got != (host.Foreign{}) {
			t.Errorf("counted again %+v", got)
		}

		for name, f := range map[string][]byte{
			"ours over IPv4":          of4(1),
			"ours over IPv6":          of6(1),
			"wrong TTL":               with(of4(9), func(f []byte) { f[22] = 254 }),
			"wrong hop limit":         with(of6(9), func(f []byte) { f[21] = 254 }),
			"wrong checksum":          with(of4(9), func(f []byte) { f[ip4+20] ^= 1 }),
			"wrong checksum over six": with(of6(9), func(f []byte) { f[ip6+35] ^= 0x80 }),
			"another version":         with(of4(9), func(f []byte) { f[ip4] = 0x31 }),
			"VRRP":                    with(of4(9), func(f []byte) { f[ip4+3] = 1 }),
			"too short":               with(of4(9)[:ip4+20], func(f []byte) { f[17] = wire.IPv4Header + 20 }),
			"too short over six":      with(of6(9)[:ip6+20], func(f []byte) { f[19] = 20 }),
			"bytes behind":            with(append(of4(9), 0, 0), func(f []byte) { f[17] = wire.IPv4Header + wire.Size + 2 }),
		} {
			l.inject(f)
			want := byte(9)
			if name[:4] == "ours" {
				want = 1
			}
			if n, _ := l.hears(want); n != 1 {
				t.Errorf("%s: %d reach us", name, n)
			}
		}
		if got := l.host.Foreign(); got != (host.Foreign{}) {
			t.Errorf("counted %+v of what reached us", got)
		}

		// Whose vhid it is changes with the carps.
		second := l.carp(2, false, "192.168.1.11/24")
		second.VHIDs = []uint8{9}
		l.ensure(second)
		l.inject(of4(9))
		if n, _ := l.hears(9); n != 1 {
			t.Errorf("an advert of ours since a moment: %d reach us", n)
		}
		if err := l.host.Remove(second.Name); err != nil {
			t.Fatal(err)
		}
		l.inject(of4(9))
		if n, _ := l.hears(9); n != 0 || l.host.Foreign().IPv4 != 1 {
			t.Errorf("one that was ours: %d reach us", n)
		}
	})
}

// What a foreign advert costs: in the kernel alone.
func TestForeignWakesNobody(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ensure(l.carp(1, false, "192.168.1.10/24"))
		f := advert4(9, multicastMAC(wire.GroupIPv4), config.VirtualMAC(9), "192.168.1.2", "224.0.0.18")
		const many = 2000
		for range many {
			l.inject(f)
		}
		time.Sleep(50 * time.Millisecond)
		if got := l.host.Foreign().IPv4; got != many {
			t.Errorf("%d of %d counted", got, many)
		}
		if n, _ := l.hears(9); n != 0 {
			t.Errorf("%d reach us", n)
		}
	})
}
