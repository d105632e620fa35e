package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// An env with one usable interface em0, 192.168.1.1/24, and some that are of no use.
type env struct{ active map[string]bool }

// own are the addresses of the carpdevs themselves.
var own = map[string][]netip.Prefix{
	"em0": {netip.MustParsePrefix("192.168.1.2/24"), netip.MustParsePrefix("fe80::2/64")},
	"em1": {netip.MustParsePrefix("192.168.1.3/24")},
}

func (env) Link(name string) (Link, bool) {
	switch name {
	case "em0", "em1":
		return Link{Name: name, Ethernet: true, Multicast: true, Addrs: own[name]}, true
	case "lo":
		return Link{Name: name, Multicast: true}, true
	case "ppp0":
		return Link{Name: name, Ethernet: true}, true
	}
	return Link{}, false
}

func (env) Parent(a netip.Addr) (string, bool) {
	return "em0", netip.MustParsePrefix("192.168.1.0/24").Contains(a)
}
func (e env) Active(name string) bool { return e.active[name] }
func (env) Demotion(string) int       { return 1 }

func lines(t *testing.T, s string) (cs []Clause) {
	t.Helper()
	for _, l := range strings.Split(s, ";") {
		c, err := ParseLine(strings.TrimSpace(l))
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	return cs
}

// change merges "carp0: create; vhid 1" and commits it.
func change(t *testing.T, m *Machine, e Env, s string) error {
	t.Helper()
	name, words, _ := strings.Cut(s, ":")
	ch := Change{Kind: ForInterface, Name: name, Clauses: lines(t, words)}
	p, err := m.Plan(ch, e)
	if err == nil {
		m.Commit(p)
	}
	return err
}

func TestPlanInterface(t *testing.T) {
	for _, c := range []struct {
		change string
		errno  Errno
		clause int
	}{
		{"carp1: create", OK, 0},
		{"carp0: create", EEXIST, 0},
		{"carp0: need", OK, 0},
		{"carp: create", EINVAL, 0},
		{"carp00: create", EINVAL, 0},
		{"carp-1: create", EINVAL, 0},
		{"carp99999999999999999999: create", EINVAL, 0},
		{"vether0: create", EINVAL, 0},
		{"em0: create", EEXIST, 0},
		{"vether0: need; vhid 1", ENXIO, 1},
		{"em0: need; vhid 1", ENOTTY, 1},
		{"em0: destroy", EINVAL, 0},
		{"carp9: destroy", ENXIO, 0},
		{"carp9: vhid 1", ENXIO, 0},
		{"carp0: destroy", OK, 0},
		{"carp0: up; carpdev nope", EINVAL, 1},
		{"carp0: carpdev lo", EINVAL, 0},
		{"carp0: carpdev ppp0", EADDRNOTAVAIL, 0},
		{"carp0: carpdev em1", OK, 0},
		{"carp5: create; carpdev em0; vhid 1", EINVAL, 2}, // carp0 has it
		{"carp5: create; vhid 1; carpdev em0", EINVAL, 2},
		{"carp5: create; vhid 1; alias 192.168.1.5/24", EINVAL, 2},
		{"carp5: create; vhid 1; carpdev em1", OK, 0},
		{"carp0: vhid 1", OK, 0}, // its own
		{"carp5: create; alias 172.16.0.1/24", EADDRNOTAVAIL, 1},
		{"carp0: alias 172.16.0.1/24", OK, 0}, // it has a carpdev
		{"carp0: alias 0.0.0.0/8", EINVAL, 0},
		{"carp0: alias 255.255.255.255/32", EINVAL, 0},
		{"carp0: alias 224.0.0.1/32", EINVAL, 0},
		{"carp0: alias 2001:db8::1/64", OK, 0},
		{"carp0: alias fe80::1/64", OK, 0},
		{"carp0: alias ::/64", EINVAL, 0},
		{"carp0: alias ::1/128", EINVAL, 0},
		{"carp0: alias ff02::1/64", EINVAL, 0},
		{"carp0: alias ::ffff:192.168.1.1/128", EINVAL, 0},
		{"carp0: alias 192.168.1.2/24", EEXIST, 0}, // em0's own
		{"carp0: alias fe80::2/64", EEXIST, 0},
		{"carp0: alias 192.168.1.3/24", OK, 0},
		{"carp0: alias 192.168.1.3/24; carpdev em1", EEXIST, 1},
		{"carp5: create; alias 192.168.1.2/24", EEXIST, 1},
		{"carp5: create; alias fe80::1/64", EADDRNOTAVAIL, 1}, // every interface has that subnet
		{"carp0: carppeer 192.168.1.2", OK, 0},
		{"carp0: carppeer 2001:db8::2", EINVAL, 0},
		{"carp0: carppeer ::ffff:192.168.1.2", EINVAL, 0},
		{"carp0: carppeer6 2001:db8::2; -carppeer6", OK, 0},
		{"carp0: carppeer6 192.168.1.2", EINVAL, 0},
		{"carp0: lladdr 01:00:5e:00:00:01", EINVAL, 0},
		{"carp0: lladdr 02:00:00:00:00:01", OK, 0},
		{"carp0: group lan; group lan; group all", OK, 0},
		{"carp0: group lan1", EINVAL, 0},
		{"carp0: -group lan", ENOENT, 0},
		{"carp0: -group carp", OK, 0},
		{"carp0: -alias 192.168.1.99/24", EADDRNOTAVAIL, 0},
		{"carp0: delete-first inet; delete-first inet", EADDRNOTAVAIL, 1},
		{"carp0: drop-first inet; drop-first inet", OK, 0},
		{"carp0: delete-first inet6", EADDRNOTAVAIL, 0},
		{"carp0: drop-all inet; delete-first inet", EADDRNOTAVAIL, 1},
		{"carp0: drop-all inet6; delete-first inet", OK, 0},
		{"carp9: drop-all inet", ENXIO, 0},
		{`carp0: description "` + strings.Repeat("x", 63) + `"`, OK, 0},
		{`carp0: description "` + strings.Repeat("x", 64) + `"`, ENAMETOOLONG, 0},
		{"carp0: carpdemote 1", EINVAL, 0},
		{"carp0: carpdev nope; await", OK, 0},
		{"carp0: carpdev carp1; await", EINVAL, 0},
		{"carp0: carpdev lo; await", EINVAL, 0}, // it is there, and will not do
		{"carp5: create; vhid 1; carpdev nope; await", OK, 0},
		{"carp5: create; alias 172.16.0.1/24; await", OK, 0},
		{"carp5: create; alias fe80::1/64; await", OK, 0},
		{"carp5: create; vhid 1; alias 192.168.1.5/24; await", EINVAL, 2},
		{"carp0: destroy; await", OK, 0},
		{"carp9: vhid 1; await", ENXIO, 0},
	} {
		m := NewMachine()
		if err := change(t, m, env{}, "carp0: create; carpdev em0; vhid 1; alias 192.168.1.10/24"); err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprint(m.Interfaces["carp0"])
		err := change(t, m, env{}, c.change)
		var e *Error
		switch {
		case c.errno == OK && err != nil:
			t.Errorf("%s: %v", c.change, err)
		case c.errno != OK && (!errors.As(err, &e) || e.Errno != c.errno || e.Clause != c.clause):
			t.Errorf("%s: %#v, want errno %d at %d", c.change, err, c.errno, c.clause)
		case c.errno != OK && (fmt.Sprint(m.Interfaces["carp0"]) != before || len(m.Interfaces) != 1):
			t.Errorf("%s was refused and yet changed something", c.change)
		}
	}
}

func TestMerging(t *testing.T) {
	m := NewMachine()
	for _, s := range []string{
		`carp0: need; advskew 100; vhid 1; alias 192.168.1.10/24; pass "x"`,
		"carp0: alias 192.168.1.11/32; alias 192.168.1.10/25; state \"master\"; state \"backup\"",
	} {
		if err := change(t, m, env{}, s); err != nil {
			t.Fatal(err)
		}
	}
	i := m.Interfaces["carp0"]
	if i.VHID() != 1 || i.Nodes[0].Advskew != 100 || i.Carpdev != "em0" || !i.Up || fmt.Sprint(i.Addrs) != "[192.168.1.10/25 192.168.1.11/32]" {
		t.Errorf("%+v", i)
	}
	if i.Lladdr().String() != "00:00:5e:00:01:01" {
		t.Error(i.Lladdr())
	}
	if err := change(t, m, env{}, "carp0: delete-first inet"); err != nil || !i.Up || !m.Interfaces["carp0"].Up {
		t.Error("down after the first of two addresses went", err)
	}
	if err := change(t, m, env{}, "carp0: -alias 192.168.1.11/32; -description"); err != nil || m.Interfaces["carp0"].Up {
		t.Error("up without an address", err)
	}
	p, err := m.Plan(Change{Kind: ForInterface, Name: "carp0", Clauses: lines(t, `state "master"`)}, env{active: map[string]bool{"carp0": true}})
	if err != nil || !slices.Equal(p.States, []string{"master"}) {
		t.Errorf("states %v, %v", p.States, err)
	}
	if _, err := m.Plan(Change{}, nil); !errors.Is(err, EINVAL) {
		t.Errorf("a change of nothing: %v", err)
	}
}

func TestGroupsAndSysctl(t *testing.T) {
	m := NewMachine()
	plan := func(kind Kind, name, words string) error {
		p, err := m.Plan(Change{Kind: kind, Name: name, Clauses: lines(t, words)}, env{})
		if err == nil {
			m.Commit(p)
		}
		return err
	}
	for _, c := range []struct {
		kind  Kind
		name  string
		words string
		errno Errno
	}{
		{ForGroup, "carp", "carpdemote 128", OK},
		{ForGroup, "carp", "carpdemote 126", OK}, // 254 and the engine's 1
		{ForGroup, "carp", "carpdemote 1", EINVAL},
		{ForGroup, "carp", "-carpdemote 128", OK},
		{ForGroup, "carp", "-carpdemote 127", EINVAL},
		{ForGroup, "carp", "-carpdemote 126", OK},
		{ForGroup, "carp", "-carpdemote 1", EINVAL},
		{ForGroup, "carp", "up", EINVAL},
		{ForGroup, "nope", "carpdemote 1", ENOENT},
		{ForSysctl, "", "set replay 3", EINVAL},
		{ForSysctl, "", "set replay -1", EINVAL},
		{ForSysctl, "", "set replay 1; set demoteskew 0", OK},
		{ForSysctl, "", "set preempt 1; set log 7", OK},
		{ForSysctl, "", "set nope 1", ENOENT},
		{ForSysctl, "", "up", ENOENT},
	} {
		err := plan(c.kind, c.name, c.words)
		if c.errno == OK && err != nil || c.errno != OK && !errors.Is(err, c.errno) {
			t.Errorf("%s %s: %v, want %v", c.name, c.words, err, c.errno)
		}
	}
	if len(m.Groups["carp"].Holders) != 0 || m.Sysctl != (Sysctl{Allow: 1, Preempt: 1, Log: 7, Replay: ReplayCopies}) {
		t.Errorf("%v, %+v", m.Groups["carp"], m.Sysctl)
	}
}

// The same request a second time does nothing.
func TestRetry(t *testing.T) {
	m := NewMachine()
	for n := 0; n < 3; n++ {
		for _, ch := range []Change{
			{Kind: ForGroup, Name: "carp", ID: "a", Clauses: lines(t, "carpdemote 1")},
			{Kind: ForSysctl, ID: "b", Clauses: lines(t, "set log 3")},
			{Kind: ForInterface, Name: "carp0", ID: "c", Clauses: lines(t, "create")},
		} {
			p, err := m.Plan(ch, nil)
			if err != nil || p.Done != (n > 0) {
				t.Errorf("%d, %s: done %t, %v", n, ch.ID, p.Done, err)
			}
			m.Commit(p)
		}
	}
	if m.Groups["carp"].Demotion() != 1 {
		t.Error("demoted twice")
	}
	for n := 0; n < 100; n++ {
		p, _ := m.Plan(Change{Kind: ForSysctl, ID: fmt.Sprint(n), Clauses: lines(t, "set log 3")}, nil)
		m.Commit(p)
	}
	if len(m.SysctlReqs) != requestsKept || m.SysctlReqs[requestsKept-1] != "99" {
		t.Errorf("kept %v", m.SysctlReqs)
	}
}

func TestWantRoundTrip(t *testing.T) {
	m := NewMachine()
	for _, s := range []string{
		`carp3: create; description "a \"b\""; vhid 7; advbase 0; advskew 25; pass "s e"; carpdev em1; alias 10.0.0.1/8; alias 192.168.1.10/32`,
		"carp0: create; carpdev em0; vhid 1; alias 192.168.1.10/24; down",
		"carp1: create",
		"carp2: create; carpdev em0; vhid 2; carppeer 10.0.0.2; carppeer6 2001:db8::2; lladdr 02:00:00:00:00:77; alias 2001:db8::10/64",
	} {
		if err := change(t, m, env{}, s); err != nil {
			t.Fatal(err)
		}
	}
	m.Groups["carp"].Holders = map[string]int{"manual": 3, "boot": 128}
	m.Groups["carp"].Requests = []string{"x"}
	m.Sysctl, m.SysctlReqs = Sysctl{Allow: 0, Preempt: 1, Log: 7, Replay: ReplayStrict, DemoteSkew: 1}, []string{"y"}
	m.Interfaces["carp0"].Requests = []string{"z"}

	back := NewMachine()
	for name, i := range m.Interfaces {
		cs, err := ParseWant(FormatWant(i.Clauses()))
		if err != nil {
			t.Fatal(err)
		}
		if err := back.LoadInterface(name, cs); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []struct {
		cs   []Clause
		load func([]Clause) error
	}{{m.SysctlClauses(), back.LoadSysctl}, {m.GroupClauses(), back.LoadGroups}} {
		cs, err := ParseWant(FormatWant(f.cs))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.load(cs); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(m, back) {
		t.Errorf("%+v\n%+v", m, back)
	}
	var names []string
	for _, i := range back.Sorted() {
		names = append(names, i.Name)
	}
	if !slices.Equal(names, []string{"carp3", "carp0", "carp1", "carp2"}) {
		t.Errorf("order %v", names)
	}
}

func TestDamagedWant(t *testing.T) {
	for _, data := range []string{"", "carp-want 2\n", WantTag + "\nvhid 300\n", WantTag + "\n\n", WantTag + "\nbogus\n"} {
		if cs, err := ParseWant([]byte(data)); err == nil {
			t.Errorf("%q: %v", data, cs)
		}
	}
	m := NewMachine()
	for _, words := range []string{"vhid 1", "create; destroy", "create; carpdemote 1"} {
		if err := m.LoadInterface("carp0", lines(t, words)); err == nil {
			t.Errorf("%s is an interface", words)
		}
	}
	if err := m.LoadSysctl(lines(t, "set nope 1")); err == nil {
		t.Error("an unknown variable")
	}
	if err := m.LoadGroups(lines(t, "holder x 1")); err == nil {
		t.Error("a holder of no group")
	}
}

func TestUndoOfPlan(t *testing.T) {
	m := NewMachine()
	p, err := m.Plan(Change{Kind: ForInterface, Name: "carp0", Clauses: lines(t, "create")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Commit(p)
	m.Commit(p.Undo())
	if len(m.Interfaces) != 0 {
		t.Error("still there")
	}
	// With the last member goes what a group is demoted by, and comes back with him.
	for _, s := range []string{"carp0: create; group web", "carp1: create; group lan"} {
		if err := change(t, m, nil, s); err != nil {
			t.Fatal(err)
		}
	}
	demote := func(group string) {
		p, err := m.Plan(Change{Kind: ForGroup, Name: group, Clauses: lines(t, "carpdemote 10")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Commit(p)
	}
	demote("web")
	demote("lan")
	for _, words := range []string{"-group web", "destroy"} {
		p, err := m.Plan(Change{Kind: ForInterface, Name: "carp0", Clauses: lines(t, words)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Commit(p) || m.Groups["web"] != nil {
			t.Errorf("%s: the group has not gone", words)
		}
		undo := p.Undo()
		if !m.Commit(undo) || m.Groups["web"].Demotion() != 10 || m.Groups["lan"].Demotion() != 10 {
			t.Errorf("%s: %v after it was undone", words, m.Groups)
		}
		if m.Commit(undo) {
			t.Errorf("%s: it was undone twice", words)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{"carp0": true, "carp10": true, "carp": false, "carp01": false, "carpx": false, "xcarp0": false, "carp2147483647": true, "carp2147483648": false, "carp123456789012": false} {
		if IsCarpName(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	for name, want := range map[string]bool{"carp": true, "a-b_C9": true, "": false, "a b": false, strings.Repeat("x", 16): false, "ä": false} {
		if IsName(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

func TestErrors(t *testing.T) {
	if got := (&Error{Errno: EINVAL}).Error(); got != "Invalid argument" {
		t.Error(got)
	}
	if got := (&Error{Errno: EINVAL, Msg: "carp0"}).Error(); got != "carp0: Invalid argument" {
		t.Error(got)
	}
	if got := Errno(9999).Error(); got != "Unknown error: 9999" {
		t.Error(got)
	}
}

func TestStats(t *testing.T) {
	var s Stats
	for c := range s {
		s[c] = uint64(c) * 1e15
	}
	back, err := ParseStats(append(s.Format(), "later 1\n"...))
	if err != nil || back != s {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "carp-stats 2\n", StatsTag + "\nbadif x\n"} {
		if _, err := ParseStats([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestLinkEqual(t *testing.T) {
	l := Link{Index: 1, Name: "em0", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}}
	m := l
	m.Addrs = slices.Clone(l.Addrs)
	if !l.Equal(&m) || l.Usable() {
		t.Error("the same is not equal")
	}
	m.Addrs[0] = netip.MustParsePrefix("10.0.0.2/8")
	if l.Equal(&m) {
		t.Error("another address is equal")
	}
	m = l
	m.AltNames = []string{"lan0"}
	if l.Equal(&m) || !m.Named("lan0") || !m.Named("em0") || m.Named("lan") {
		t.Error("an alternative name counts for nothing")
	}
}

// A peer that is the usual group is none.
func TestPeer(t *testing.T) {
	m := NewMachine()
	if err := change(t, m, nil, "carp0: create; carppeer 10.0.0.2; carppeer6 2001:db8::2"); err != nil {
		t.Fatal(err)
	}
	i := m.Interfaces["carp0"]
	if i.Peer != netip.MustParseAddr("10.0.0.2") || i.Peer6 != netip.MustParseAddr("2001:db8::2") {
		t.Errorf("%v %v", i.Peer, i.Peer6)
	}
	for _, s := range []string{"carppeer 224.0.0.18; carppeer6 ff02::12", "carppeer 0.0.0.0; carppeer6 ::", "-carppeer; -carppeer6"} {
		if err := change(t, m, nil, "carp0: "+s); err != nil {
			t.Fatal(err)
		}
		if i := m.Interfaces["carp0"]; i.Peer.IsValid() || i.Peer6.IsValid() {
			t.Errorf("%s: %v %v", s, i.Peer, i.Peer6)
		}
	}
}

// A group lives as long as it has a member, and its demotion with it.
func TestGroups(t *testing.T) {
	m := NewMachine()
	for _, s := range []string{"carp0: create; group lan", "carp1: create; group lan; -group carp; group wan"} {
		if err := change(t, m, nil, s); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(m.GroupNames()); got != "[carp lan wan]" {
		t.Error(got)
	}
	p, err := m.Plan(Change{Kind: ForGroup, Name: "lan", Clauses: lines(t, "carpdemote 5")}, nil)
	if err != nil || m.Commit(p) {
		t.Fatal(err)
	}
	cs, err := ParseWant(FormatWant(m.Interfaces["carp1"].Clauses()))
	if err != nil {
		t.Fatal(err)
	}
	back := NewMachine()
	if err := back.LoadInterface("carp1", cs); err != nil || fmt.Sprint(back.Interfaces["carp1"].Groups) != "[lan wan]" {
		t.Error(err, back.Interfaces["carp1"])
	}
	leave := func(name string) bool {
		p, err := m.Plan(Change{Kind: ForInterface, Name: name, Clauses: lines(t, "-group lan")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m.Commit(p)
	}
	if leave("carp0") || m.Groups["lan"].Demotion() != 5 {
		t.Error("gone with a member left")
	}
	if !leave("carp1") || m.Groups["lan"] != nil || m.HasGroup("lan") {
		t.Error("still there")
	}
}

func TestMAC(t *testing.T) {
	for _, c := range []struct {
		in   string
		want MAC
		ok   bool
	}{
		{"00:00:5e:00:01:0a", MAC{0, 0, 0x5e, 0, 1, 10}, true},
		{"0:0:5E:0:1:A", MAC{0, 0, 0x5e, 0, 1, 10}, true},
		{"", MAC{}, false},
		{"00:00:5e:00:01", MAC{}, false},
		{"00:00:5e:00:01:0a:00", MAC{}, false},
		{"00:00:5e:00:01:00a", MAC{}, false},
		{"00:00:5e:00:01:0g", MAC{}, false},
		{"00:00:5e:00:01:", MAC{}, false},
		{"00:00:5e:00:01:-1", MAC{}, false},
	} {
		if got, err := ParseMAC(c.in); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %s, %v", c.in, got, err)
		}
	}
	// The bit for "made by hand" is turned, and fffe stands in the middle (RFC 4291, appendix A).
	for mac, want := range map[MAC]string{VirtualMAC(10): "fe80::200:5eff:fe00:10a", {0x36, 0x56, 0x78, 0x9a, 0xbc, 0xde}: "fe80::3456:78ff:fe9a:bcde"} {
		if got := mac.LinkLocal().String(); got != want {
			t.Errorf("%s: %s, want %s", mac, got, want)
		}
	}
}

// The link-level address that an interface shows.
func TestLladdr(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{"create", "00:00:00:00:00:00"},
		{"create; vhid 7", "00:00:00:00:00:00"},
		{"create; carpdev em0", "00:00:00:00:00:00"},
		{"create; vhid 7; carpdev em0", "00:00:5e:00:01:07"},
		{"create; vhid 7; carpdev em0; lladdr 02:00:00:00:00:77", "02:00:00:00:00:77"},
		{"create; lladdr 02:00:00:00:00:77", "02:00:00:00:00:77"},
	} {
		m := NewMachine()
		if err := change(t, m, env{}, "carp0: "+c.words); err != nil {
			t.Fatal(err)
		}
		if got := m.Interfaces["carp0"].Lladdr().String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.words, got, c.want)
		}
	}
}

// What could not be read is not written anew; what could is changed as ever.
func TestDamagedIsNotChanged(t *testing.T) {
	m := NewMachine()
	damaged := &Error{Errno: EIO, Msg: "carp0"}
	m.Damaged = map[Target]*Error{{ForInterface, "carp0"}: damaged}
	if err := change(t, m, env{}, "carp0: create"); err != damaged || m.Interfaces["carp0"] != nil {
		t.Errorf("carp0: %v", err)
	}
	if err := change(t, m, env{}, "carp1: create"); err != nil {
		t.Errorf("carp1: %v", err)
	}
	var err *Error
	if _, e := m.Plan(Change{Kind: ForInterface - 1}, nil); !errors.As(e, &err) || err.Errno != EINVAL {
		t.Errorf("a change of nothing: %v", e)
	}
}

// The first address stays where it is when it is set again, with another mask, too; any other takes its place, behind the rest.
func TestFirstAddressAgain(t *testing.T) {
	for _, c := range []struct{ change, addrs string }{
		{"carp0: drop-first inet; alias 10.0.0.1/24", "[10.0.0.1/24 2001:db8::1/64 10.0.0.2/24]"},
		{"carp0: drop-first inet; alias 10.0.0.1/16", "[10.0.0.1/16 2001:db8::1/64 10.0.0.2/24]"},
		{"carp0: drop-first inet; alias 10.0.0.2/24", "[2001:db8::1/64 10.0.0.2/24]"},
		{"carp0: drop-first inet; alias 10.0.0.3/24", "[2001:db8::1/64 10.0.0.2/24 10.0.0.3/24]"},
		{"carp0: drop-first inet", "[2001:db8::1/64 10.0.0.2/24]"},
		{"carp0: drop-first inet; up; alias 10.0.0.1/24", "[2001:db8::1/64 10.0.0.2/24 10.0.0.1/24]"},
		{"carp0: -alias 10.0.0.1/24; -alias 10.0.0.2/24; drop-first inet; alias 10.0.0.1/24", "[2001:db8::1/64 10.0.0.1/24]"},
	} {
		m := NewMachine()
		if err := change(t, m, env{}, "carp0: create; carpdev em0; vhid 1; alias 10.0.0.1/24; alias 2001:db8::1/64; alias 10.0.0.2/24"); err != nil {
			t.Fatal(err)
		}
		if err := change(t, m, env{}, c.change); err != nil {
			t.Fatal(c.change, err)
		}
		if got := fmt.Sprint(m.Interfaces["carp0"].Addrs); got != c.addrs {
			t.Errorf("%s: %s, want %s", c.change, got, c.addrs)
		}
	}
}
