package ordinary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// Elsewhere is true where the system's own ifconfig is OpenBSD's or near to it.
const Elsewhere = false

// Open returns the interfaces of our network namespace.
func Open() Host { return linux{} }

type linux struct{}

// kinds are Linux's names of what OpenBSD calls its classes.
var kinds = map[string]string{"bridge": "bridge", "veth": "pair", "vlan": "vlan", "tuntap": "tun"}

// unpatched begins the alias of the hidden end of a pair that was not patched: Linux makes both ends at once.
const unpatched = "unpatched "

// joinedPrefix begins the alternative name that says that an interface is in a group: ifgroup.NAME.INDEX. So a group is where an OpenBSD kernel
// keeps it: with the interface, in the kernel, until one of the two goes. The link group of ip-link(8) is one number for each interface.
const joinedPrefix = "ifgroup."

func (linux) Interfaces() ([]Interface, error) {
	links, err := again(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	egress := defaultRoutes()
	all := []Interface{}
	for _, l := range links {
		if hidden(l) {
			continue
		}
		i := describe(l, names, egress)
		for _, a := range addrs {
			if a.LinkIndex == i.Index {
				i.addAddr(a)
			}
		}
		for _, m := range links {
			if m.Attrs().MasterIndex == i.Index && i.Class == "bridge" {
				i.Members = append(i.Members, m.Attrs().Name)
			}
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Interface) int { return a.Index - b.Index })
	return all, nil
}

func (h linux) Interface(name string) (Interface, error) {
	l, err := find(name)
	if err != nil || l.Type() == "bridge" { // whose members only the whole list tells
		return h.among(name, err)
	}
	a := l.Attrs()
	names := map[int]string{}
	for _, index := range []int{a.ParentIndex, a.MasterIndex} {
		if other, err := netlink.LinkByIndex(index); index > 0 && err == nil {
			names[index] = other.Attrs().Name
		}
	}
	i := describe(l, names, defaultRoutes())
	addrs, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
	for _, a := range addrs {
		i.addAddr(a)
	}
	return i, err
}

func (h linux) among(name string, err error) (Interface, error) {
	if err != nil {
		return Interface{}, err
	}
	all, err := h.Interfaces()
	for _, i := range all {
		if i.Named(name) {
			return i, nil
		}
	}
	return Interface{}, errors.Join(err, config.ENXIO)
}

// find returns the link of a name, not a carp's.
func find(name string) (netlink.Link, error) {
	if name == "" || strings.HasPrefix(name, joinedPrefix) {
		return nil, config.ENXIO
	}
	l, err := netlink.LinkByName(name)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ERANGE):
		return nil, config.ENXIO
	case err != nil:
		return nil, err
	case hidden(l):
		return nil, config.ENXIO
	}
	return l, nil
}

// hidden reports whether a link is shown by nobody here: a carp's is, by who made it, and the loose end of a pair is none of OpenBSD's.
func hidden(l netlink.Link) bool {
	a := l.Attrs()
	return config.IsCarpName(a.Name) && l.Type() == "macvlan" || l.Type() == "veth" && strings.HasPrefix(a.Alias, unpatched)
}

// flags are Linux's with OpenBSD's for them.
var flags = []struct{ linux, openbsd int }{
	{unix.IFF_UP, Up | Running}, // RUNNING does not depend on the carrier there
	{unix.IFF_BROADCAST, Broadcast}, {unix.IFF_DEBUG, Debug}, {unix.IFF_LOOPBACK, Loopback}, {unix.IFF_POINTOPOINT, PointToPt},
	{unix.IFF_NOARP, NoARP}, {unix.IFF_PROMISC, Promisc}, {unix.IFF_ALLMULTI, AllMulti}, {unix.IFF_MULTICAST, Multicast},
}

// describe says all of a link that is not its addresses and members. names are those of other links, by index.
func describe(l netlink.Link, names map[int]string, egress map[int]bool) Interface {
	a := l.Attrs()
	i := Interface{Name: a.Name, Index: a.Index, MTU: a.MTU, Egress: egress[a.Index], Description: a.Alias}
	for _, f := range flags {
		if a.RawFlags&uint32(f.linux) != 0 {
			i.Flags |= f.openbsd
		}
	}
	for _, name := range a.AltNames {
		if group, ok := groupOf(name, a.Index); ok {
			i.Joined = append(i.Joined, group)
			continue
		}
		i.AltNames = append(i.AltNames, name)
	}
	loop := a.Flags&net.FlagLoopback != 0
	if i.Ethernet = a.EncapType == "ether" && !loop; i.Ethernet {
		copy(i.Lladdr[:], a.HardwareAddr)
		i.Flags |= Simplex
		i.Carrier = Down
		if a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 {
			i.Carrier = Active
		}
		i.Media = media(a.Name)
	}
	i.Class = kinds[l.Type()]
	switch t := l.(type) {
	case *netlink.Tuntap:
		if t.Mode == unix.IFF_TAP {
			i.Class = "tap"
		}
	case *netlink.Vlan:
		i.VNetID, i.Parent = t.VlanId, names[a.ParentIndex]
	case *netlink.Veth:
		if a.NetNsID < 0 { // else the other end is in another namespace
			i.Patch = names[a.ParentIndex]
		}
		if class, _ := Unit(a.Name); class != "pair" || strings.HasPrefix(i.Patch, hiddenName) {
			i.Patch = ""
		}
	}
	if loop {
		i.Class = "lo"
	}
	return i
}

// groupOf reads an alternative name that Join has made.
func groupOf(name string, index int) (group string, ok bool) {
	group, ok = strings.CutPrefix(name, joinedPrefix)
	group, mine := strings.CutSuffix(group, "."+strconv.Itoa(index))
	return group, ok && mine
}

// marks are the flags of an IPv6 address that ifconfig(8) names, in its order.
var marks = []struct {
	bit  int
	name string
}{
	{unix.IFA_F_TENTATIVE, "tentative"}, {unix.IFA_F_DADFAILED, "duplicated"}, {unix.IFA_F_DEPRECATED, "deprecated"},
	{unix.IFA_F_MANAGETEMPADDR, "autoconf"}, {unix.IFA_F_TEMPORARY, "temporary"},
}

// marksOf names the flags of an IPv6 address.
func marksOf(flags int) (names []string) {
	if flags&unix.IFA_F_DADFAILED != 0 { // on OpenBSD it is one or the other
		flags &^= unix.IFA_F_TENTATIVE
	}
	if flags&unix.IFA_F_TEMPORARY != 0 { // such a one always comes of autoconf
		flags |= unix.IFA_F_MANAGETEMPADDR
	}
	for _, m := range marks {
		if flags&m.bit != 0 {
			names = append(names, m.name)
		}
	}
	return names
}

func (i *Interface) addAddr(a netlink.Addr) {
	ip, ok := netip.AddrFromSlice(a.IP)
	mask := a.Mask
	if !ok {
		return
	}
	var dest netip.Addr
	if a.Peer != nil { // the mask is the peer's
		dest, _ = netip.AddrFromSlice(a.Peer.IP)
		mask = a.Peer.Mask
	}
	length, _ := mask.Size()
	addr := Addr{Dest: dest, Prefix: netip.PrefixFrom(ip, length), Preferred: uint32(a.PreferedLft), Valid: uint32(a.ValidLft)}
	if b, ok := netip.AddrFromSlice(a.Broadcast); ok && ip.Is4() {
		addr.Broadcast = b.Unmap()
	}
	if ip.Is6() {
		addr.Marks = marksOf(a.Flags)
	}
	// OpenBSD has them in the order in which they were added, the link-local one before the others; Linux has the IPv6 ones the other way round.
	at := slices.IndexFunc(i.Addrs, func(b Addr) bool { return rank(b.Addr()) > rank(ip) || rank(b.Addr()) == rank(ip) && ip.Is6() })
	if at < 0 {
		at = len(i.Addrs)
	}
	i.Addrs = slices.Insert(i.Addrs, at, addr)
}

func rank(a netip.Addr) int {
	switch {
	case a.Is4():
		return 0
	case a.IsLinkLocalUnicast():
		return 1
	}
	return 2
}

// again asks until the kernel was not interrupted while it answered.
func again[T any](list func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// Allowed asks for what root has, or was given.
func (linux) Allowed() bool {
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// Classes asks the kernel for each kind in a way that makes nothing: with an address of five bytes, which every kind refuses that is there. Only root
// may ask; others see them all.
func (linux) Classes() []string {
	var classes []string
	for _, class := range []string{"bridge", "pair", "tap", "vlan"} {
		_, noTun := os.Stat("/dev/net/tun")
		if class == "tap" && noTun == nil || class != "tap" && canCreate(class) {
			classes = append(classes, class)
		}
	}
	return classes
}

func canCreate(class string) bool {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = "carp-probe", net.HardwareAddr{2, 0, 0, 0, 0}
	return !errors.Is(add(class, attrs, Options{Parent: "", VNetID: 1}, "carp-probe2"), syscall.EOPNOTSUPP)
}

// hiddenName begins the name of the loose end of a pair.
const hiddenName = "loose-"

// add makes a link.
func add(class string, attrs netlink.LinkAttrs, o Options, peer string) error {
	switch class {
	case "bridge":
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	case "pair":
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer})
	case "tap":
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS})
	case "vlan":
		return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: o.VNetID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	}
	return config.EINVAL
}

func (h linux) Create(name string, o Options) error {
	if _, err := find(name); err == nil {
		return config.EEXIST
	}
	class, ok := Unit(name)
	if !ok || !slices.Contains([]string{"bridge", "pair", "tap", "vlan"}, class) {
		return config.EINVAL
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if class == "vlan" {
		parent, err := find(o.Parent)
		if err != nil || o.VNetID < 1 || o.VNetID > 4094 {
			return config.EINVAL
		}
		attrs.ParentIndex = parent.Attrs().Index
	}
	loose := hiddenName + strings.TrimPrefix(name, "pair")
	err := add(class, attrs, o, loose)
	if err != nil || class != "pair" {
		return err
	}
	end, err := netlink.LinkByName(loose)
	if err == nil {
		err = netlink.LinkSetAlias(end, unpatched+name)
	}
	return err
}

// Destroy leaves alone what is not of its name's class: the eth0 of a container is one end of a pair, too.
func (linux) Destroy(name string) error {
	l, err := find(name)
	if err != nil {
		return err
	}
	class, ok := Unit(l.Attrs().Name)
	if i := describe(l, nil, nil); !ok || i.Class != class || class == "lo" {
		return config.EINVAL
	}
	return netlink.LinkDel(l)
}

func (linux) SetFlags(name string, set, clear int) error {
	l, err := find(name)
	if err != nil {
		return err
	}
	if (set|clear)&^flagsToHost != 0 {
		return config.EINVAL
	}
	switch {
	case set&NoARP != 0:
		err = netlink.LinkSetARPOff(l)
	case clear&NoARP != 0:
		err = netlink.LinkSetARPOn(l)
	}
	switch {
	case err != nil:
	case set&Up != 0:
		err = netlink.LinkSetUp(l)
	case clear&Up != 0:
		err = netlink.LinkSetDown(l)
	}
	return err
}

func (linux) SetMTU(name string, mtu int) error {
	return with(name, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
}

func (linux) SetLladdr(name string, mac config.MAC) error {
	return with(name, func(l netlink.Link) error {
		err := netlink.LinkSetHardwareAddr(l, mac[:])
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
		// The driver wants it down, which is nothing that an OpenBSD user would think of.
		if err := netlink.LinkSetDown(l); err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetHardwareAddr(l, mac[:]), netlink.LinkSetUp(l))
	})
}

func (linux) SetDescription(name, text string) error {
	return with(name, func(l netlink.Link) error { return netlink.LinkSetAlias(l, text) })
}

func with(name string, do func(netlink.Link) error) error {
	l, err := find(name)
	if err != nil {
		return err
	}
	return do(l)
}

func (linux) Join(name, group string) error {
	return with(name, func(l netlink.Link) error {
		i := describe(l, nil, defaultRoutes())
		if group == "all" || slices.Contains(i.Groups(), group) {
			return nil
		}
		return netlink.LinkAddAltName(l, fmt.Sprintf("%s%s.%d", joinedPrefix, group, i.Index))
	})
}

func (linux) Leave(name, group string) error {
	return with(name, func(l netlink.Link) error {
		i := describe(l, nil, nil)
		if !slices.Contains(i.Joined, group) {
			return config.ENOENT
		}
		return netlink.LinkDelAltName(l, fmt.Sprintf("%s%s.%d", joinedPrefix, group, i.Index))
	})
}

func (h linux) AddAddr(name string, a Addr) error {
	i, err := h.Interface(name)
	if err != nil {
		return err
	}
	l, err := find(name)
	if err != nil {
		return err
	}
	for _, b := range i.Addrs { // Linux would have the address twice, or leave it as it is
		if b.Addr() == a.Addr() && (b.Bits() != a.Bits() || b.Dest != a.Dest || otherBroadcast(a, b)) {
			if err := remove(l, netlinkAddr(b)); err != nil {
				return err
			}
		}
	}
	n := netlinkAddr(a)
	n.PreferedLft, n.ValidLft = int(a.Preferred), int(a.Valid)
	if a.Broadcast.IsValid() {
		n.Broadcast = net.IP(a.Broadcast.AsSlice())
	}
	return netlink.AddrReplace(l, n)
}

// otherBroadcast reports whether two addresses, alike but for that, have different broadcast addresses. The one that follows from the mask works without
// being named.
func otherBroadcast(a, b Addr) bool {
	last := func(a Addr) netip.Addr {
		if a.Broadcast.IsValid() || a.Addr().Is6() {
			return a.Broadcast
		}
		addr := a.Addr().As4()
		binary.BigEndian.PutUint32(addr[:], binary.BigEndian.Uint32(addr[:])|^uint32(0)>>a.Bits())
		return netip.AddrFrom4(addr)
	}
	return last(a) != last(b)
}

func (h linux) DelAddr(name string, addr netip.Addr) error {
	i, err := h.Interface(name)
	if err != nil {
		return err
	}
	for _, a := range i.Addrs {
		if a.Addr() == addr {
			return with(name, func(l netlink.Link) error { return remove(l, netlinkAddr(a)) })
		}
	}
	return config.EADDRNOTAVAIL
}

// remove removes an address, and puts back as they were those that Linux takes away with it: the later ones of its subnet.
func remove(l netlink.Link, n *netlink.Addr) error {
	list := func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_V4) }
	had, err := again(list)
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(l, n); err != nil {
		return err
	}
	left, err := again(list)
	if err != nil {
		return err
	}
	for _, a := range had {
		gone := !slices.ContainsFunc(left, func(b netlink.Addr) bool { return b.IP.Equal(a.IP) })
		if gone && !a.IP.Equal(n.IP) {
			if err := netlink.AddrReplace(l, &a); err != nil {
				return err
			}
		}
	}
	return nil
}

// netlinkAddr is what tells an address from others. A mask goes with the other end, where there is one.
func netlinkAddr(a Addr) *netlink.Addr {
	n := &netlink.Addr{IPNet: ipNet(a.Prefix)}
	if a.Dest.IsValid() && a.Dest != a.Addr() {
		n.Peer = ipNet(netip.PrefixFrom(a.Dest, a.Bits()))
	}
	return n
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (linux) AddMember(bridge, member string) error {
	return with(bridge, func(b netlink.Link) error {
		if b.Type() != "bridge" {
			return config.ENOTTY
		}
		return memberErr(with(member, func(m netlink.Link) error {
			if m.Attrs().MasterIndex == b.Attrs().Index {
				return nil
			}
			return netlink.LinkSetMaster(m, b)
		}))
	})
}

func (linux) DelMember(bridge, member string) error {
	return with(bridge, func(b netlink.Link) error {
		if b.Type() != "bridge" {
			return config.ENOTTY
		}
		return memberErr(with(member, func(m netlink.Link) error {
			if m.Attrs().MasterIndex != b.Attrs().Index {
				return config.ENOENT
			}
			return netlink.LinkSetNoMaster(m)
		}))
	})
}

// memberErr is OpenBSD's number for a member that is not there (if_bridge.c).
func memberErr(err error) error {
	if errors.Is(err, config.ENXIO) {
		return config.ENOENT
	}
	return err
}
