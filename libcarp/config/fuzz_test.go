package config

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzMachine merges arbitrary changes, written as in requests: a line that says what is changed, then clauses, then an empty line. A
// change that is refused changes nothing. What is accepted is valid, and what is written down of it makes the same machine.
func FuzzMachine(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string, hasEnv bool) {
		var e Env
		if hasEnv {
			e = env{active: map[string]bool{"carp0": true}}
		}
		m := NewMachine()
		for _, block := range strings.Split(text, "\n\n") {
			ch, ok := parseChange(block)
			if !ok {
				continue
			}
			before := written(m)
			p, err := m.Plan(ch, e)
			if refused, _ := err.(*Error); err != nil && (refused == nil || refused.Errno == OK || refused.Clause > max(len(ch.Clauses)-1, 0)) {
				t.Fatalf("%q is refused with %#v", block, err)
			}
			if now := written(m); !reflect.DeepEqual(now, before) {
				t.Fatalf("planning %q changes %q to %q", block, before, now)
			}
			if refused, _ := m.Refuse(ch, e).(*Error); refused == nil || refused.Errno == OK || refused.Clause > max(len(ch.Clauses)-1, 0) {
				t.Fatalf("%q of somebody is refused with %#v", block, refused)
			}
			if err != nil {
				continue
			}
			m.Commit(p)
			checkMachine(t, m)
			if back := load(t, written(m)); !reflect.DeepEqual(written(back), written(m)) || !same(back, m) {
				t.Fatalf("after %q, written down as %q, read back as %q", block, written(m), written(back))
			}
		}
	})
}

// parseChange reads "interface NAME", "group NAME" or "sysctl", and clauses.
func parseChange(block string) (ch Change, ok bool) {
	lines := strings.Split(block, "\n")
	kind, name, _ := strings.Cut(lines[0], " ")
	ch = Change{Name: name, Kind: map[string]Kind{"interface": ForInterface, "group": ForGroup, "sysctl": ForSysctl}[kind]}
	for _, line := range lines[1:] {
		if id, isID := strings.CutPrefix(line, "id "); isID && IsName(id) {
			ch.ID = id
			continue
		}
		c, err := ParseLine(line)
		if err != nil {
			return ch, false
		}
		ch.Clauses = append(ch.Clauses, c)
	}
	return ch, ch.Kind != 0
}

// written returns the want/ files of a machine.
func written(m *Machine) map[string]string {
	files := map[string]string{"sysctl": string(FormatWant(m.SysctlClauses())), "groups": string(FormatWant(m.GroupClauses()))}
	for name, i := range m.Interfaces {
		files[name] = string(FormatWant(i.Clauses()))
	}
	return files
}

// load makes a machine of the files.
func load(t *testing.T, files map[string]string) *Machine {
	m := NewMachine()
	for _, name := range sortedKeys(files) {
		cs, err := ParseWant([]byte(files[name]))
		if err == nil {
			switch name {
			case "sysctl":
				err = m.LoadSysctl(cs)
			case "groups":
				err = m.LoadGroups(cs)
			default:
				err = m.LoadInterface(name, cs)
			}
		}
		if err != nil {
			t.Fatalf("%s: %q cannot be read back: %v", name, files[name], err)
		}
	}
	return m
}

// same compares what no file tells in words.
func same(a, b *Machine) bool {
	return slices.EqualFunc(a.Sorted(), b.Sorted(), func(i, j *Interface) bool {
		return i.Name == j.Name && i.Pass == j.Pass && slices.Equal(i.Nodes, j.Nodes) && slices.Equal(i.Groups, j.Groups)
	})
}

// checkMachine checks what is valid.
func checkMachine(t *testing.T, m *Machine) {
	t.Helper()
	type vhidOn struct {
		carpdev string
		vhid    uint8
	}
	taken := map[vhidOn]string{}
	for name, i := range m.Interfaces {
		on := vhidOn{i.Carpdev, i.VHID()}
		switch {
		case name != i.Name || !IsCarpName(name) || len(i.Nodes) != 1 || IsCarpName(i.Carpdev):
			t.Fatalf("%s: %+v", name, i)
		case i.Advbase > AdvbaseMax || i.Nodes[0].Advskew > AdvskewMax || len(i.Description) > DescriptionMax:
			t.Fatalf("%s: %+v", name, i)
		case len(i.Pass.Reveal()) > PassMax || len(i.Requests) > requestsKept:
			t.Fatalf("%s: %+v", name, i)
		case on.carpdev != "" && on.vhid != 0 && taken[on] != "":
			t.Fatalf("%s has the vhid of %s", name, taken[on])
		}
		taken[on] = name
		for n, a := range i.Addrs {
			if !a.IsValid() || !a.Addr().Is4() || i.addrIndex(a.Addr()) != n {
				t.Fatalf("%s: addresses %v", name, i.Addrs)
			}
		}
	}
	for name, g := range m.Groups {
		if name != g.Name || g.Demotion() < 0 || g.Demotion() > DemoteMax {
			t.Fatalf("%s: %+v", name, g)
		}
	}
}

// FuzzWant: a file that can be read is, once it was loaded and written again, stable; whatever stands in it, what is loaded is valid.
func FuzzWant(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		cs, err := ParseWant(data)
		if err != nil {
			return
		}
		for _, file := range []struct {
			name  string
			load  func(*Machine, []Clause) error
			write func(*Machine) []Clause
		}{
			{"carp0", func(m *Machine, cs []Clause) error { return m.LoadInterface("carp0", cs) },
				func(m *Machine) []Clause { return m.Interfaces["carp0"].Clauses() }},
			{"sysctl", (*Machine).LoadSysctl, (*Machine).SysctlClauses},
			{"groups", (*Machine).LoadGroups, (*Machine).GroupClauses},
		} {
			m := NewMachine()
			if file.load(m, cs) != nil {
				continue
			}
			out := FormatWant(file.write(m))
			again, err := ParseWant(out)
			if err != nil {
				t.Fatalf("%s: %q: %v", file.name, out, err)
			}
			n := NewMachine()
			if err := file.load(n, again); err != nil {
				t.Fatalf("%s: %q: %v", file.name, out, err)
			}
			if stable := FormatWant(file.write(n)); !bytes.Equal(stable, out) {
				t.Fatalf("%s: not stable:\n%s\n%s", file.name, out, stable)
			}
		}
	})
}
