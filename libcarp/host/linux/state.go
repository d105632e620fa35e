//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// rtextSkipStats leaves an interface's counters out (linux/rtnetlink.h: RTEXT_FILTER_SKIP_STATS).
const rtextSkipStats = 1 << 3

// A linkState is what the kernel says of an interface in one message: also every sysctl of it, which costs less than to read one of their files.
type linkState struct {
	index     int
	flags     uint32
	name      string
	mac       config.MAC
	protodown bool
	mode      uint32   // of a macvlan
	conf      [2][]int // /proc/sys/net/ipv4/conf and ipv6/conf, as the kernel numbers them; what it does not tell is not there
}

// parseLink reads an RTM_NEWLINK or RTM_DELLINK, without its header.
func parseLink(msg []byte) (s linkState, err error) {
	if len(msg) < unix.SizeofIfInfomsg {
		return s, fmt.Errorf("a link in %d bytes", len(msg))
	}
	info := nl.DeserializeIfInfomsg(msg)
	s.index, s.flags = int(info.Index), info.Flags
	attrs, err := nl.ParseRouteAttr(msg[unix.SizeofIfInfomsg:])
	if err != nil {
		return s, err
	}
	for _, a := range attrs {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			s.name = string(bytes.TrimRight(a.Value, "\x00"))
		case unix.IFLA_ADDRESS:
			copy(s.mac[:], a.Value)
		case unix.IFLA_PROTO_DOWN:
			s.protodown = len(a.Value) > 0 && a.Value[0] != 0
		case unix.IFLA_LINKINFO:
			if data := nested(nested(a.Value, unix.IFLA_INFO_DATA), nl.IFLA_MACVLAN_MODE); len(data) == 4 {
				s.mode = binary.NativeEndian.Uint32(data)
			}
		case unix.IFLA_AF_SPEC:
			// IFLA_INET_CONF and IFLA_INET6_CONF (linux/if_link.h)
			s.conf[0] = numbers(nested(nested(a.Value, unix.AF_INET), 1))
			s.conf[1] = numbers(nested(nested(a.Value, unix.AF_INET6), 2))
		}
	}
	return s, nil
}

// nested returns the value of an attribute within another.
func nested(value []byte, kind uint16) []byte {
	attrs, err := nl.ParseRouteAttr(value)
	if err != nil {
		return nil
	}
	for _, a := range attrs {
		if a.Attr.Type&^unix.NLA_F_NESTED == kind {
			return a.Value
		}
	}
	return nil
}

func numbers(value []byte) []int {
	all := make([]int, len(value)/4)
	for i := range all {
		all[i] = int(int32(binary.NativeEndian.Uint32(value[4*i:])))
	}
	return all
}

// A wish is what a carp's link has to be.
type wish struct {
	carp   string
	mac    config.MAC
	master bool
	gated  bool // silent by the gate; otherwise by being down
}

// amiss says what of a carp's link is not as it has to be, "": nothing.
func (w *wish) amiss(s *linkState) string {
	up := s.flags&unix.IFF_UP != 0
	switch {
	case s.name != w.carp:
		return "its name is " + s.name
	case s.mac != w.mac:
		return "its address is " + s.mac.String()
	case s.mode != nl.MACVLAN_MODE_PRIVATE:
		return "it is not in private mode"
	case s.flags&unix.IFF_NOARP != 0:
		return "it has no ARP"
	case up != (w.gated || w.master):
		return "it is " + map[bool]string{false: "down", true: "up"}[up]
	case w.gated && s.protodown == w.master:
		return "its protodown is " + map[bool]string{false: "off", true: "on"}[s.protodown]
	}
	return s.unlike(settable(carpSettings))
}

// unlike says which sysctl is not as it has to be, "": none. Those that the kernel does not tell are not here.
func (s *linkState) unlike(want []setting) string {
	for _, w := range want {
		have := s.conf[0]
		if w.family == "ipv6" {
			have = s.conf[1]
		}
		if w.number < len(have) && have[w.number] != w.value {
			return fmt.Sprintf("%s is %d", w.key, have[w.number])
		}
	}
	return ""
}
