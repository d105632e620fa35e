package golden

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A machine stands in for kernelsim's engine: it has config's rules, the links of the specification's examples, and no
// network. What a carp that can be BACKUP or MASTER is, the case says; so displays are the same each time.
type machine struct {
	server *statedir.Server
	links  []config.Link
	index  int
	stats  config.Stats

	carpStats map[string]config.Stats

	mu    sync.Mutex
	conf  *config.Machine
	roles map[string]string
}

func newMachine(c *Case) *machine {
	m := &machine{links: links(), index: c.Index, stats: c.Stats, carpStats: c.CarpStats, conf: config.NewMachine(), roles: c.Roles}
	for i := range m.links {
		m.links[i].Running = !slices.Contains(c.Down, m.links[i].Name)
	}
	return m
}

// links are the host's own interfaces, as in cable_linux.go: those of the examples, and some that can be no carpdev.
func links() []config.Link {
	link := func(name string, ethernet, multicast bool, addrs ...string) config.Link {
		l := config.Link{Name: name, MTU: 1500, Up: true, Ethernet: ethernet, Multicast: multicast}
		for _, a := range addrs {
			l.Addrs = append(l.Addrs, netip.MustParsePrefix(a))
		}
		return l
	}
	all := []config.Link{
		link("lo0", false, true, "127.0.0.1/8"),
		link("em0", true, true, "192.168.1.1/24", "10.0.0.99/24", "fe80::1/64", "2001:db8::a/64"),
		link("em1", true, true, "172.16.0.1/24"),
		link("vio2", true, true),                  // unnumbered
		link("gre0", false, true, "10.5.0.1/24"),  // not Ethernet
		link("nbma0", true, false, "10.6.0.1/24"), // no multicast
	}
	all[2].AltNames = []string{"lan0"}
	return all
}

// Link, Parent, Active and Demotion make it a config.Env.
func (m *machine) Link(name string) (config.Link, bool) {
	for _, l := range m.links {
		if l.Named(name) {
			return l, true
		}
	}
	return config.Link{}, false
}

func (m *machine) Parent(addr netip.Addr) (string, bool) {
	for _, l := range m.links {
		if l.Ethernet && l.Multicast && slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return l.Name, true
		}
	}
	return "", false
}

func (m *machine) Active(name string) bool {
	i := m.conf.Interfaces[name]
	return i != nil && m.running(i)
}

func (m *machine) Demotion(string) int { return 0 }

// running reports whether a carp has all that it needs to leave INIT (ip_carp.c: carp_set_state, carp_setrun).
func (m *machine) running(i *config.Interface) bool {
	l, ok := m.Link(i.Carpdev)
	return ok && l.Usable() && i.Up && i.VHID() != 0 && len(i.Addrs) > 0
}

// Change makes it a statedir.Handler.
func (m *machine) Change(r statedir.Request) statedir.Reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	plan, err := m.conf.Plan(r.Change, m)
	if !r.Root {
		err = m.conf.Refuse(r.Change, m)
	}
	if err != nil || r.Check || plan.Done {
		return statedir.Reply{Err: err, Old: plan.Old}
	}
	m.conf.Commit(plan)
	if r.Change.Kind == config.ForInterface && plan.Interface == nil {
		m.server.RemoveInterface(r.Change.Name)
	}
	for _, state := range plan.States {
		if s := strings.ToUpper(state); s == "MASTER" || s == "BACKUP" {
			m.roles[r.Change.Name] = s
		}
	}
	m.publish()
	return statedir.Reply{Old: plan.Old}
}

// publish shows everything.
func (m *machine) publish() {
	demotion := map[string]int{}
	for _, name := range m.conf.GroupNames() {
		demotion[name] = 0
		if g := m.conf.Groups[name]; g != nil {
			demotion[name] = g.Demotion()
		}
	}
	m.server.PublishGroups(demotion, statedir.HoldersOf(m.conf))
	m.server.PublishSysctl(m.conf.Sysctl)
	m.server.PublishStats(m.stats)
	m.server.PublishCarpStats(m.carpStats)
	for _, i := range m.conf.Interfaces {
		m.server.PublishInterface(m.status(i))
	}
}

// status shows a carp as the loop does: no link, and so no index, before there is a carpdev.
func (m *machine) status(i *config.Interface) statedir.Status {
	s := statedir.StatusOf(i)
	if i.Carpdev != "" {
		s.Index = m.index + i.Order
	}
	if m.running(i) {
		s.Running = true
		s.Heard = []statedir.Heard{{Addr: netip.MustParseAddr("10.0.0.3"), Advbase: 1, Advskew: 50, Demote: 2}}
		s.Since, s.Reason = time.Date(2026, 1, 31, 12, 0, 0, 123e6, time.UTC), "faster master"
		s.Nodes[0].State = "BACKUP"
		if role, ok := m.roles[i.Name]; ok {
			s.Nodes[0].State = role
		}
	}
	return s
}
