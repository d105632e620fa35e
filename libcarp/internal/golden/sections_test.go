package golden

import (
	"path/filepath"
	"strings"
	"testing"
)

// sections are those of the specification that speak of what the commands print, and every text of theirs that concerns carp and is not in
// man/deviations.
var sections = map[string]struct {
	dir      string
	literals []string
}{
	"A.1": {"ifconfig", []string{
		"usage: ifconfig [-AaC] [-M lladdr] [interface] [address_family]\n\t\t[address [dest_address]] [parameters]\n",
		"ifconfig: interface name '", "' too long\n", "ifconfig: inet: bad value\n", ": Device not configured\n", "ifconfig: carp0: SIOCIFAFATTACH: ",
		"ifconfig: 'vhid' requires argument\n",
	}},
	"A.2": {"ifconfig", []string{
		"ifconfig: prefix 33: too large\n", "ifconfig: prefix -1: too small\n", "ifconfig: prefix x: invalid\n", ": non-contiguous mask\n", ": bad value\n",
		"ifconfig: SIOCDIFADDR: Can't assign requested address\n", "ifconfig: SIOCAIFADDR: ", "netmask 0xff000000 ", "netmask 0xffff0000 ",
		"netmask 0xffffff00 ", "netmask 0xffffffff\n", " prefixlen 64\n", " prefixlen 128\n",
	}},
	"A.3": {"ifconfig", []string{
		"ifconfig: em0: SIOCGVH: Inappropriate ioctl for device\n", "ifconfig: carp0: SIOCSVH: Operation not permitted\n",
		"ifconfig: vhid 256: too large\n", "ifconfig: vhid 0: too small\n", "ifconfig: vhid x: invalid\n", "ifconfig: advskew 255: too large\n",
		"ifconfig: advbase 255: too large\n", "ifconfig: carp0: SIOCSVH: Invalid argument\n", "ifconfig: carp0: SIOCSVH: Can't assign requested address\n",
		"ifconfig: error in parsing address string: ", "ifconfig: only IPv4 addresses supported for the carppeer\n", "ifconfig: -carpdev: bad value\n",
	}},
	"A.4": {"ifconfig", []string{
		"ifconfig: carp0: SIOCSIFFLAGS: ", "ifconfig: SIOCSIFMTU: Inappropriate ioctl for device\n", "ifconfig: malformed link-level address\n",
		"ifconfig: SIOCSIFDESCR: File name too long\n", "ifconfig: setifgroup: group name empty\n", "ifconfig: setifgroup: group name too long\n",
		"ifconfig: setifgroup: group names may not end in a digit\n", "ifconfig: unsetifgroup: group name too long\n", "ifconfig: carp0: SIOCDIFGROUP: ",
		"ifconfig: carp0: SIOCIFCREATE: File exists\n", "SIOCIFCREATE: Invalid argument\n", "ifconfig: carp9: SIOCIFDESTROY: Device not configured\n",
		"SIOCIFDESTROY: Invalid argument\n",
	}},
	"A.5": {"ifconfig", []string{"ifconfig: SIOCAIFADDR: Can't assign requested address\n"}},
	"A.6": {"ifconfig", nil},
	"A.7": {"ifconfig", nil},
	"A.8": {"ifconfig", []string{": no such interface\n", "carp9: no such interface\n", "ifconfig: carp: SIOCGIFFLAGS: Device not configured\n"}},
	"A.9": {"ifconfig", []string{
		"carp: carp demote count 0\n", "ifconfig: nope: SIOCGIFGATTR: No such file or directory\n", "ifconfig: carp: invalid carp demotion: too large\n",
		"ifconfig: carp: SIOCSIFGATTR: Invalid argument\n",
	}},
	"B.1": {"ifconfig", []string{"\tdescription: "}},
	"B.2": {"ifconfig", []string{" advskew 0 carppeer 10.0.0.3\n"}},
	"B.3": {"ifconfig", []string{
		"carp0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n\tlladdr 00:00:00:00:00:00\n\tindex ", " priority 15 llprio 3\n\tgroups: carp\n\tstatus: invalid\n",
		"carp203: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n\tlladdr 00:00:5e:00:01:cb\n\tdescription: INT_203\n" +
			"\tindex 8 priority 15 llprio 3\n\tcarp: MASTER carpdev vio2 vhid 203 advbase 1 advskew 0\n\tgroups: carp\n\tstatus: master\n" +
			"\tinet 10.112.203.254 netmask 0xffffff00 broadcast 10.112.203.255\n",
		"\tcarp: BACKUP carpdev em0 vhid 1 advbase 1 advskew 100 carppeer 10.0.0.3\n\tgroups: carp egress-vip\n\tstatus: backup\n" +
			"\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255\n\tinet6 fe80::200:5eff:fe00:101%carp0 prefixlen 64 scopeid 0x7\n" +
			"\tinet6 2001:db8::1 prefixlen 64\n",
		"carp0: flags=8803<UP,BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n\tlladdr 00:00:5e:00:01:01\n\tindex 7 priority 15 llprio 3\n" +
			"\tcarp: INIT carpdev em0 vhid 1 advbase 1 advskew 100\n\tgroups: carp\n\tstatus: invalid\n\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255\n",
		"carp0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n\tlladdr 00:00:5e:00:01:01\n\tindex 7 priority 15 llprio 3\n" +
			"\tcarp: INIT carpdev em0 vhid 1 advbase 1 advskew 0\n",
		"\tcarp: INIT carpdev none vhid 1 advbase 1 advskew 0\n",
		"\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255\n\tinet 10.0.0.2 netmask 0xffffffff\n",
	}},
	"C.1": {"sysctl", []string{"net.inet.carp.allow=1\n", "net.inet.carp.preempt=0\n", "net.inet.carp.log=2\n"}},
	"C.2": {"sysctl", []string{
		"net.inet.carp.allow=1\nnet.inet.carp.preempt=0\nnet.inet.carp.log=2\n",
		"sysctl: use netstat to view net.inet.carp.stats information\n",
		"net.inet.carp.preempt: 0 -> 1\n", ": 1 -> 1\n",
		"sysctl: net.inet.carp.log: value is invalid: x\n", " is too large: ", " is too small: ",
		"sysctl: fourth level name foo in net.inet.carp.foo is invalid\n",
		"sysctl: top level name ", "sysctl: second level name ", "sysctl: third level name ",
		"sysctl: net.inet.carp.preempt: Operation not permitted\n",
		"usage: sysctl [-Aanq] [-f file] [name[=value] ...]\n",
	}},
	"D": {"netstat", []string{
		"carp:\n", "\t0 packets received (IPv4)\n", "\t1 packet received (IPv4)\n", "\t0 packets received (IPv6)\n",
		"\t\t0 packets discarded for bad interface\n", "\t\t0 packets discarded for wrong TTL\n", "\t\t0 packets shorter than header\n",
		"\t\t0 discarded for bad checksums\n", "\t\t0 discarded packets with a bad version\n", "\t\t0 discarded because packet too short\n",
		"\t\t0 discarded for bad authentication\n", "\t\t0 discarded for unknown vhid\n", "\t\t0 discarded because of a bad address list\n",
		"\t0 packets sent (IPv4)\n", "\t0 packets sent (IPv6)\n", "\t\t0 send failed due to mbuf memory error\n",
		"\t0 transitions to master\n", "\t1 transition to master\n",
		"netstat: X: unknown or uninstrumented protocol\n",
	}},
}

// Each section has cases, and each text of it is what one of them expects.
func TestSections(t *testing.T) {
	for section, s := range sections {
		paths, err := filepath.Glob("../../" + s.dir + "/testdata/" + section + `[.\-]*.golden`)
		if err != nil || len(paths) == 0 {
			t.Errorf("no case of section %s in %s: %v", section, s.dir, err)
		}
		var printed strings.Builder
		for _, path := range paths {
			c, err := ReadCase(path)
			if err != nil {
				t.Fatal(err)
			}
			printed.WriteString(c.Stdout + "\n" + c.Stderr + "\n")
		}
		for _, text := range s.literals {
			if !strings.Contains(printed.String(), text) {
				t.Errorf("no case of section %s prints %q", section, text)
			}
		}
	}
}
