package golden

import (
	"path/filepath"
	"strings"
	"testing"
)

// sections are those of the specification that speak of what sysctl and netstat print, and every text of theirs that concerns carp.
var sections = map[string]struct {
	dir      string
	literals []string
}{
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
		paths, err := filepath.Glob("../../" + s.dir + "/testdata/" + section + "-*.golden")
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
