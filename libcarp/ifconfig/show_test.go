package ifconfig

import (
	"net/netip"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

func status(name string, groups ...string) statedir.Status {
	return statedir.Status{Name: name, Groups: groups, Nodes: []statedir.NodeStatus{{State: "INIT"}}}
}

func TestMembers(t *testing.T) {
	var all []shown
	for _, s := range []statedir.Status{status("carp1", "carp", "front"), status("carp0", "carp"), status("em0", "egress"), status("em10"), status("emx1")} {
		all = append(all, shownCarp(s))
	}
	for name, want := range map[string]string{
		"carp": "carp1 carp0", "front": "carp1", "all": "carp1 carp0 em0 em10 emx1", "em": "em0 em10", "egress": "em0", "e": "-", "": "-", "nope": "-",
	} {
		found, ok := members(all, name)
		var names []string
		for _, s := range found {
			names = append(names, s.name)
		}
		got := strings.Join(names, " ")
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%q: %s, not %s", name, got, want)
		}
	}
	for _, name := range []string{"carp", "all"} {
		if found, ok := members(nil, name); !ok || len(found) != 0 {
			t.Errorf("%s without a member: %v, %t", name, found, ok)
		}
	}
}

// IPv6 addresses, as B.3 example 3 shows them, stand where they came.
func TestPrintInet6(t *testing.T) {
	s := statedir.Status{
		Name: "carp0", Index: 7, MTU: 1500, Up: true, Running: true, Lladdr: config.VirtualMAC(1), Carpdev: "em0", Advbase: 1,
		Nodes: []statedir.NodeStatus{{State: "BACKUP", VHID: 1, Advskew: 100}}, Groups: []string{"carp", "egress-vip"},
		Addrs: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fe80::200:5eff:fe00:101/64"),
			netip.MustParsePrefix("10.0.0.5/31"), netip.MustParsePrefix("2001:db8::1/64"),
		},
	}
	const head = `carp0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500
	lladdr 00:00:5e:00:01:01
	index 7 priority 15 llprio 3
	carp: BACKUP carpdev em0 vhid 1 advbase 1 advskew 100
	groups: carp egress-vip
	status: backup
`
	const (
		first  = "\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255\n"
		local  = "\tinet6 fe80::200:5eff:fe00:101%carp0 prefixlen 64 scopeid 0x7\n"
		second = "\tinet 10.0.0.5 netmask 0xfffffffe\n"
		global = "\tinet6 2001:db8::1 prefixlen 64\n"
	)
	for line, want := range map[string]string{
		"carp0":       head + first + local + second + global,
		"carp0 inet":  head + first + second,
		"carp0 inet6": head + local + global,
		"-a":          head + first + local + global,
		"-a inet":     head + first,
		"-A":          head + first + local + second + global,
		"egress-vip":  head + first + local + second + global,
	} {
		f := &fake{all: []statedir.Status{s}}
		if stdout, stderr, exit := f.run(line); stdout != want || stderr != "" || exit != 0 {
			t.Errorf("%s prints\n%s%s, exit %d", line, stdout, stderr, exit)
		}
	}
}

// When nothing can be known, the error is told and nothing shown.
func TestDisplayFails(t *testing.T) {
	for _, line := range []string{"", "-A", "carp", "carp0", "-g carp", "-M 00:00:5e:00:01:01"} {
		f := &fake{err: &config.Error{Errno: config.EPERM, Msg: "kernelsim is elsewhere"}}
		f.all = []statedir.Status{status("carp0", "carp")}
		stdout, stderr, exit := f.run(line)
		if stdout != "" || stderr != "ifconfig: kernelsim is elsewhere: Operation not permitted\n" || exit != 1 {
			t.Errorf("%q: %q, %q, exit %d", line, stdout, stderr, exit)
		}
	}
}
