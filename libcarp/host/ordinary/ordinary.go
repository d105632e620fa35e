// Package ordinary reads and changes the host's interfaces that are no carps, in the terms of OpenBSD's ifconfig(8): its flags, its classes of
// interfaces that can be created, its groups. Linux answers; on a BSD the system's own ifconfig does all that, and [Open] returns nil.
package ordinary

import (
	"net/netip"
	"slices"
	"strings"

	"carp/libcarp/config"
)

// Flags of an interface (OpenBSD, sys/net/if.h).
const (
	Up          = 0x1
	Broadcast   = 0x2
	Debug       = 0x4
	Loopback    = 0x8
	PointToPt   = 0x10
	Running     = 0x40
	NoARP       = 0x80
	Promisc     = 0x100
	AllMulti    = 0x200
	Simplex     = 0x800
	Multicast   = 0x8000
	flagsToHost = Up | NoARP // those that SetFlags takes
)

// A Carrier is what is known of an interface's link.
type Carrier int

// What can be known.
const (
	Unknown Carrier = iota
	Down
	Active
)

// Infinite is a lifetime without an end.
const Infinite = 1<<32 - 1

// An Interface is one of the host's.
type Interface struct {
	Name        string
	AltNames    []string // by which it is known, too
	Index       int
	Flags       int
	MTU         int
	Lladdr      config.MAC
	Ethernet    bool // it has an Lladdr
	Description string
	Class       string // lo, bridge, pair, tap, tun or vlan; "" of hardware and what OpenBSD does not have
	Joined      []string
	Egress      bool // a default route leads through it
	Carrier     Carrier
	Media       string // "autoselect (1000baseT full-duplex)"; "" where there is none
	Patch       string // the other end of a pair
	Parent      string // of a vlan
	VNetID      int
	Members     []string // of a bridge
	Addrs       []Addr
}

// An Addr is an address of an interface.
type Addr struct {
	netip.Prefix
	Dest      netip.Addr // the other end of a point-to-point link; Linux knows one on other links, too
	Broadcast netip.Addr
	Marks     []string // anycast, tentative and so on, in the order of ifconfig(8)
	Preferred uint32   // seconds, or Infinite
	Valid     uint32
}

// Groups are those that ifconfig(8) shows: of the class, egress, then those that were joined. The eth0 of a container is one end of a pair, and is called
// none.
func (i *Interface) Groups() []string {
	var groups []string
	if class, _ := Unit(i.Name); i.Class != "" && (i.Class != "pair" || class == i.Class) {
		groups = append(groups, i.Class)
	}
	if i.Egress {
		groups = append(groups, "egress")
	}
	for _, group := range i.Joined {
		if !slices.Contains(groups, group) { // a default route may have come since
			groups = append(groups, group)
		}
	}
	return groups
}

// Named reports whether a name is the interface's.
func (i *Interface) Named(name string) bool {
	return i.Name == name || slices.Contains(i.AltNames, name)
}

// An Options is what a class has to know when an interface is created.
type Options struct {
	Parent string // of a vlan
	VNetID int    // of a vlan, 1 to 4094
}

// A Host is one operating system. Names may be alternative ones. Errors carry a syscall.Errno, or a config.Errno where a BSD would give another
// number; config.ENXIO when there is no interface of the name.
type Host interface {
	// Interfaces returns all interfaces but carps, by index.
	Interfaces() ([]Interface, error)
	// Interface returns one.
	Interface(name string) (Interface, error)

	// Allowed reports whether this process may change anything.
	Allowed() bool

	// Classes returns what can be created, sorted.
	Classes() []string
	// Create makes an interface: the name is a class and a number.
	Create(name string, o Options) error
	// Destroy removes what Create can make.
	Destroy(name string) error

	// SetFlags sets some flags and clears others, of Up and NoARP.
	SetFlags(name string, set, clear int) error
	SetMTU(name string, mtu int) error
	SetLladdr(name string, mac config.MAC) error
	SetDescription(name, text string) error

	// Join and Leave are for groups that have no other meaning. Leave's error is config.ENOENT when the interface is not a member.
	Join(name, group string) error
	Leave(name, group string) error

	// AddAddr adds an address, or changes one that is there.
	AddAddr(name string, a Addr) error
	// DelAddr removes an address, whatever its length; the error is config.EADDRNOTAVAIL when there is none.
	DelAddr(name string, addr netip.Addr) error

	// Patch makes two pairs the ends of one; with peer "" it takes them apart.
	Patch(name, peer string) error
	// AddMember and DelMember are a bridge's.
	AddMember(bridge, member string) error
	DelMember(bridge, member string) error
}

// Unit splits the name of an interface that can be created into its class and its number.
func Unit(name string) (class string, ok bool) {
	class = strings.TrimRight(name, "0123456789")
	digits := name[len(class):]
	return class, class != "" && digits != "" && (digits == "0" || digits[0] != '0') && len(digits) < 9 && len(name) <= config.NameMax
}
