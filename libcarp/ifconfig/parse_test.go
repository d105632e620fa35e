package ifconfig

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// hosts is a name server with few names.
func hosts(network, host string) (netip.Addr, error) {
	switch host {
	case "vip.example.org":
		if network == "ip6" {
			return netip.MustParseAddr("2001:db8::7"), nil
		}
		return netip.MustParseAddr("10.0.0.7"), nil
	case "mapped.example.org":
		return netip.MustParseAddr("::ffff:10.0.0.8"), nil
	case "six.example.org":
		return netip.MustParseAddr("2001:db8::1"), nil
	case "busy.example.org":
		return netip.Addr{}, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	}
	return netip.Addr{}, errors.New("no such host")
}

// A nameServer has names, and three interfaces.
type nameServer func(network, host string) (netip.Addr, error)

func (s nameServer) Host(network, host string) (netip.Addr, error) { return s(network, host) }

func (nameServer) Index(name string) int { return map[string]int{"em0": 1, "em1": 2, "carp0": 7}[name] }

// parse parses a line; carp0 is what it is on the fake, on em0 with vhid 1.
func parse(line string) Command {
	s := status("carp0", "carp")
	s.Carpdev, s.Lladdr, s.Nodes[0].VHID = "em0", config.VirtualMAC(1), 1
	return Parse(strings.Fields(line), nameServer(hosts), &fake{all: []statedir.Status{s}}, nil)
}

// What words come to, in config's words.
func TestParseSteps(t *testing.T) {
	for _, c := range []struct{ line, steps string }{
		{"carp0 vhid 1 10.0.0.1/24", "need; vhid 1; drop-first inet; alias 10.0.0.1/24"},
		{"carp0 create vhid 1", "create; vhid 1"},
		{"carp0 destroy", "destroy"},
		{"carp0 up destroy", "need; up; destroy"},
		{"carp up", "up"}, // does not end in a digit
		{"-a up", "up"},
		{"carp0 alias", "need"},
		{"carp0 10.0.0.1 alias", "need; alias 10.0.0.1/8"},
		{"carp0 alias 10.0.0.1", "need; alias 10.0.0.1/8"},
		{"carp0 delete", "need; delete-first inet"},
		{"carp0 inet6 delete", "need; delete-first inet6"},
		{"carp0 inet6 2001:db8::1", "need; alias 2001:db8::1/64"},
		{"carp0 inet6 2001:db8::1 alias", "need; alias 2001:db8::1/64"},
		{"carp0 inet6 alias 2001:db8::1/0", "need; alias 2001:db8::1/128"},
		{"carp0 inet6 2001:db8::1/48 prefixlen 56", "need; alias 2001:db8::1/56"},
		{"carp0 inet6 prefixlen 56 2001:db8::1/48", "need; alias 2001:db8::1/48"},
		{"carp0 inet6 2001:db8::1 prefixlen 0", "need; alias 2001:db8::1/128"},
		{"carp0 inet6 2001:db8::1 netmask ffff:ffff:ff80::", "need; alias 2001:db8::1/41"},
		{"carp0 inet6 2001:db8::1 netmask :: prefixlen 7", "need; alias 2001:db8::1/7"},
		{"carp0 inet6 delete 2001:db8::1", "need; -alias 2001:db8::1/128"},
		{"carp0 inet6 2001:db8::1/48 delete", "need; -alias 2001:db8::1/128"},
		{"carp0 inet6 vip.example.org/56", "need; alias 2001:db8::7/56"},
		{"carp0 inet6 fe80::5%carp0", "need; alias fe80::5/64"},
		{"carp0 inet6 fe80::5%em0", "need; alias fe80::5/64"},
		{"carp0 inet6 fe80::5%em1 carpdev em1", "need; carpdev em1; alias fe80::5/64"},
		{"carp0 inet6 fe80::5%7/10", "need; alias fe80::5/10"},
		{"carp0 inet6 fe80::5%1", "need; alias fe80::5/64"},
		{"carp0 inet6 fe80::5%0", "need; alias fe80::5/64"},
		{"carp0 inet6 2001:db8::1%3", "need; alias 2001:db8::1/64"},
		{"carp0 inet6 2001:db8:1:2:: eui64", "need; alias 2001:db8:1:2:200:5eff:fe00:101/64"},
		{"carp0 inet6 vhid 255 2001:db8:1:2::/64 eui64", "need; vhid 255; alias 2001:db8:1:2:200:5eff:fe00:1ff/64"},
		{"carp0 inet6 lladdr 2:3:4:5:6:7 2001:db8:1:2:: eui64", "need; lladdr 02:03:04:05:06:07; alias 2001:db8:1:2:3:4ff:fe05:607/64"},
		{"carp0 inet6 eui64 2001:db8::1", "need; alias 2001:db8::1/64"},
		{"carp0 inet6 anycast -anycast 2001:db8::1", "need; alias 2001:db8::1/64"},
		{"carp0 anycast tentative 10.0.0.1/24", "need; drop-first inet; alias 10.0.0.1/24"},
		{"carp0 inet6 pltime 5 up", "need; up"},
		{"carp0 -autoconf -temporary", ""},
		{"carp0 inet6 -autoconf -temporary", "need"},
		{"carp0 inet6 -inet6", "need; drop-all inet6"},
		{"carp0 carppeer 10.0.0.3 -carppeer", "need; carppeer 10.0.0.3; -carppeer"},
		{"carp0 carppeer vip.example.org", "need; carppeer 10.0.0.7"},
		{"carp0 carppeer6 2001:db8::3 -carppeer6", "need; carppeer6 2001:db8::3; -carppeer6"},
		{"carp0 carppeer6 fe80::3%em0", "need; carppeer6 fe80::3"},
		{"carp0 carppeer6 vip.example.org", "need; carppeer6 2001:db8::7"},
		{"carp0 lladdr 2:0:0:0:0:1", "need; lladdr 02:00:00:00:00:01"},
		{"carp0 group front -group back", "need; group front; -group back"},
		{"carp0 delete 10.0.0.1", "need; -alias 10.0.0.1/32"},
		{"carp0 10.0.0.1/24 delete", "need; -alias 10.0.0.1/32"},
		{"carp0 delete 10.0.0.1 alias", "need"},                        // the addition was taken back
		{"carp0 10.0.0.1 alias delete", "need; delete-first inet"},     // the address is not the victim any more
		{"carp0 delete alias 10.0.0.1", "need; alias 10.0.0.1/8"},      // the last word counts
		{"carp0 alias delete 10.0.0.1", "need; -alias 10.0.0.1/32"},    // the last word counts
		{"carp0 10.0.0.1 10.0.0.2 delete", "need; -alias 10.0.0.1/32"}, // the second address is nothing
		{"carp0 -inet 10.0.0.1", "need; drop-all inet; drop-first inet; alias 10.0.0.1/8"},
		{"carp0 vip.example.org/24", ""},
		{"carp0 vip.example.org", "need; drop-first inet; alias 10.0.0.7/8"},
		{"carp0 mapped.example.org", "need; drop-first inet; alias 10.0.0.8/8"},
		{"carp0 delete vip.example.org", "need; -alias 10.0.0.7/32"},
		{"carp0 carpdev averyverylongname0", "need; carpdev averyverylongna"},
		{"carp0 descr x -descr", `need; description "x"; -description`},
		{"-g carp carpdemote", "carpdemote 1"},
		{"-g carp inet -carpdemote 7 x", "-carpdemote 7"},
	} {
		cmd := parse(c.line)
		var steps []string
		for _, s := range cmd.Steps {
			steps = append(steps, s.String())
		}
		if got := strings.Join(steps, "; "); cmd.Err == nil && got != c.steps || (cmd.Err != nil) != (c.steps == "") {
			t.Errorf("%s: %s, %v; want %s", c.line, got, cmd.Err, c.steps)
		}
	}
}

// Before a word without a meaning the steps stand, but not those for addresses.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ line, steps, err string }{
		{"carp0 10.0.0.1 vhid 1 bogus bogus2", "need; vhid 1", "bogus: bad value"},
		{"carp0 six.example.org", "need", "six.example.org: bad value"},
		{"carp0 netmask vip.example.org", "need", "vip.example.org: non-contiguous mask"},
		{"carp0 advskew 7 inet6", "need; advskew 7", "inet6: bad value"},
		{"carp0 inet6 prefixlen 129", "need", "prefix 129: too large"},
		{"carp0 inet6 10.0.0.1", "need", "10.0.0.1: no address associated with name"},
		{"carp0 inet6 mapped.example.org", "need", "mapped.example.org: no address associated with name"},
		{"carp0 inet6 busy.example.org", "need", "busy.example.org: temporary failure in name resolution"},
		{"carp0 inet6 2001:db8::zz/64", "need", "2001:db8::zz: non-recoverable failure in name resolution"},
		{"carp0 inet6 delete 2001:db8::1/64", "need", "2001:db8::1/64: non-recoverable failure in name resolution"},
		{"carp0 inet6 -x", "need", "-x: non-recoverable failure in name resolution"},
		{"carp0 inet6 vhid 1 inet6", "need; vhid 1", "inet6: no address associated with name"},
		{"carp0 inet6 rdomain 1", "need", "rdomain: bad value"},
		{"carp0 inet6 2001:db8::1/64/3", "need", "prefix 64/3: invalid"},
		{"carp0 inet6 2001:db8::1/x", "need", "prefix x: invalid"},
		{"carp0 inet6 2001:db8::1/-1", "need", "prefix -1: too small"},
		{"carp0 inet6 2001:db8::1 netmask ffff:0:ffff::", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 netmask ::", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 2001:db8::2", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 broadcast 2001:db8::2 up", "need; up", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 anycast", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 tentative 2001:db8::1", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 pltime 100", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 vltime 0", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1 pltime 1000001", "need", "invalid pltime 1000001: too large"},
		{"carp0 vltime x", "need", "invalid vltime x: invalid"},
		{"carp0 pltime 5", "need", "pltime not allowed for this address family"},
		{"carp0 vltime 5", "need", "vltime not allowed for this address family"},
		{"carp0 10.0.0.1 eui64", "need", "eui64 not allowed for this address family"},
		{"carp0 inet temporary", "need", "temporary not allowed for this address family"},
		{"carp0 inet6 2001:db8::1 eui64", "need", "interface index is already filled"},
		{"carp9 inet6 2001:db8:: eui64", "need", "could not determine link local address"},
		{"carp0 inet6 fe80::5%em9", "need", "fe80::5%em9: non-recoverable failure in name resolution"},
		{"carp0 inet6 fe80::5%", "need", "fe80::5%: non-recoverable failure in name resolution"},
		{"carp0 inet6 fe80::5%em1", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 fe80::5%2", "need", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 fe80::5%em0 carpdev em1", "need; carpdev em1", "SIOCAIFADDR: Invalid argument"},
		{"carp0 inet6 delete fe80::5%em1", "need", "SIOCDIFADDR: Invalid argument"},
		{"carp0 inet6 2001:db8::1%em0", "need", "2001:db8::1%em0: non-recoverable failure in name resolution"},
		{"carp0 carppeer 10.0.0.1.1", "need", "error in parsing address string: no address associated with name"},
		{"carp0 carppeer six.example.org", "need", "error in parsing address string: no address associated with name"},
		{"carp0 carppeer busy.example.org", "need", "error in parsing address string: temporary failure in name resolution"},
		{"carp0 carppeer 10.0.0.1/24", "need", "error in parsing address string: non-recoverable failure in name resolution"},
		{"carp0 carppeer 2001:db8::1", "need", "only IPv4 addresses supported for the carppeer"},
		{"carp0 carppeer fe80::1%em0", "need", "only IPv4 addresses supported for the carppeer"},
		{"carp0 carppeer6 10.0.0.1", "need", "only IPv6 addresses supported for the carppeer6"},
		{"carp0 carppeer6 fe80::1%em1", "need", "carp0: SIOCSVH: Invalid argument"},
		{"carp0 carppeer6 fe80::1%em9", "need", "error in parsing address string: non-recoverable failure in name resolution"},
		{"carp0 group a/b", "need", "a/b: SIOCAIFGROUP: Invalid argument"},
		{"carp0 -group a/b", "need", "carp0: SIOCDIFGROUP: No such file or directory"},
		{"carp0 carpdev em0:1/2", `need; state ""`, "carp0: SIOCSVH: Invalid argument"},
	} {
		cmd := parse(c.line)
		var steps []string
		for _, s := range cmd.Steps {
			steps = append(steps, s.String())
		}
		if got := strings.Join(steps, "; "); got != c.steps || cmd.Err == nil || cmd.Err.Error() != c.err {
			t.Errorf("%s: %s, %v; want %s, %s", c.line, got, cmd.Err, c.steps, c.err)
		}
	}
}

// A name server is asked for host names alone, not for keywords and addresses gone wrong.
func TestWhatIsLookedUp(t *testing.T) {
	for word, want := range map[string]bool{
		"vip": true, "vip.example.org": true, "vip.example.org.": true, "a_b": true, "3com.example.org": true,
		"": false, "inet": false, "-x": false, "a..b": false, "create": false, "rdomain": false, "llprio": false, "-carpdev": false, "256.1.1.1": false, "10.0.0.0x1ff": false,
		"www.invalid": false, "WWW.INVALID.": false, "10.0.0.1/24": false, "a b": false, "a\nb": false, "2001:db8::1": false, "é": false,
	} {
		asked := false
		Parse([]string{"carp0", word}, nameServer(func(string, string) (netip.Addr, error) {
			asked = true
			return netip.Addr{}, errors.New("no such host")
		}), &fake{}, nil)
		if asked != want {
			t.Errorf("%q: asked %t", word, asked)
		}
	}
}

// Whatever the words are, Parse does not panic, and each step can be sent: it is one line that is read back the same.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"", "-", "-aM", "-g carp carpdemote 1", "carp0 inet create vhid 1 10.0.0.1/24 alias", "carp0 inet6 up 1::", "carp0 carpdev \"em0\"",
		"carp0 inet6 fe80::1%em0/64 alias", "carp0 inet6 2001:db8::/3 eui64 netmask ffff:: carppeer6 fe80::2%7", "carp0 lladdr random group a -group b",
		"carp0 carppeer 10.0.0.3 inet6", "carp0 descr a\nup", "carp0 pass x\ny", "carp0 carpdev em0\rup", "carp0 delete 10.1 netmask 0xff000000 prefixlen 3",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cmd := Parse(strings.Split(line, " "), nameServer(hosts), &fake{}, nil)
		for _, s := range cmd.Steps {
			text := s.String()
			back, err := config.ParseLine(text)
			if err != nil || back != s || strings.Contains(text, "\n") {
				t.Errorf("%q: step %q is read back as %q, %v", line, text, back.String(), err)
			}
		}
	})
}

// A description is cut where it is too long anyway, so that it is refused for that and the rest of the line is done.
func TestParseLongText(t *testing.T) {
	cmd := Parse([]string{"carp0", "description", strings.Repeat("x", 1e5), "up"}, nameServer(hosts), &fake{}, nil)
	if cmd.Err != nil || len(cmd.Steps) != 3 || len(cmd.Steps[1].Text) <= config.DescriptionMax || len(cmd.Steps[1].Text) > 1024 {
		t.Errorf("%v, %d steps", cmd.Err, len(cmd.Steps))
	}
}
