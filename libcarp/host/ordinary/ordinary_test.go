package ordinary

import (
	"slices"
	"testing"
)

func TestUnit(t *testing.T) {
	for name, want := range map[string]string{
		"bridge0": "bridge", "vlan100": "vlan", "pair10": "pair", "lo": "", "pair01": "", "7": "", "": "", "tap123456789": "", "averylongname123": "", "eth0.5": "eth0.",
	} {
		class, ok := Unit(name)
		if !ok {
			class = ""
		}
		if class != want {
			t.Errorf("%q: %q, want %q", name, class, want)
		}
	}
}

// The groups are the class's, egress, and what was joined; the end of a pair with another name is a network card to who looks.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		i    Interface
		want []string
	}{
		{Interface{Name: "eth0"}, nil},
		{Interface{Name: "eth0", Class: "pair", Egress: true, Joined: []string{"lan", "a"}}, []string{"egress", "lan", "a"}},
		{Interface{Name: "eth0", Egress: true, Joined: []string{"egress", "lan"}}, []string{"egress", "lan"}},
		{Interface{Name: "pair0", Class: "pair"}, []string{"pair"}},
		{Interface{Name: "br0", Class: "bridge", Egress: true}, []string{"bridge", "egress"}},
		{Interface{Name: "lo", Class: "lo"}, []string{"lo"}},
	} {
		if got := c.i.Groups(); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c.i, got)
		}
	}
}
