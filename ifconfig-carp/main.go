// Command ifconfig-carp is ifconfig(8) for carp interfaces. See ifconfig-carp(8).
package main

import (
	"context"
	"net"
	"net/netip"
	"os"

	"carp/libcarp"
	"carp/libcarp/ifconfig"
)

func main() {
	args := ifconfig.TakeArgs(os.Args)
	os.Exit(ifconfig.Main(args[1:], os.Stdout, os.Stderr, libcarp.Open(""), lookup))
}

// lookup asks the host's resolver for an IPv4 address, as gethostbyname(3) does.
func lookup(host string) (netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip4", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return addrs[0], nil
}
