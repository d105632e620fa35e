//go:build linux

package linux

import (
	"errors"
	"fmt"
	"os"

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
	checks = append(checks, Check{What: "macvlan", Err: macvlan()})
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

// macvlan fails where the kernel makes none. It asks for one without its lower interface, which is refused in any case: EOPNOTSUPP where the kind is unknown.
func macvlan() error {
	err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "carp-macvlan"}})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	return nil
}

// FindCarpdev fails when there is no interface of that name, or none that can be a carpdev.
func FindCarpdev(name string) error {
	l, err := netlink.LinkByName(name)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none):
		return unix.ENODEV
	case err != nil:
		return err
	}
	a := l.Attrs()
	switch {
	case a.EncapType != "ether":
		return fmt.Errorf("no Ethernet, but %s", a.EncapType)
	case a.MasterIndex != 0:
		master, err := netlink.LinkByIndex(a.MasterIndex)
		if err == nil && master.Type() != "vrf" { // the kernel gives its packets to the master, and none to a macvlan
			return fmt.Errorf("a port of %s, which can be the carpdev", master.Attrs().Name)
		}
	}
	if _, err := os.Stat("/sys/class/net/" + name + "/phy80211"); err == nil {
		return errors.New("a wireless interface, which passes no other Ethernet address than its own, see lladdr in carp(4)")
	}
	return nil
}
