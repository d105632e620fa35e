// Command ifconfig-carp is ifconfig(8) for carp interfaces. See ifconfig-carp(8).
package main

import (
	"context"
	"net"
	"net/netip"
	"os"

	"carp/libcarp"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/ifconfig"
	"carp/libcarp/service"
)

func main() {
	args := ifconfig.TakeArgs(os.Args)
	if exit, ok := ifconfig.Own(args[1:], os.Stdout, os.Stderr, libcarp.Open(""), ordinary.Open()); ok {
		os.Exit(exit)
	}
	os.Exit(ifconfig.Main(args[1:], os.Stdout, os.Stderr, service.New(libcarp.Open("")), names{}, ordinary.Open()))
}

// names are the system's.
type names struct{}

// Host asks the host's resolver, as getaddrinfo(3) does.
func (names) Host(network, host string) (netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(context.Background(), network, host)
	if err != nil {
		return netip.Addr{}, err
	}
	return addrs[0], nil
}

// Index is if_nametoindex(3).
func (names) Index(name string) int {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return i.Index
}
