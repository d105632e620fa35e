package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// WantTag is the first line of every file under want/.
const WantTag = "carp-want 1"

// Clauses returns the words that make i out of nothing.
func (i *Interface) Clauses() []Clause {
	cs := []Clause{{Word: Create}, {Word: Order, N: i.Order}}
	if i.Description != "" {
		cs = append(cs, Clause{Word: Description, Text: i.Description})
	}
	if i.Carpdev != "" {
		cs = append(cs, Clause{Word: Carpdev, Text: i.Carpdev})
	}
	if i.VHID() != 0 {
		cs = append(cs, Clause{Word: VHID, N: int(i.VHID())})
	}
	cs = append(cs, Clause{Word: Advbase, N: int(i.Advbase)}, Clause{Word: Advskew, N: int(i.Nodes[0].Advskew)})
	if !i.Pass.Empty() {
		cs = append(cs, Clause{Word: PassPhrase, Pass: i.Pass})
	}
	if i.Peer != (netip.Addr{}) {
		cs = append(cs, Clause{Word: Carppeer, Addr: netip.PrefixFrom(i.Peer, i.Peer.BitLen())})
	}
	if i.Peer6 != (netip.Addr{}) {
		cs = append(cs, Clause{Word: Carppeer6, Addr: netip.PrefixFrom(i.Peer6, i.Peer6.BitLen())})
	}
	if i.MAC != (MAC{}) {
		cs = append(cs, Clause{Word: Lladdr, MAC: i.MAC})
	}
	groups, inCarp := i.Groups, len(i.Groups) > 0 && i.Groups[0] == "carp"
	if inCarp { // as every carp is from the first
		groups = groups[1:]
	} else {
		cs = append(cs, Clause{Word: LeaveGroup, Text: "carp"})
	}
	for _, g := range groups {
		cs = append(cs, Clause{Word: InGroup, Text: g})
	}
	for _, a := range i.Addrs {
		cs = append(cs, Clause{Word: AddAddr, Addr: a})
	}
	updown := Down // after the addresses, which imply up
	if i.Up {
		updown = Up
	}
	cs = append(cs, Clause{Word: updown})
	for _, id := range i.Requests {
		cs = append(cs, Clause{Word: Request, Text: id})
	}
	return cs
}

// FormatWant prints clauses as the content of a want/ file.
func FormatWant(cs []Clause) []byte {
	var b bytes.Buffer
	b.WriteString(WantTag + "\n")
	for _, c := range cs {
		b.WriteString(c.String() + "\n")
	}
	return b.Bytes()
}

// ParseWant reads a want/ file back. An unknown word is an error: a newer layout is refused before it comes to this.
func ParseWant(data []byte) ([]Clause, error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != WantTag {
		return nil, fmt.Errorf("no %q in the first line", WantTag)
	}
	var cs []Clause
	for n, line := range lines[1:] {
		c, err := ParseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+2, err)
		}
		cs = append(cs, c)
	}
	return cs, nil
}

// LoadInterface makes an interface of the clauses of its want/ file and adds it.
func (m *Machine) LoadInterface(name string, cs []Clause) error {
	p, err := m.Plan(Change{Kind: ForInterface, Name: name, Clauses: cs}, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if p.Interface == nil {
		return fmt.Errorf("%s: no interface", name)
	}
	m.Commit(p)
	return nil
}

// SysctlClauses returns the words for want/sysctl.
func (m *Machine) SysctlClauses() []Clause {
	var cs []Clause
	for _, v := range Variables() {
		cs = append(cs, Clause{Word: SetSysctl, Text: v.Name, N: *v.at(&m.Sysctl)})
	}
	for _, id := range m.SysctlReqs {
		cs = append(cs, Clause{Word: Request, Text: id})
	}
	return cs
}

// LoadSysctl takes over want/sysctl. A variable of a newer version is an error.
func (m *Machine) LoadSysctl(cs []Clause) error {
	s, reqs := DefaultSysctl(), []string(nil)
	for _, c := range cs {
		at := s.At(c.Text)
		switch {
		case c.Word == Request:
			reqs = append(reqs, c.Text)
		case c.Word == SetSysctl && at != nil:
			*at = c.N
		default:
			return fmt.Errorf("sysctl: %s %s: unknown", c.Word, c.Text)
		}
	}
	m.Sysctl, m.SysctlReqs = s, reqs
	return nil
}

// GroupClauses returns the words for want/groups: for each group a line "group NAME", then its holders.
func (m *Machine) GroupClauses() []Clause {
	var cs []Clause
	for _, name := range sortedKeys(m.Groups) {
		g := m.Groups[name]
		cs = append(cs, Clause{Word: InGroup, Text: name})
		for _, h := range sortedKeys(g.Holders) {
			cs = append(cs, Clause{Word: Holder, Text: h, N: g.Holders[h]})
			if g.Tied[h] {
				cs = append(cs, Clause{Word: Tied, Text: h})
			}
		}
		for _, id := range g.Requests {
			cs = append(cs, Clause{Word: Request, Text: id})
		}
	}
	return cs
}

// LoadGroups takes over want/groups, of the groups that have members: load the interfaces first.
func (m *Machine) LoadGroups(cs []Clause) error {
	groups := NewMachine().Groups
	var g *Group
	for _, c := range cs {
		switch {
		case c.Word == InGroup && IsName(c.Text):
			g = &Group{Name: c.Text, Holders: map[string]int{}}
			groups[c.Text] = g
		case g != nil && c.Word == Holder && c.N > 0:
			g.Holders[c.Text] = c.N
		case g != nil && c.Word == Tied && g.Holders[c.Text] > 0:
			g.tie(c.Text)
		case g != nil && c.Word == Request:
			g.Requests = append(g.Requests, c.Text)
		default:
			return fmt.Errorf("groups: %s %s: not here", c.Word, c.Text)
		}
	}
	m.Groups = groups
	m.matchGroups(nil)
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
