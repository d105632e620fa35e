package ifconfig

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/statedir"
)

// parseJSON reads -j and a command line that shows something. The manual describes what is printed, and that it is stable.
func parseJSON(args []string, c *libcarp.Conn, host ordinary.Host) (own, error) {
	if len(args) == 4 && args[1] == "-g" && args[3] == "-v" { // it has the holders anyway
		args = args[:3]
	}
	cmd := Parse(args[1:], noNames{}, c, host)
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	switch cmd.Mode {
	case Show:
		return func(p *program, _ *libcarp.Conn) error { return p.showJSON(cmd) }, nil
	case Owner:
		return func(p *program, _ *libcarp.Conn) error { return p.ownerJSON(cmd.Lladdr) }, nil
	case Cloners:
		return func(p *program, _ *libcarp.Conn) error { return p.printJSON(p.classes()) }, nil
	case ShowGroup:
		return func(p *program, c *libcarp.Conn) error { return p.groupJSON(c, cmd.Name) }, nil
	}
	return nil, errors.New("-j: shows, and changes nothing")
}

// noNames knows nobody: what shows something asks for none.
type noNames struct{}

func (noNames) Host(string, string) (netip.Addr, error) { return netip.Addr{}, config.ENOENT }
func (noNames) Index(string) int                        { return 0 }

// printJSON prints a value in one line.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// What is printed of an interface. Members without a value are left out, except those that are always there in the display.
type interfaceJSON struct {
	Name        string      `json:"name"`
	Flags       []string    `json:"flags"`
	MTU         int         `json:"mtu"`
	Lladdr      string      `json:"lladdr,omitempty"`
	Description string      `json:"description,omitempty"`
	Index       int         `json:"index"`
	Priority    int         `json:"priority"`
	Llprio      int         `json:"llprio"`
	Carp        *carpJSON   `json:"carp,omitempty"`
	Parent      string      `json:"parent,omitempty"`
	VNetID      int         `json:"vnetid,omitempty"`
	Patch       string      `json:"patch,omitempty"`
	Members     []string    `json:"members,omitempty"`
	Groups      []string    `json:"groups"`
	Media       string      `json:"media,omitempty"`
	Status      string      `json:"status,omitempty"`
	Inet        []inetJSON  `json:"inet"`
	Inet6       []inet6JSON `json:"inet6"`
}

type carpJSON struct {
	State     string     `json:"state"`
	Carpdev   string     `json:"carpdev,omitempty"`
	Advbase   int        `json:"advbase"`
	Nodes     []nodeJSON `json:"nodes"`
	Carppeer  string     `json:"carppeer,omitempty"`
	Carppeer6 string     `json:"carppeer6,omitempty"`
	Peers     []peerJSON `json:"peers"`
	Since     string     `json:"since,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

type nodeJSON struct {
	State   string `json:"state"`
	VHID    int    `json:"vhid"`
	Advskew int    `json:"advskew"`
}

type peerJSON struct {
	Address string `json:"address"`
	Advbase int    `json:"advbase"`
	Advskew int    `json:"advskew"`
	Demote  int    `json:"demote"`
}

type inetJSON struct {
	Address   string `json:"address"`
	Prefixlen int    `json:"prefixlen"`
	Dest      string `json:"dest,omitempty"`
	Broadcast string `json:"broadcast,omitempty"`
}

type inet6JSON struct {
	Address   string   `json:"address"`
	Prefixlen int      `json:"prefixlen"`
	Dest      string   `json:"dest,omitempty"`
	Marks     []string `json:"marks,omitempty"`
}

func (p *program) showJSON(cmd Command) error {
	found, remark, err := p.find(cmd)
	p.remark(remark)
	switch {
	case errors.Is(err, config.ENXIO):
		return noInterface(cmd.Name)
	case err != nil:
		return err
	}
	all := []interfaceJSON{}
	for _, s := range found {
		if s.own != nil {
			all = append(all, ordinaryJSON(s.own))
			continue
		}
		all = append(all, carpInterfaceJSON(s.carp))
	}
	return p.printJSON(all)
}

// flagsOf takes the names out of a display's flags=8843<UP,...>.
func flagsOf(display string) []string {
	_, names, _ := strings.Cut(strings.TrimSuffix(display, ">"), "<")
	if names == "" {
		return []string{}
	}
	return strings.Split(names, ",")
}

func carpInterfaceJSON(s *statedir.Status) interfaceJSON {
	i := interfaceJSON{
		Name: s.Name, Flags: flagsOf(formatFlags(*s)), MTU: s.MTU, Lladdr: s.Lladdr.String(), Description: s.Description, Index: s.Index,
		Priority: priority, Llprio: llprio, Groups: orEmpty(s.Groups), Status: s.Link(), Inet: []inetJSON{}, Inet6: []inet6JSON{},
	}
	c := &carpJSON{State: s.State(), Carpdev: s.Carpdev, Advbase: s.Advbase, Reason: s.Reason, Nodes: []nodeJSON{}, Peers: []peerJSON{}}
	for _, n := range s.Nodes {
		c.Nodes = append(c.Nodes, nodeJSON(n))
	}
	for _, h := range s.Heard {
		c.Peers = append(c.Peers, peerJSON{h.Addr.String(), h.Advbase, h.Advskew, h.Demote})
	}
	if s.Peer.IsValid() {
		c.Carppeer = s.Peer.String()
	}
	if s.Peer6.IsValid() {
		c.Carppeer6 = s.Peer6.String()
	}
	if !s.Since.IsZero() {
		c.Since = formatTime(s.Since)
	}
	i.Carp = c
	for _, a := range s.Addrs {
		switch {
		case a.Addr().Is6():
			i.Inet6 = append(i.Inet6, inet6JSON{Address: a.Addr().String(), Prefixlen: a.Bits()})
		case a.Bits() < 31:
			broadcast := addrOf(bitsOf(a.Addr()) | ^(^uint32(0) << (32 - a.Bits())))
			i.Inet = append(i.Inet, inetJSON{Address: a.Addr().String(), Prefixlen: a.Bits(), Broadcast: broadcast.String()})
		default:
			i.Inet = append(i.Inet, inetJSON{Address: a.Addr().String(), Prefixlen: a.Bits()})
		}
	}
	return i
}

func ordinaryJSON(o *ordinary.Interface) interfaceJSON {
	i := interfaceJSON{
		Name: o.Name, Flags: flagsOf(formatBits(o.Flags)), MTU: o.MTU, Description: o.Description, Index: o.Index, Llprio: llprio,
		Parent: o.Parent, VNetID: o.VNetID, Patch: o.Patch, Members: o.Members, Groups: orEmpty(o.Groups()), Media: o.Media,
		Inet: []inetJSON{}, Inet6: []inet6JSON{},
	}
	if o.Ethernet {
		i.Lladdr = o.Lladdr.String()
	}
	switch o.Carrier {
	case ordinary.Active:
		i.Status = "active"
	case ordinary.Down:
		i.Status = "no carrier"
	}
	text := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	for _, a := range o.Addrs {
		if o.Flags&ordinary.PointToPt == 0 {
			a.Dest = netip.Addr{}
		}
		if a.Addr().Is6() {
			i.Inet6 = append(i.Inet6, inet6JSON{a.Addr().String(), a.Bits(), text(a.Dest), a.Marks})
			continue
		}
		i.Inet = append(i.Inet, inetJSON{a.Addr().String(), a.Bits(), text(a.Dest), text(a.Broadcast)})
	}
	return i
}

// orEmpty makes an empty array of what would be null.
func orEmpty(words []string) []string { return append([]string{}, words...) }

// ownerJSON prints the names of all interfaces with a link-level address.
func (p *program) ownerJSON(lladdr string) error {
	all, remark, err := p.all()
	if err != nil {
		return err
	}
	p.remark(remark)
	names := []string{}
	for _, s := range all {
		if s.lladdr == lladdr {
			names = append(names, s.name)
		}
	}
	return p.printJSON(names)
}

func (p *program) groupJSON(c *libcarp.Conn, group string) error {
	n, err := p.demotion(group)
	if err != nil {
		return err
	}
	holders, _, err := c.Holders()
	if err != nil {
		return err
	}
	held := holders[group]
	if held == nil {
		held = map[string]int{}
	}
	return p.printJSON(struct {
		Name    string         `json:"name"`
		Demote  int            `json:"demote"`
		Holders map[string]int `json:"holders"`
	}{group, n, held})
}

// classes are the kinds of interfaces that can be created, sorted.
func (p *program) classes() []string {
	classes := []string{"carp"}
	if p.host != nil {
		classes = append(classes, p.host.Classes()...)
	}
	slices.Sort(classes)
	return classes
}
