// Command netstat-carp is netstat(1) for carp's counters. See netstat-carp(8).
package main

import (
	"os"

	"carp/libcarp"
	"carp/libcarp/netstat"
)

func main() {
	os.Exit(netstat.Main(os.Args[1:], os.Stdout, os.Stderr, libcarp.Open("")))
}
