package ifconfig

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"carp/libcarp/config"
)

// hosts is a name server with few names.
func hosts(host string) (netip.Addr, error) {
	switch host {
	case "vip.example.org":
		return netip.MustParseAddr("10.0.0.7"), nil
	case "mapped.example.org":
		return netip.MustParseAddr("::ffff:10.0.0.8"), nil
	case "six.example.org":
		return netip.MustParseAddr("2001:db8::1"), nil
	}
	return netip.Addr{}, errors.New("no such host")
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
		cmd := Parse(strings.Fields(c.line), hosts)
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
		{"carp0 inet6 vhid 1 2001:db8::1", "need; vhid 1", noInet6("carp0").Error()},
		{"carp0 inet6 netmask ffff::", "need", noInet6("carp0").Error()},
		{"carp0 inet6 broadcast x", "need", noInet6("carp0").Error()},
		{"carp0 inet6 prefixlen 129", "need", "prefix 129: too large"},
		{"carp0 carpdev em0:1/2", `need; state ""`, "carp0: SIOCSVH: Invalid argument"},
	} {
		cmd := Parse(strings.Fields(c.line), hosts)
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
		"": false, "inet": false, "create": false, "mtu": false, "-carpdev": false, "256.1.1.1": false, "10.0.0.0x1ff": false,
		"www.invalid": false, "WWW.INVALID.": false, "10.0.0.1/24": false, "a b": false, "a\nb": false, "2001:db8::1": false, "é": false,
	} {
		asked := false
		Parse([]string{"carp0", word}, func(string) (netip.Addr, error) {
			asked = true
			return netip.Addr{}, errors.New("no such host")
		})
		if asked != want {
			t.Errorf("%q: asked %t", word, asked)
		}
	}
}

// Whatever the words are, Parse does not panic, and each step can be sent: it is one line that is read back the same.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, line string) {
		cmd := Parse(strings.Split(line, " "), hosts)
		for _, s := range cmd.Steps {
			text := s.String()
			back, err := config.ParseLine(text)
			if err != nil || back != s || strings.Contains(text, "\n") {
				t.Errorf("%q: step %q is read back as %q, %v", line, text, back.String(), err)
			}
		}
	})
}
