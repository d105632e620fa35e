//go:build linux

package linux

import (
	"errors"

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
	checks = append(checks, Check{What: "links and addresses (CAP_NET_ADMIN)", Err: mayLink()})
	gated := gate.Probe()
	return append(checks, Check{What: "sysctls of IPv6", Err: writable(gated == nil), Spared: true}, Check{What: "gate", Err: gated, Spared: true})
}

// mayLink fails without CAP_NET_ADMIN.
func mayLink() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	err := unix.Capget(&hdr, &caps[0])
	if err == nil && caps[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		err = unix.EPERM
	}
	return err
}

// FindCarpdev fails when there is no interface of that name.
func FindCarpdev(name string) error {
	_, err := netlink.LinkByName(name)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return unix.ENODEV
	}
	return err
}
