//go:build linux

package linux

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/host/linux/gate"
)

// A Check is one thing that the data plane needs, and why it is not here; nil when it is.
type Check struct {
	What   string
	Err    error
	Spared bool // it goes without
}

// Checks tries what the data plane needs, without changing anything.
func Checks() []Check {
	_, err := netlink.LinkList()
	checks := []Check{{What: "netlink", Err: err}}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	checks = append(checks, Check{What: "packet sockets (CAP_NET_RAW)", Err: err})
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	err = unix.Capget(&hdr, &caps[0])
	if err == nil && caps[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		err = unix.EPERM
	}
	checks = append(checks, Check{What: "links and addresses (CAP_NET_ADMIN)", Err: err})
	err = unix.Access(conf("ipv4", "default", "arp_ignore"), unix.W_OK)
	if err != nil {
		err = fmt.Errorf("/proc/sys/net: %w", err)
	}
	return append(checks, Check{What: "writable sysctls", Err: err}, Check{What: "gate", Err: gate.Probe(), Spared: true})
}
