package ifconfig

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/statedir"
)

// What a carp interface has by default and cannot change yet.
const (
	priority = 15 // IF_CARP_DEFAULT_PRIORITY
	llprio   = 3  // IFQ_DEFPRIO
)

// printStatus prints an interface as ifconfig(8) does. A family leaves out the addresses of the other; primary leaves out
// the inet addresses after the first.
func printStatus(w io.Writer, s statedir.Status, family string, primary bool) {
	fmt.Fprintf(w, "%s: flags=%s mtu %d\n", s.Name, formatFlags(s), s.MTU)
	fmt.Fprintf(w, "\tlladdr %s\n", s.Lladdr)
	if s.Description != "" {
		fmt.Fprintf(w, "\tdescription: %s\n", s.Description)
	}
	fmt.Fprintf(w, "\tindex %d priority %d llprio %d\n", s.Index, priority, llprio)
	printCarp(w, s)
	if len(s.Groups) > 0 {
		fmt.Fprintf(w, "\tgroups: %s\n", strings.Join(s.Groups, " "))
	}
	fmt.Fprintf(w, "\tstatus: %s\n", s.Link())
	inets, sixes := 0, 0
	for _, a := range s.Addrs {
		switch {
		case a.Addr().Is4() && family != "inet6":
			if inets++; inets == 1 || !primary {
				printInet(w, a)
			}
		case a.Addr().Is6() && family != "inet":
			if sixes++; sixes == 1 {
				printLinkLocal(w, s)
			}
			printInet6(w, s, a)
		}
	}
}

func formatFlags(s statedir.Status) string {
	flags := ordinary.Broadcast | ordinary.Simplex | ordinary.Multicast
	if s.Up {
		flags |= ordinary.Up
	}
	if s.Running {
		flags |= ordinary.Running
	}
	return formatBits(flags)
}

// printCarp prints what is carp's own, once there is a vhid.
func printCarp(w io.Writer, s statedir.Status) {
	n := s.Nodes[0]
	if n.VHID == 0 {
		return
	}
	fmt.Fprintf(w, "\tcarp: %s carpdev %s vhid %d advbase %d advskew %d", n.State, orNone(s.Carpdev), n.VHID, s.Advbase, n.Advskew)
	if s.Peer.IsValid() {
		fmt.Fprintf(w, " carppeer %s", s.Peer)
	}
	if s.Peer6.IsValid() {
		fmt.Fprintf(w, " carppeer6 %s", s.Peer6)
	}
	fmt.Fprintln(w)
}

// printInet prints an IPv4 address. A subnet of one or two addresses has no broadcast address.
func printInet(w io.Writer, a netip.Prefix) {
	mask := ^uint32(0) << (32 - a.Bits())
	fmt.Fprintf(w, "\tinet %s netmask 0x%x", a.Addr(), mask)
	if a.Bits() < 31 {
		fmt.Fprintf(w, " broadcast %s", addrOf(bitsOf(a.Addr())|^mask))
	}
	fmt.Fprintln(w)
}

// printLinkLocal prints the address that a carp with IPv6 has by its link-level address, unless it is also one of the shared ones.
func printLinkLocal(w io.Writer, s statedir.Status) {
	addr := s.Lladdr.LinkLocal()
	if s.LinkLocal.IsValid() {
		addr = s.LinkLocal
	}
	shared := slices.ContainsFunc(s.Addrs, func(a netip.Prefix) bool { return a.Addr() == addr })
	if s.Lladdr != (config.MAC{}) && !shared {
		printInet6(w, s, netip.PrefixFrom(addr, 64))
	}
}

// printInet6 prints an IPv6 address, with the interface that a link-local one belongs to.
func printInet6(w io.Writer, s statedir.Status, a netip.Prefix) {
	if a.Addr().IsLinkLocalUnicast() {
		fmt.Fprintf(w, "\tinet6 %s%%%s prefixlen %d", a.Addr(), s.Name, a.Bits())
		if s.Index != 0 { // the number of the scope
			fmt.Fprintf(w, " scopeid 0x%x", s.Index)
		}
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "\tinet6 %s prefixlen %d\n", a.Addr(), a.Bits())
}
