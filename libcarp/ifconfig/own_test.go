package ifconfig

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/statedir"
)

func verbose() statedir.Status {
	return statedir.Status{
		Name: "carp0", Nodes: []statedir.NodeStatus{{State: "BACKUP", VHID: 1, Advskew: 100}}, Advbase: 1, MTU: 1500, Up: true, Running: true, Index: 7,
		Carpdev: "eth0", Groups: []string{"carp"}, Lladdr: [6]byte{0, 0, 0x5e, 0, 1, 1}, Description: "a \"front\"",
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.1.10/24"), netip.MustParsePrefix("2001:db8::10/64")},
		Heard: []statedir.Heard{
			{Addr: netip.MustParseAddr("192.168.1.2"), Advbase: 1, Advskew: 20, Demote: 3}, {Addr: netip.MustParseAddr("fe80::2"), Advbase: 1},
		},
		Since: time.Date(2026, 1, 31, 12, 0, 0, 123e6, time.UTC), Reason: "faster master",
	}
}

func TestPrintVerbose(t *testing.T) {
	var b strings.Builder
	printVerbose(&b, verbose())
	const want = "\tpeer: 192.168.1.2 advbase 1 advskew 20 demote 3\n\tpeer: fe80::2 advbase 1 advskew 0 demote 0\n" +
		"\tsince: 2026-01-31T12:00:00.123Z\n\treason: faster master\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if printVerbose(&b, statedir.Status{}); b.String() != "" {
		t.Errorf("%s", b.String())
	}
}

// An ordinary interface has the members of its display.
func TestOrdinaryJSON(t *testing.T) {
	var b strings.Builder
	p := &program{stdout: &b}
	i := ordinary.Interface{
		Name: "vlan7", Index: 3, Flags: ordinary.Up | ordinary.Broadcast, MTU: 1496, Ethernet: true, Lladdr: config.VirtualMAC(9), Class: "vlan",
		Parent: "eth0", VNetID: 7, Carrier: ordinary.Down, Media: "autoselect (1000baseT full-duplex)", Addrs: []ordinary.Addr{
			{Prefix: netip.MustParsePrefix("10.0.0.1/24"), Broadcast: netip.MustParseAddr("10.0.0.255")},
			{Prefix: netip.MustParsePrefix("fe80::1/64"), Marks: []string{"tentative"}},
		},
	}
	if err := p.printJSON(ordinaryJSON(&i)); err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"vlan7","flags":["UP","BROADCAST"],"mtu":1496,"lladdr":"00:00:5e:00:01:09","index":3,"priority":0,"llprio":3,` +
		`"parent":"eth0","vnetid":7,"groups":["vlan"],"media":"autoselect (1000baseT full-duplex)","status":"no carrier",` +
		`"inet":[{"address":"10.0.0.1","prefixlen":24,"broadcast":"10.0.0.255"}],` +
		`"inet6":[{"address":"fe80::1","prefixlen":64,"marks":["tentative"]}]}` + "\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}
