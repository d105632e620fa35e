package ordinary

import (
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// defaultRoutes returns the interfaces that a default route of the main table leads through, of either family. The kernel tells the lowest IPv4
// destination first, so that of a million routes only the first few are read.
func defaultRoutes() map[int]bool {
	egress := map[int]bool{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		firstRoutes(family, egress)
	}
	return egress
}

// firstRoutes adds what it finds, for IPv4 before the first route that can be none of the defaults. What cannot be read is left out: it is for display alone.
func firstRoutes(family int, egress map[int]bool) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	defer s.Close()
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family), Table: unix.RT_TABLE_MAIN}})
	req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(unix.RT_TABLE_MAIN)))
	if s.Send(req) != nil {
		return
	}
	for {
		msgs, _, err := s.Receive()
		if err != nil {
			return
		}
		for _, m := range msgs {
			if m.Header.Type != unix.RTM_NEWROUTE {
				return
			}
			r := nl.DeserializeRtMsg(m.Data)
			if r.Table != unix.RT_TABLE_MAIN || r.Type != unix.RTN_UNICAST {
				continue
			}
			attrs, err := nl.ParseRouteAttr(m.Data[r.Len():])
			if err != nil {
				return
			}
			if r.Dst_len != 0 {
				if family == unix.AF_INET && beyondZero(attrs) {
					return
				}
				continue
			}
			for _, a := range attrs {
				switch a.Attr.Type {
				case unix.RTA_OIF:
					egress[int(nl.NativeEndian().Uint32(a.Value))] = true
				case unix.RTA_MULTIPATH:
					hops(a.Value, egress)
				}
			}
		}
	}
}

// beyondZero reports whether a route's destination is greater than 0.0.0.0: the kernel tells them in the order of their first addresses.
func beyondZero(attrs []syscall.NetlinkRouteAttr) bool {
	for _, a := range attrs {
		if a.Attr.Type == unix.RTA_DST {
			return slices.ContainsFunc(a.Value, func(b byte) bool { return b != 0 })
		}
	}
	return false
}

// hops reads the interfaces of a route with several next hops.
func hops(b []byte, egress map[int]bool) {
	for len(b) >= unix.SizeofRtNexthop {
		hop := nl.DeserializeRtNexthop(b)
		egress[int(hop.RtNexthop.Ifindex)] = true
		length := (int(hop.RtNexthop.Len) + 3) &^ 3
		if length < unix.SizeofRtNexthop || length > len(b) {
			return
		}
		b = b[length:]
	}
}
