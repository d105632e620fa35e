package ifconfig

import (
	"net/netip"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
)

// What the kernels of tests do not have prints as ifconfig.c would print it.
func TestPrintOrdinary(t *testing.T) {
	addr := func(s string) ordinary.Addr {
		return ordinary.Addr{Prefix: netip.MustParsePrefix(s), Preferred: ordinary.Infinite, Valid: ordinary.Infinite}
	}
	dest := addr("10.0.0.1/32")
	dest.Dest = netip.MustParseAddr("10.0.0.2")
	short := addr("2001:db8::1/64")
	short.Marks, short.Preferred, short.Valid = []string{"autoconf", "temporary"}, 0, 86400
	local := addr("fe80::1/64")
	local.Marks = []string{"tentative"}
	for _, c := range []struct {
		i    ordinary.Interface
		want string
	}{
		{
			ordinary.Interface{
				Name: "vlan7", Index: 12, Flags: ordinary.Up | ordinary.Broadcast | ordinary.Running | ordinary.Simplex | ordinary.Multicast, MTU: 1496,
				Ethernet: true, Lladdr: config.MAC{2, 0, 0, 0, 0, 7}, Class: "vlan", Parent: "em0", VNetID: 7, Carrier: ordinary.Active,
				Addrs: []ordinary.Addr{local, short},
			},
			"vlan7: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1496\n\tlladdr 02:00:00:00:00:07\n\tindex 12 priority 0 llprio 3\n" +
				"\tencap: vnetid 7 parent em0 txprio packet rxprio outer\n\tgroups: vlan\n\tstatus: active\n" +
				"\tinet6 fe80::1%vlan7 prefixlen 64 tentative scopeid 0xc\n\tinet6 2001:db8::1 prefixlen 64 autoconf temporary pltime 0 vltime 86400\n",
		},
		{
			ordinary.Interface{
				Name: "tun0", Index: 5, Flags: ordinary.Up | ordinary.PointToPt | ordinary.Running | ordinary.NoARP | ordinary.Multicast | ordinary.Promisc,
				Class: "tun", Addrs: []ordinary.Addr{dest, addr("10.0.0.5/32"), addr("2001:db8::5/128")},
			},
			"tun0: flags=81d1<UP,POINTOPOINT,RUNNING,NOARP,PROMISC,MULTICAST>\n\tindex 5 priority 0 llprio 3\n\tgroups: tun\n" +
				"\tinet 10.0.0.1 --> 10.0.0.2 netmask 0xffffffff\n\tinet 10.0.0.5 --> 0.0.0.0 netmask 0xffffffff\n\tinet6 2001:db8::5 --> :: prefixlen 128\n",
		},
		{
			ordinary.Interface{Name: "wide0", Class: "vlan", Flags: ordinary.Broadcast, Addrs: []ordinary.Addr{addr("10.0.0.5/0")}},
			"wide0: flags=2<BROADCAST>\n\tindex 0 priority 0 llprio 3\n\tencap: vnetid 0 parent none txprio packet rxprio outer\n\tgroups: vlan\n" +
				"\tinet 10.0.0.5 netmask 0x0\n",
		},
	} {
		var b strings.Builder
		if printOrdinary(&b, &c.i, "", false); b.String() != c.want {
			t.Errorf("%s prints\n%snot\n%s", c.i.Name, b.String(), c.want)
		}
	}
}

// What only net-tools know, and nothing about a carp, is theirs.
func TestIsTheirs(t *testing.T) {
	for line, want := range map[string]bool{
		"": false, "-a": false, "-A": false, "-s": true, "-v": true, "-a -s": true, "-a -v eth0": true, "-v -a": true, "-a -x": false, "-a -s carp0": false, "-as": true, "-v eth0": true, "-v carp0": false, "-v carp": false, "-x": false,
		"eth0:1": true, "eth0:1 down": true, "eth0 hw ether 2:3:4:5:6:7": true, "eth0 -promisc": true, "carp0 promisc": false, "carp0:1": false, "carp0:1 down": false, "carp promisc": false,
		"bridge0 add eth0": false, "eth0 add 2001:db8::1/64": true, "eth0 inet6 del 2001:db8::1": true, "eth0 add": false, "eth0 add 10.0.0.1": true, "eth0 del 10.0.0.1/24": true, "bridge0 del eth0": false, "carp0 add 10.0.0.1": false,
		"eth0 mtu 1500": false, "hw": false, "-n": false, "--help": false,
	} {
		if got := isTheirs(strings.Fields(line)); got != want {
			t.Errorf("%q: %t", line, got)
		}
	}
}
