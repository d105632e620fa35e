// Command sysctl-carp is sysctl(8) for net.inet.carp. See sysctl-carp(8).
package main

import (
	"os"

	"carp/libcarp"
	"carp/libcarp/service"
	"carp/libcarp/sysctl"
)

func main() {
	os.Exit(sysctl.Main(os.Args[1:], os.Stdout, os.Stderr, service.New(libcarp.Open(""))))
}
