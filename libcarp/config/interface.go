package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Limits and defaults (OpenBSD: ip_carp.h, if.h).
const (
	VHIDMax        = 255
	AdvbaseMax     = 254
	AdvskewMax     = 254
	AdvbaseDefault = 1
	DescriptionMax = 63 // IFDESCRSIZE less the NUL
	NameMax        = 15 // IFNAMSIZ less the NUL
)

// A MAC is an Ethernet address.
type MAC [6]byte

// VirtualMAC is the address that the members of a virtual host share: 00:00:5e:00:01:VHID.
func VirtualMAC(vhid uint8) MAC { return MAC{0, 0, 0x5e, 0, 1, vhid} }

func (m MAC) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[x>>4], hex[x&15])
	}
	return string(b)
}

// ParseMAC reads six bytes of one or two hexadecimal digits each, with colons between them.
func ParseMAC(s string) (m MAC, err error) {
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return MAC{}, fmt.Errorf("%q is no link-level address", s)
	}
	for i, p := range parts {
		b, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) > 2 {
			return MAC{}, fmt.Errorf("%q is no link-level address", s)
		}
		m[i] = byte(b)
	}
	return m, nil
}

// IsMulticast reports whether a frame to m is for a group.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// LinkLocal returns the IPv6 link-local address that is made of m (RFC 4291, appendix A: modified EUI-64).
func (m MAC) LinkLocal() netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// A Node is one virtual host of an interface.
type Node struct {
	VHID    uint8 // 1..255; 0: not set yet
	Advskew uint8 // 0..254, in 1/256 s
}

// An Interface is what an administrator wants of one carp interface. The zero value is not valid; see [NewInterface].
type Interface struct {
	Name        string
	Order       int // when it was created, relative to others: listings by group keep this order
	Up          bool
	Description string // at most 63 bytes
	Carpdev     string // "": none yet
	Nodes       []Node // never empty
	Advbase     uint8  // 0..254 seconds, the same for all nodes
	Pass        Pass
	Peer        netip.Addr     // where IPv4 adverts go instead of 224.0.0.18; not valid: there
	Peer6       netip.Addr     // where IPv6 adverts go instead of ff02::12; not valid: there
	MAC         MAC            // the link-level address instead of the virtual MAC; zeros: that one
	Addrs       []netip.Prefix // the shared addresses with their masks, in the order in which they were added
	Groups      []string       // "carp" first, then in the order of joining
	Requests    []string       // ids of the last requests that were accepted, so that a retry does nothing twice
}

// NewInterface returns an interface as `create` leaves it.
func NewInterface(name string, order int) *Interface {
	return &Interface{Name: name, Order: order, Nodes: []Node{{}}, Advbase: AdvbaseDefault, Groups: []string{"carp"}}
}

// Clone returns a copy that shares nothing with i.
func (i *Interface) Clone() *Interface {
	c := *i
	c.Nodes = slices.Clone(i.Nodes)
	c.Addrs = slices.Clone(i.Addrs)
	c.Groups = slices.Clone(i.Groups)
	c.Requests = slices.Clone(i.Requests)
	return &c
}

// VHID returns the leader's vhid, 0 when there is none yet.
func (i *Interface) VHID() uint8 { return i.Nodes[0].VHID }

// Lladdr returns the link-level address: the one that was set, else the leader's virtual MAC once a vhid and a carpdev are known, zeros
// before.
func (i *Interface) Lladdr() MAC {
	switch {
	case i.MAC != MAC{}:
		return i.MAC
	case i.VHID() == 0 || i.Carpdev == "":
		return MAC{}
	}
	return VirtualMAC(i.VHID())
}

// HasVHID reports whether one of the nodes is vhid.
func (i *Interface) HasVHID(vhid uint8) bool {
	return vhid != 0 && slices.ContainsFunc(i.Nodes, func(n Node) bool { return n.VHID == vhid })
}

// addrIndex returns where addr stands in the list, -1 if it does not.
func (i *Interface) addrIndex(addr netip.Addr) int {
	return slices.IndexFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr })
}

// IsCarpName reports whether name can be a carp interface's: carp and a number without leading zeros.
func IsCarpName(name string) bool {
	_, ok := CarpUnit(name)
	return ok
}

// CarpUnit returns the number in the name of a carp interface.
func CarpUnit(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "carp")
	if !ok || len(name) > NameMax {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 32) // INT_MAX is the most on every system
	if err != nil || strconv.Itoa(int(n)) != digits || n < 0 {
		return 0, false
	}
	return int(n), true
}

// IsName reports whether s may name a group or a holder of a demotion: 1 to 15 of A-Z a-z 0-9 _ and -.
func IsName(s string) bool {
	if s == "" || len(s) > NameMax {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// A Link is what the host tells of one of its own interfaces: something that can be a carpdev.
type Link struct {
	Index     int
	Name      string
	AltNames  []string // by which a carpdev may be called, too
	MAC       MAC
	MTU       int
	Up        bool // administratively
	Running   bool // has a carrier, or does not know
	Ethernet  bool
	Multicast bool
	Loopback  bool
	Addrs     []netip.Prefix // in the kernel's order
}

// Named reports whether a name is the interface's, or an alternative one.
func (l *Link) Named(name string) bool { return l.Name == name || slices.Contains(l.AltNames, name) }

// Usable reports whether traffic can pass: up, and the carrier not known to be lost.
func (l *Link) Usable() bool { return l.Up && l.Running }

// HasAddr reports whether an address is the interface's own.
func (l *Link) HasAddr(a netip.Addr) bool {
	return slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr() == a })
}

// Equal reports whether two links say the same.
func (l *Link) Equal(m *Link) bool {
	return l.Index == m.Index && l.Name == m.Name && l.MAC == m.MAC && l.MTU == m.MTU && l.Up == m.Up && l.Running == m.Running &&
		l.Ethernet == m.Ethernet && l.Multicast == m.Multicast && l.Loopback == m.Loopback && slices.Equal(l.Addrs, m.Addrs) &&
		slices.Equal(l.AltNames, m.AltNames)
}
