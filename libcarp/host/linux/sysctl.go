//go:build linux

package linux

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// sysctls sets what the carps need under /proc/sys/net, and puts back what it has changed on carpdevs.
type sysctls struct {
	record *Record
	kept   string // see Options.Kept
	logf   func(string, ...any)
	saved  []savedSysctl
}

// A savedSysctl is what a carpdev's sysctl was before us.
type savedSysctl struct {
	index int // the name may change
	key   string
	value string
}

func newSysctls(r *Record, kept string, logf func(string, ...any)) *sysctls {
	s := &sysctls{record: r, kept: kept, logf: logf}
	found, err := false, error(nil)
	if s.saved, found, err = r.load(); err != nil {
		logf("linux: %v", err)
	}
	if found {
		return s
	}
	// Supervisor and engine were killed, or did not run.
	if s.saved, err = loadKept(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		logf("linux: %v", err)
	}
	return s
}

func conf(family, name, key string) string {
	return procNet + family + "/conf/" + name + "/" + key
}

// A setting is a sysctl of an interface as it has to be.
type setting struct {
	family, key string
	value       int
	number      int // of it among those of an interface, as netlink tells them (linux/ip.h: IPV4_DEVCONF_*, from 1 on; linux/ipv6.h: DEVCONF_*)
}

// carpSettings: an address is answered for on its own link alone, with its MAC, though the answer's route leads through another; packets that come in over
// the virtual MAC and leave through the carpdev pass whatever rp_filter says of all interfaces; addresses survive their neighbours and the link going
// down; no IPv6 of the kernel's own.
var carpSettings = []setting{
	{"ipv4", "arp_ignore", 1, 18}, {"ipv4", "arp_filter", 0, 12}, {"ipv4", "rp_filter", 2, 7}, {"ipv4", "promote_secondaries", 1, 19}, {"ipv4", "ignore_routes_with_linkdown", 1, 28},
	{"ipv6", "disable_ipv6", 0, 26}, {"ipv6", "addr_gen_mode", 1, 47}, {"ipv6", "accept_ra", 0, 3}, {"ipv6", "accept_dad", 0, 27}, {"ipv6", "keep_addr_on_down", 1, 42},
	{"ipv6", "ignore_routes_with_linkdown", 1, 39},
}

// carpdevSettings: it does not answer for the shared addresses, and never asks in their name: a who-has from the shared address with the
// carpdev's MAC would teach clients the wrong one.
var carpdevSettings = []setting{{"ipv4", "arp_ignore", 1, 18}, {"ipv4", "arp_announce", 2, 17}}

func (s *sysctls) forCarp(name string) {
	for _, w := range carpSettings {
		if err := write(conf(w.family, name, w.key), strconv.Itoa(w.value)); err != nil && !errors.Is(err, fs.ErrNotExist) { // no IPv6 here
			s.logf("linux: %v", err)
		}
	}
}

func (s *sysctls) forCarpdev(name string, index int) {
	for _, w := range carpdevSettings {
		path := conf(w.family, name, w.key)
		old, err := os.ReadFile(path)
		if err != nil {
			s.logf("linux: %v", err)
			continue
		}
		value, want := strings.TrimSpace(string(old)), strconv.Itoa(w.value)
		if value == want {
			continue
		}
		if !s.has(index, w.key) {
			s.saved = append(s.saved, savedSysctl{index, w.key, value})
			s.store() // before the change, so that a crash loses nothing
		}
		if err := write(path, want); err != nil {
			s.logf("linux: %v", err)
		}
	}
}

func (s *sysctls) has(index int, key string) bool {
	return slices.ContainsFunc(s.saved, func(v savedSysctl) bool { return v.index == index && v.key == key })
}

// restore puts the sysctls of a carpdev back.
func (s *sysctls) restore(index int) {
	s.restoreIf(func(v savedSysctl) bool { return v.index == index })
}

// restoreAll puts everything back.
func (s *sysctls) restoreAll() { s.restoreIf(func(savedSysctl) bool { return true }) }

func (s *sysctls) restoreIf(wanted func(savedSysctl) bool) {
	var rest []savedSysctl
	for _, v := range s.saved {
		if !wanted(v) {
			rest = append(rest, v)
			continue
		}
		carpdev, err := net.InterfaceByIndex(v.index)
		if err != nil {
			continue // gone, and its sysctls with it
		}
		if err := write(conf("ipv4", carpdev.Name, v.key), v.value); err != nil {
			s.logf("linux: %v", err)
		}
	}
	s.saved = rest
	s.store()
}

func (s *sysctls) store() {
	if err := s.record.store(s.saved); err != nil {
		s.logf("linux: %v", err)
	}
	if err := storeKept(s.kept, s.saved); err != nil {
		s.logf("linux: %v", err)
	}
}

func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return byNetlink(path, value, err)
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
