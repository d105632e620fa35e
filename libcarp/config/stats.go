package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// A Counter is one of the statistics of a machine, in the order of OpenBSD's struct carpstats (ip_carp.h).
type Counter int

// The counters.
const (
	Ipackets  Counter = iota // packets received over IPv4
	Ipackets6                // and over IPv6
	Badif                    // discarded: on the wrong interface
	Badttl                   // discarded: TTL or hop limit not 255
	Hdrops                   // discarded: shorter than the header
	Badsum                   // discarded: wrong checksum
	Badver                   // discarded: version not 2
	Badlen                   // discarded: too short
	Badauth                  // discarded: wrong HMAC, or our own
	Badvhid                  // discarded: vhid not ours
	Badaddrs                 // never counted, as on OpenBSD
	Opackets                 // adverts sent over IPv4, failures included
	Opackets6                // and over IPv6
	Onomem                   // sending failed for want of memory
	Ostates                  // never counted, as on OpenBSD
	Preempt                  // transitions to MASTER
	Replayed                 // discarded, in Badauth too: a copy of an advert (not in OpenBSD's struct, nor what follows)
	Altered                  // discarded, in Badauth too: a copy with another header, or with replay 2 an unsealed one
	VRRP                     // received: VRRP's, whatever its virtual router
	Counters                 // how many there are
)

var counterNames = [Counters]string{"ipackets", "ipackets6", "badif", "badttl", "hdrops", "badsum", "badver", "badlen", "badauth",
	"badvhid", "badaddrs", "opackets", "opackets6", "onomem", "ostates", "preempt",
	"replayed", "altered", "vrrp"}

func (c Counter) String() string { return counterNames[c] }

// Stats are the counters of a machine or of one carp interface.
type Stats [Counters]uint64

// StatsTag is the first line of status/stats.
const StatsTag = "carp-stats 1"

// Format prints the counters as the content of status/stats.
func (s *Stats) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, StatsTag)
	for c, n := range s {
		fmt.Fprintf(&b, "%s %d\n", Counter(c), n)
	}
	return b.Bytes()
}

// ParseStats reads what [Stats.Format] printed. Names that it does not know are ignored.
func ParseStats(data []byte) (s Stats, err error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != StatsTag {
		return s, fmt.Errorf("no %q in the first line", StatsTag)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, " ")
		for c := range s {
			if Counter(c).String() == name {
				if s[c], err = strconv.ParseUint(value, 10, 64); err != nil {
					return s, fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return s, nil
}
