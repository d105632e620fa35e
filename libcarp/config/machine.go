package config

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// DemoteMax is the most that a group's demotion can be set to (OpenBSD, if.c: if_setgroupattribs).
const DemoteMax = 255

// ManualHolder is the holder that `ifconfig -g carp [-]carpdemote n` changes.
const ManualHolder = "manual"

// A Group is an interface group. Its demotion is the sum over its holders, so that each cause is undone by itself. The
// engine's own causes are not in here: it derives them from what it sees.
type Group struct {
	Name     string
	Holders  map[string]int  // holder → demotion, never 0
	Tied     map[string]bool // those that last as long as a connection
	Requests []string
}

// Demotion returns the sum over the holders.
func (g *Group) Demotion() (sum int) {
	for _, n := range g.Holders {
		sum += n
	}
	return sum
}

func (g *Group) clone() *Group {
	c := *g
	c.Holders = maps.Clone(g.Holders)
	if c.Holders == nil {
		c.Holders = map[string]int{}
	}
	c.Tied = maps.Clone(g.Tied)
	c.Requests = slices.Clone(g.Requests)
	return &c
}

// set gives a holder what it has from now on, and for good.
func (g *Group) set(holder string, n int) {
	g.Holders[holder] = n
	if n == 0 {
		delete(g.Holders, holder)
	}
	delete(g.Tied, holder)
}

// tie makes a holder last as long as a connection.
func (g *Group) tie(holder string) {
	if g.Tied == nil {
		g.Tied = map[string]bool{}
	}
	g.Tied[holder] = true
}

// A Machine is the whole configuration of one kernelsim.
type Machine struct {
	Interfaces map[string]*Interface
	Groups     map[string]*Group
	Sysctl     Sysctl
	SysctlReqs []string // ids of the last accepted sysctl requests

	// Damaged is what could not be read of the configuration. A change to it is refused with this error: writing it anew would lose what it says.
	Damaged map[Target]*Error
}

// orderMax is the greatest order that want/ files can tell. Interfaces that share it are ordered by name.
const orderMax = 1<<31 - 1

// A Target is what a change is for.
type Target struct {
	Kind Kind
	Name string // empty for sysctls
}

// NewMachine returns a machine with no interface and the empty group carp, which always exists.
func NewMachine() *Machine {
	return &Machine{
		Interfaces: map[string]*Interface{},
		Groups:     map[string]*Group{"carp": {Name: "carp", Holders: map[string]int{}}},
		Sysctl:     DefaultSysctl(),
	}
}

// Sorted returns the interfaces in the order of their creation.
func (m *Machine) Sorted() []*Interface {
	all := make([]*Interface, 0, len(m.Interfaces))
	for _, i := range m.Interfaces {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *Interface) int { return cmp.Or(a.Order-b.Order, strings.Compare(a.Name, b.Name)) })
	return all
}

// HasGroup reports whether a group exists: carp always does, another one while it has a member; when the last has left, its
// demotion is forgotten (OpenBSD, if.c: if_delgroup).
func (m *Machine) HasGroup(name string) bool {
	if name == "carp" {
		return true
	}
	for _, i := range m.Interfaces {
		if slices.Contains(i.Groups, name) {
			return true
		}
	}
	return false
}

// GroupNames returns the groups that exist, sorted.
func (m *Machine) GroupNames() []string {
	names := []string{"carp"}
	for _, i := range m.Interfaces {
		names = append(names, i.Groups...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A Kind says what a change is for.
type Kind int

// The kinds of targets.
const (
	ForInterface Kind = iota + 1
	ForGroup
	ForSysctl
)

// A Change is a list of deltas for one interface, one group or the sysctls. It is merged whole or not at all.
type Change struct {
	Kind    Kind
	Name    string // of the interface or group; empty for sysctls
	ID      string // chosen by the client, so that a retry after a lost reply is known; may be empty
	Clauses []Clause
}

// Has reports whether one of the change's clauses is of that word.
func (ch *Change) Has(w Word) bool {
	return slices.ContainsFunc(ch.Clauses, func(c Clause) bool { return c.Word == w })
}

// Env is what a merge has to know beyond the configuration. Without one (kernelsim does not run) what depends on the host's
// interfaces is accepted, and looked up when kernelsim starts.
type Env interface {
	// Link finds a host's interface by its name.
	Link(name string) (Link, bool)
	// Parent chooses the carpdev for an address when none was named: the first multicast-capable interface
	// with an address whose subnet holds it.
	Parent(addr netip.Addr) (string, bool)
	// Active reports whether a carp interface is in another state than INIT.
	Active(name string) bool
	// Demotion is the part of a group's demotion that the engine itself holds.
	Demotion(group string) int
}

// A Plan is a change that was found valid, merged with what was there. Committing it cannot fail.
type Plan struct {
	Change    Change
	Interface *Interface // as it will be; nil: gone
	Before    *Interface // as it was; nil: there was none
	Group     *Group
	Sysctl    *Sysctl
	Requests  []string // for sysctls
	Old       int      // of the sysctl set last, its old value
	States    []string // the states asked for by hand, in order
	Done      bool     // the same request was accepted before: nothing to do

	groups map[string]*Group // before it, with what goes with their last members
}

// Undo returns the plan that puts an interface back as it was before p. Only changes of interfaces can fail after
// they were committed, when the host refuses.
func (p *Plan) Undo() Plan {
	return Plan{Change: Change{Kind: p.Change.Kind, Name: p.Change.Name}, Interface: p.Before, Before: p.Interface, groups: p.groups}
}

// requestsKept is how many request ids are remembered for each target. When an engine dies, as many clients as it may have had may ask
// again, at once.
const requestsKept = 64

func remember(ids []string, id string) []string {
	if id == "" {
		return ids
	}
	ids = append(slices.Clone(ids), id)
	return ids[max(0, len(ids)-requestsKept):]
}

// Plan merges a change and checks it, clause by clause, so that the first clause a BSD would have refused is the one that is
// named. The error is an *[Error]. Nothing is changed until [Machine.Commit].
func (m *Machine) Plan(ch Change, env Env) (Plan, error) {
	if err := m.Damaged[Target{ch.Kind, ch.Name}]; err != nil {
		return Plan{}, err
	}
	switch ch.Kind {
	case ForInterface:
		return m.planInterface(ch, env)
	case ForGroup:
		return m.planGroup(ch, env)
	case ForSysctl:
		return m.planSysctl(ch)
	}
	return Plan{}, &Error{Errno: EINVAL, Msg: "change of nothing"}
}

// Refuse returns what somebody gets who may not set anything: EPERM at the first clause that would set something, but ENXIO
// where implicit creation (which fails silently) has left no interface.
func (m *Machine) Refuse(ch Change, env Env) error {
	if ch.Kind == ForInterface && len(ch.Clauses) > 0 {
		_, exists := m.Interfaces[ch.Name]
		if !exists && env != nil {
			_, exists = env.Link(ch.Name)
		}
		first := ch.Clauses[0].Word
		switch {
		case first == Need && !exists:
			return &Error{Errno: ENXIO, Clause: min(1, len(ch.Clauses)-1)}
		case first == Need:
			return &Error{Errno: EPERM, Clause: min(1, len(ch.Clauses)-1)}
		}
	}
	return &Error{Errno: EPERM}
}

// Commit makes a plan the configuration. It reports whether a group went with its last member, or came back with its demotion.
func (m *Machine) Commit(p Plan) (groups bool) {
	if p.Done {
		return false
	}
	switch p.Change.Kind {
	case ForInterface:
		if p.Interface == nil {
			delete(m.Interfaces, p.Change.Name)
		} else {
			m.Interfaces[p.Change.Name] = p.Interface
		}
		groups = m.matchGroups(p.groups)
	case ForGroup:
		m.Groups[p.Change.Name] = p.Group
	case ForSysctl:
		m.Sysctl, m.SysctlReqs = *p.Sysctl, p.Requests
	}
	return groups
}

// matchGroups forgets the groups that have no member any more, takes in those of before that have one again, and reports whether there were any.
func (m *Machine) matchGroups(before map[string]*Group) (changed bool) {
	had := len(m.Groups)
	maps.DeleteFunc(m.Groups, func(name string, _ *Group) bool { return !m.HasGroup(name) })
	changed = len(m.Groups) != had
	for name, g := range before {
		if m.Groups[name] == nil && m.HasGroup(name) {
			m.Groups[name], changed = g, true
		}
	}
	return changed
}

func (m *Machine) planSysctl(ch Change) (Plan, error) {
	s := m.Sysctl
	p := Plan{Change: ch, Sysctl: &s, Requests: remember(m.SysctlReqs, ch.ID)}
	if ch.ID != "" && slices.Contains(m.SysctlReqs, ch.ID) {
		p.Done = true
	}
	for n, c := range ch.Clauses {
		at := s.At(c.Text)
		if c.Word != SetSysctl || at == nil {
			return Plan{}, &Error{Errno: ENOENT, Clause: n}
		}
		if c.Text == "replay" && (c.N < 0 || c.N > ReplayStrict) {
			return Plan{}, &Error{Errno: EINVAL, Clause: n}
		}
		p.Old, *at = *at, c.N
	}
	return p, nil
}

func (m *Machine) planGroup(ch Change, env Env) (Plan, error) {
	if !m.HasGroup(ch.Name) {
		return Plan{}, &Error{Errno: ENOENT}
	}
	g := &Group{Name: ch.Name, Holders: map[string]int{}}
	if old := m.Groups[ch.Name]; old != nil {
		g = old.clone()
	}
	p := Plan{Change: ch, Group: g}
	if ch.ID != "" && slices.Contains(g.Requests, ch.ID) {
		p.Done = true
		return p, nil
	}
	own := 0
	if env != nil {
		own = env.Demotion(ch.Name)
	}
	for n, c := range ch.Clauses {
		switch {
		case c.Word == Demote:
			g.set(ManualHolder, g.Holders[ManualHolder]+c.N)
		case c.Word == Undemote && c.N <= g.Holders[ManualHolder]:
			g.set(ManualHolder, g.Holders[ManualHolder]-c.N)
		case c.Word == Holder && IsName(c.Text):
			g.set(c.Text, c.N)
		case c.Word == Tied && g.Holders[c.Text] > 0:
			g.tie(c.Text)
		case c.Word == Untie:
			if g.Tied[c.Text] {
				g.set(c.Text, 0)
			}
		default:
			return Plan{}, &Error{Errno: EINVAL, Clause: n}
		}
		if c.Word != Undemote && c.Word != Untie && g.Demotion()+own > DemoteMax {
			return Plan{}, &Error{Errno: EINVAL, Clause: n}
		}
	}
	g.Requests = remember(g.Requests, ch.ID)
	return p, nil
}

// merge is the state of one interface change half way.
type merge struct {
	m      *Machine
	env    Env
	i      *Interface // nil: does not exist (yet, any more)
	states []string
	await  bool // see [Await]
}

func (m *Machine) planInterface(ch Change, env Env) (Plan, error) {
	before := m.Interfaces[ch.Name]
	g := merge{m: m, env: env, await: ch.Has(Await)}
	if before != nil {
		g.i = before.Clone()
	}
	p := Plan{Change: ch, Before: before, groups: maps.Clone(m.Groups)}
	if before != nil && ch.ID != "" && slices.Contains(before.Requests, ch.ID) {
		p.Interface, p.Done = before, true
		return p, nil
	}
	for n, c := range ch.Clauses {
		if c.Word == DropFirst && g.hasFirst(c.Text, ch.Clauses[n+1:]) {
			continue
		}
		if errno := g.apply(ch.Name, c); errno != OK {
			return Plan{}, &Error{Errno: errno, Clause: n}
		}
	}
	if g.i != nil {
		g.i.Requests = remember(g.i.Requests, ch.ID)
	}
	p.Interface, p.States = g.i, g.states
	return p, nil
}

// setters are the words that cannot be wrong: their arguments were checked when they were parsed.
var setters = map[Word]func(*Interface, Clause){
	Up:            func(i *Interface, _ Clause) { i.Up = true },
	Down:          func(i *Interface, _ Clause) { i.Up = false },
	Advbase:       func(i *Interface, c Clause) { i.Advbase = uint8(c.N) },
	Advskew:       func(i *Interface, c Clause) { i.Nodes[0].Advskew = uint8(c.N) },
	PassPhrase:    func(i *Interface, c Clause) { i.Pass = c.Pass },
	NoCarppeer:    func(i *Interface, _ Clause) { i.Peer = netip.Addr{} },
	NoCarppeer6:   func(i *Interface, _ Clause) { i.Peer6 = netip.Addr{} },
	NoDescription: func(i *Interface, _ Clause) { i.Description = "" },
	Order:         func(i *Interface, c Clause) { i.Order = c.N },
	Request:       func(i *Interface, c Clause) { i.Requests = remember(i.Requests, c.Text) },
}

// apply merges one clause: first the words that need no interface, then those that change one.
func (g *merge) apply(name string, c Clause) Errno {
	switch {
	case c.Word == Await:
		return OK
	case c.Word == Create, c.Word == Need:
		return g.create(name, c.Word == Need)
	case g.i == nil && c.Word == Destroy:
		return g.absent(name, EINVAL)
	case g.i == nil:
		return g.absent(name, ENOTTY)
	case setters[c.Word] != nil:
		setters[c.Word](g.i, c)
		return OK
	}
	switch c.Word {
	case Destroy:
		g.i = nil
	case Description:
		if len(c.Text) > DescriptionMax {
			return ENAMETOOLONG
		}
		g.i.Description = c.Text
	case VHID:
		if g.taken(g.i.Carpdev, uint8(c.N)) {
			return EINVAL
		}
		g.i.Nodes = []Node{{VHID: uint8(c.N), Advskew: g.i.Nodes[0].Advskew}}
	case Carpdev:
		return g.carpdev(c.Text)
	case State:
		// ip_carp.c: ignored in INIT, which `up` before it ends.
		before := g.m.Interfaces[name]
		if g.env != nil && (g.env.Active(name) || before != nil && !before.Up && len(before.Addrs) > 0 && g.i.Up) {
			g.states = append(g.states, c.Text)
		}
	case Carppeer, Carppeer6:
		return g.peer(c)
	case Lladdr:
		if c.MAC.IsMulticast() {
			return EINVAL
		}
		g.i.MAC = c.MAC
	case InGroup:
		return g.join(c.Text)
	case LeaveGroup:
		return g.leave(c.Text)
	case AddAddr:
		return g.addAddr(c.Addr)
	case DelAddr:
		return g.delAddr(g.i.addrIndex(c.Addr.Addr()))
	case DelFirst:
		return g.delFirst(c.Text)
	case DropFirst:
		g.delFirst(c.Text)
	case DropAll:
		for g.delFirst(c.Text) == OK {
		}
	default:
		return EINVAL
	}
	return OK
}

// absent is the error for a word to an interface that is not a carp: one of the host's own, or none at all.
func (g *merge) absent(name string, own Errno) Errno {
	if g.env != nil {
		if _, ok := g.env.Link(name); ok {
			return own
		}
	}
	return ENXIO
}

func (g *merge) create(name string, need bool) Errno {
	if g.i != nil {
		if need {
			return OK
		}
		return EEXIST
	}
	if !IsCarpName(name) {
		if need { // implicit creation fails silently; the next clause says what is wrong
			return OK
		}
		if g.absent(name, EEXIST) == EEXIST {
			return EEXIST
		}
		return EINVAL
	}
	order := 0
	for _, o := range g.m.Interfaces {
		order = max(order, min(o.Order, orderMax-1)+1)
	}
	g.i = NewInterface(name, order)
	return OK
}

// taken reports whether another carp on carpdev has the vhid.
func (g *merge) taken(carpdev string, vhid uint8) bool {
	if carpdev == "" {
		return false
	}
	link := Link{Name: carpdev}
	if g.env != nil {
		if l, ok := g.env.Link(carpdev); ok {
			link = l
		}
	}
	for _, o := range g.m.Interfaces {
		if o.Name != g.i.Name && link.Named(o.Carpdev) && o.HasVHID(vhid) {
			return true
		}
	}
	return false
}

// carpdev checks in the order of carp_set_ifp (ip_carp.c): multicast, type, vhid.
func (g *merge) carpdev(name string) Errno {
	if g.env != nil {
		l, ok := g.env.Link(name)
		switch {
		case !ok && g.await:
		case !ok:
			return EINVAL
		case !l.Multicast:
			return EADDRNOTAVAIL
		case !l.Ethernet:
			return EINVAL
		case slices.ContainsFunc(g.i.Addrs, func(p netip.Prefix) bool { return l.HasAddr(p.Addr()) }):
			return EEXIST
		}
	}
	if IsCarpName(name) || g.taken(name, g.i.VHID()) {
		return EINVAL
	}
	g.i.Carpdev = name
	return OK
}

// The groups that adverts go to without a peer; to name one is to name none.
var (
	defaultPeer  = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	defaultPeer6 = netip.MustParseAddr("ff02::12")
)

// peer sets where the adverts of a family go. 0.0.0.0 is 224.0.0.18, as on OpenBSD (ip_carp.c: SIOCSVH).
func (g *merge) peer(c Clause) Errno {
	at, usual := &g.i.Peer, defaultPeer
	if c.Word == Carppeer6 {
		at, usual = &g.i.Peer6, defaultPeer6
	}
	a := c.Addr.Addr()
	switch {
	case a.BitLen() != usual.BitLen(), a.Is4In6():
		return EINVAL
	case a == usual, a.IsUnspecified():
		a = netip.Addr{}
	}
	*at = a
	return OK
}

// join makes the interface a member of a group. To be one already is no error, and everything is in `all` (if.c: if_addgroup).
func (g *merge) join(group string) Errno {
	switch {
	case !IsName(group), strings.ContainsAny(group[len(group)-1:], "0123456789"):
		return EINVAL
	case group != "all" && !slices.Contains(g.i.Groups, group):
		g.i.Groups = append(g.i.Groups, group)
	}
	return OK
}

func (g *merge) leave(group string) Errno {
	at := slices.Index(g.i.Groups, group)
	if at < 0 {
		return ENOENT
	}
	g.i.Groups = slices.Delete(g.i.Groups, at, at+1)
	return OK
}

func (g *merge) addAddr(p netip.Prefix) Errno {
	addr := p.Addr()
	switch {
	case addr.IsUnspecified(), addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return EINVAL
	case addr.Is4In6(), addr.Is6() && addr.IsLoopback(), addr.Zone() != "":
		return EINVAL
	}
	if g.i.Carpdev == "" && g.env != nil {
		parent, ok := g.env.Parent(addr)
		ok = ok && !(addr.Is6() && addr.IsLinkLocalUnicast()) // every interface has that subnet
		if !ok && !g.await {
			return EADDRNOTAVAIL
		}
		if ok {
			if errno := g.carpdev(parent); errno != OK {
				return errno
			}
		}
	}
	n := g.i.addrIndex(addr)
	if n < 0 && g.env != nil {
		if l, ok := g.env.Link(g.i.Carpdev); ok && l.HasAddr(addr) {
			return EEXIST // a backup is silent for it: the host would be cut off, maybe from who asks for this
		}
	}
	if n >= 0 {
		g.i.Addrs[n] = p
	} else {
		g.i.Addrs = append(g.i.Addrs, p)
	}
	g.i.Up = true // ip_carp.c: SIOCSIFADDR
	return OK
}

// hasFirst reports whether the first address of a family is the one that the clauses add next. It stays where it is: behind the others it would leave its
// place to an alias, which the same line would then take away.
func (g *merge) hasFirst(family string, next []Clause) bool {
	if g.i == nil || len(next) == 0 || next[0].Word != AddAddr {
		return false
	}
	first := slices.IndexFunc(g.i.Addrs, ofFamily(family))
	return first >= 0 && first == g.i.addrIndex(next[0].Addr.Addr())
}

// ofFamily reports whether an address is of the family that the words call inet or inet6.
func ofFamily(family string) func(netip.Prefix) bool {
	return func(p netip.Prefix) bool { return p.Addr().Is4() == (family == "inet") }
}

func (g *merge) delFirst(family string) Errno {
	return g.delAddr(slices.IndexFunc(g.i.Addrs, ofFamily(family)))
}

// delAddr removes the n-th address, with n below 0 none. With the last one the interface goes down (ip_carp.c: carp_addr_updated).
func (g *merge) delAddr(n int) Errno {
	if n < 0 {
		return EADDRNOTAVAIL
	}
	g.i.Addrs = slices.Delete(g.i.Addrs, n, n+1)
	if len(g.i.Addrs) == 0 {
		g.i.Up = false
	}
	return OK
}
