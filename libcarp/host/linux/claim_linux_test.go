package linux

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// A claim leaves from the carpdev's own MAC, and comes in by the filter with eBPF and by that without; what looks like one does not.
func TestClaims(t *testing.T) {
	inNetwork(t, func(l *lab) {
		l.ensure(l.carp(1, true, "192.168.1.10/24"))
		if err := l.host.Claim(l.eth0, 1, netip.MustParseAddr("192.168.1.10")); err != nil {
			t.Fatal(err)
		}
		frame := claim(l.mac, 1, netip.MustParseAddr("192.168.1.10"))
		l.sees("a claim", func(f []byte) bool { return slices.Equal(f[:len(frame)], frame) })
		good := claim(theirs, 1, netip.Addr{})
		change := func(at int, b byte) []byte { f := slices.Clone(good); f[at] = b; return f }
		p := l.host.ports[l.eth0]
		if p.stranger == nil {
			t.Fatal("no filter with eBPF")
		}
		for _, ebpf := range []bool{true, false} {
			for what, c := range map[string]struct {
				frame []byte
				want  bool
			}{
				"a claim":                       {good, true},
				"of an address":                 {claim(theirs, 1, netip.MustParseAddr("192.168.1.10")), true},
				"padded":                        {append(slices.Clone(good), make([]byte, 18)...), true},
				"cut":                           {good[:ethernetHeader+arpTargetMAC+4], false},
				"an answer":                     {change(ethernetHeader+arpOp+1, 2), false},
				"with a sender":                 {change(ethernetHeader+arpSenderIP+3, 1), false},
				"a probe of anybody's":          {change(ethernetHeader+arpTargetMAC+2, 0), false},
				"the MAC of a VRRP6 router":     {change(ethernetHeader+arpTargetMAC+4, 2), false},
				"of VLAN 10":                    {tagged(10, good), false},
				"of VLAN 0":                     {tagged(0, good), true},
				"no vhid":                       {change(ethernetHeader+arpTargetMAC+5, 0), false},
				"who-has of another's, answers": {arp(1, broadcast, theirs, "192.168.1.2", "192.168.1.10"), false},
			} {
				l.inject(c.frame)
				l.inject(advert4(1, l.mac, theirs, "192.168.1.2", "192.168.1.1")) // behind it
				var got host.Packet
				for first := true; ; first = false {
					next := <-l.host.Packets()
					if next.Claim.VHID == 0 {
						if first == c.want {
							t.Errorf("eBPF %t, %s: delivered %t", ebpf, what, !first)
						}
						break
					}
					got = next
				}
				if c.want && (got.Carpdev != l.eth0 || got.Claim != host.Claim{VHID: 1, From: config.MAC(theirs)}) {
					t.Errorf("eBPF %t, %s: %+v", ebpf, what, got)
				}
			}
			if ebpf { // as on a kernel without it
				program, err := bpf.Assemble(filter(isAdvert))
				if err != nil {
					t.Fatal(err)
				}
				if err := p.conn.SetBPF(program); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
