//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"carp/libcarp/host"
	"carp/libcarp/wire"
)

// groupsOf returns the groups that a carp needs its carpdev to be a member of: those of the adverts, of the families that it has addresses of unless their
// peers are unicast, and the solicited-node groups of its IPv6 addresses, so that a switch that snoops forwards a solicitation at once to whoever has
// just become master.
func groupsOf(c host.Carp) (groups []netip.Addr) {
	for _, group := range []netip.Addr{wire.GroupIPv4, wire.GroupIPv6} {
		same := func(a netip.Addr) bool { return a.Is4() == group.Is4() }
		if n := slices.IndexFunc(c.Peers, same); n >= 0 {
			group = c.Peers[n]
		}
		if group.IsMulticast() && slices.ContainsFunc(c.Addrs, func(p netip.Prefix) bool { return same(p.Addr()) }) {
			groups = append(groups, group)
		}
	}
	for _, p := range linkAddrs(c) {
		if a := p.Addr(); a.Is6() && !slices.Contains(groups, solicitedNode(a)) {
			groups = append(groups, solicitedNode(a))
		}
	}
	return groups
}

// solicitedNode returns the group to which solicitations for an address go (RFC 4291, section 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	a := addr.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]})
}

// members holds the memberships of a carpdev, on ordinary sockets: a packet socket's membership makes the card listen but sends no report, and a switch
// that snoops wants to hear IGMP and MLD. A carpdev's carps share them.
type members struct {
	ifi  *net.Interface
	held map[netip.Addr]*membership
	v4   *ipv4.PacketConn
	v6   []*ipv6.PacketConn // what one socket can hold is limited (net.core.optmem_max)
}

type membership struct {
	carps int
	v6    *ipv6.PacketConn // the socket of an IPv6 group
}

func newMembers(ifi *net.Interface) *members {
	return &members{ifi: ifi, held: map[netip.Addr]*membership{}}
}

// change makes a carp, which is counted in old, a member of now instead, and returns where it is counted then. It joins before it leaves.
func (m *members) change(old, now []netip.Addr) (held []netip.Addr, err error) {
	for _, g := range now {
		if !slices.Contains(old, g) {
			if e := m.join(g); e != nil {
				err = errors.Join(err, e)
				continue
			}
		}
		held = append(held, g)
	}
	for _, g := range old {
		if !slices.Contains(now, g) {
			m.leave(g)
		}
	}
	return held, err
}

func (m *members) join(group netip.Addr) error {
	if s := m.held[group]; s != nil {
		s.carps++
		return nil
	}
	s, err := &membership{carps: 1}, error(nil)
	if group.Is4() {
		err = m.join4(group)
	} else {
		s.v6, err = m.join6(group)
	}
	if err != nil {
		return fmt.Errorf("failed to join %s on %s: %w", group, m.ifi.Name, err)
	}
	m.held[group] = s
	return nil
}

func (m *members) join4(group netip.Addr) error {
	if m.v4 == nil {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: group.AsSlice()}) // bound to a group it receives nothing else
		if err != nil {
			return err
		}
		m.v4 = ipv4.NewPacketConn(c)
	}
	return m.v4.JoinGroup(m.ifi, &net.UDPAddr{IP: group.AsSlice()})
}

func (m *members) join6(group netip.Addr) (*ipv6.PacketConn, error) {
	to := &net.UDPAddr{IP: group.AsSlice()}
	if n := len(m.v6); n > 0 {
		if err := m.v6[n-1].JoinGroup(m.ifi, to); !errors.Is(err, syscall.ENOMEM) && !errors.Is(err, syscall.ENOBUFS) {
			return m.v6[n-1], err
		}
	}
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: to.IP, Zone: m.ifi.Name})
	if err != nil {
		return nil, err
	}
	p := ipv6.NewPacketConn(c)
	m.v6 = append(m.v6, p)
	return p, p.JoinGroup(m.ifi, to)
}

func (m *members) leave(group netip.Addr) {
	s, to := m.held[group], &net.UDPAddr{IP: group.AsSlice()}
	if s.carps--; s.carps > 0 {
		return
	}
	delete(m.held, group)
	// An error says that the membership went with the interface.
	if group.Is4() {
		m.v4.LeaveGroup(m.ifi, to)
	} else {
		s.v6.LeaveGroup(m.ifi, to)
	}
}

func (m *members) close() {
	if m.v4 != nil {
		m.v4.Close()
	}
	for _, c := range m.v6 {
		c.Close()
	}
}
