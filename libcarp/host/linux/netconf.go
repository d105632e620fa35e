//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// In a container /proc/sys is mostly read-only, whatever the capabilities. The kernel takes the sysctls of an interface over netlink too: all of IPv4
// (IFLA_INET_CONF, by their numbers, Linux 2.6.37; net/ipv4/devinet.c: inet_set_link_af), of IPv6 addr_gen_mode alone (Linux 3.17).

const procNet = "/proc/sys/net/"

const (
	iflaInetConf         = 1 // linux/if_link.h: IFLA_INET_CONF
	iflaInet6AddrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE
)

// byNetlink sets the sysctl of an interface that could not be written. The error is that of writing where there is no such way, or the kernel does
// not take it.
func byNetlink(path, value string, failed error) error {
	if !errors.Is(failed, unix.EROFS) && !errors.Is(failed, unix.EACCES) && !errors.Is(failed, unix.EPERM) {
		return failed
	}
	f := strings.Split(strings.TrimPrefix(path, procNet), "/") // ipv4, conf, eth0, arp_ignore
	n, err := strconv.Atoi(value)
	if len(f) != 4 || err != nil {
		return failed
	}
	ifi, err := net.InterfaceByName(f[2])
	if err != nil {
		return failed
	}
	af := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	all := append(slices.Clone(carpSettings), carpdevSettings...)
	known := slices.IndexFunc(all, func(s setting) bool { return s.family == f[0] && s.key == f[3] })
	switch {
	case f[0] == "ipv4" && known >= 0: // from 1 on
		af.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil).AddRtAttr(all[known].number+1, nl.Uint32Attr(uint32(n)))
	case f[0] == "ipv6" && f[3] == "addr_gen_mode":
		af.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(iflaInet6AddrGenMode, nl.Uint8Attr(uint8(n)))
	default:
		return failed
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(ifi.Index)
	req.AddData(msg)
	req.AddData(af)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return errors.Join(failed, err)
	}
	return nil
}

// readOnly: sysctls cannot be written in this mount namespace.
var readOnly = sync.OnceValue(func() bool { return unix.Access(conf("ipv4", "default", "arp_ignore"), unix.W_OK) != nil })

// settable returns those settings that can be made here.
func settable(all []setting) (some []setting) {
	if !readOnly() {
		return all
	}
	for _, s := range all {
		if s.family == "ipv4" || s.key == "addr_gen_mode" {
			some = append(some, s)
		}
	}
	return some
}

// linkDefaults are what a carp's link has to have of IPv6's sysctls and gets from nowhere else than the defaults of its namespace, where they cannot be
// written; the last, without the gate alone.
var linkDefaults = []struct{ key, value string }{{"disable_ipv6", "0"}, {"accept_ra", "0"}, {"keep_addr_on_down", "1"}}

// writable fails where sysctls cannot be written and the defaults are not what the links need: whoever made the container has to set those.
func writable(gated bool) error {
	_, err := os.Stat(conf("ipv6", "default", "accept_ra"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no IPv6
	}
	failed := unix.Access(conf("ipv6", "default", "accept_ra"), unix.W_OK)
	if failed == nil {
		return nil
	}
	var missing []string
	for n, d := range linkDefaults {
		if gated && n == len(linkDefaults)-1 {
			break
		}
		if value, err := os.ReadFile(conf("ipv6", "default", d.key)); err != nil || strings.TrimSpace(string(value)) != d.value {
			missing = append(missing, "net.ipv6.conf.default."+d.key+"="+d.value)
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("/proc/sys/net: %w; set %s for this container", failed, strings.Join(missing, " "))
}
