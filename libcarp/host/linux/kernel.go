//go:build linux

package linux

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A kernel is a netlink socket for what the netlink package cannot say, or says on a socket that it opens for each thing. Where there are no more
// descriptors, a host has to take over and give way with those that it has. The zero value opens one for each thing too.
type kernel struct {
	sockets map[int]*nl.SocketHandle
}

func openKernel() (kernel, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE) // to nothing
	if err != nil {
		return kernel{}, fmt.Errorf("failed to open netlink: %w", err)
	}
	return kernel{map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (k kernel) close() {
	for _, h := range k.sockets {
		h.Close()
	}
}

func (k kernel) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = k.sockets
	return req
}

// setUp takes a link up or down.
func (k kernel) setUp(index int, up bool) error {
	req := k.request(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index, msg.Change = int32(index), unix.IFF_UP
	if up {
		msg.Flags = unix.IFF_UP
	}
	req.AddData(msg)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// protodown takes a link's carrier away, or gives it back.
func (k kernel) protodown(index int, on bool) error {
	req := k.request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	value := []byte{0}
	if on {
		value[0] = 1
	}
	req.AddData(nl.NewRtAttr(unix.IFLA_PROTO_DOWN, value))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("protodown: %w", err)
	}
	return nil
}

// addIPv6 speaks to the kernel itself: the netlink package cannot say "valid for ever, preferred no longer" where an int has 32 bits.
func (k kernel) addIPv6(index int, p netip.Prefix) error {
	const forever = 1<<32 - 1
	flags, life := uint32(unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE), unix.IfaCacheinfo{Valid: forever}
	if p.Addr().IsLinkLocalUnicast() {
		flags, life.Prefered = unix.IFA_F_NODAD, forever
	}
	req := k.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(unix.AF_INET6)
	msg.Index, msg.Prefixlen = uint32(index), uint8(p.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags)))
	req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, (&nl.IfaCacheInfo{IfaCacheinfo: life}).Serialize()))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// getLinks asks for the state of one interface, 0: of all.
func (k kernel) getLinks(index int, f func(linkState)) error {
	flags := unix.NLM_F_DUMP
	if index != 0 {
		flags = 0
	}
	req := k.request(unix.RTM_GETLINK, flags)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextSkipStats)))
	return req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, func(m []byte) bool {
		if s, err := parseLink(m); err == nil {
			f(s)
		}
		return true
	})
}
