package netstat

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"carp/libcarp/config"
)

// A line is what is said of a counter: one, and any other number. Both are formats (inet.c: carp_stats).
type line struct {
	counter   config.Counter
	one, many string
}

var lines = []line{
	{config.Ipackets, "\t%d packet received (IPv4)", "\t%d packets received (IPv4)"},
	{config.Ipackets6, "\t%d packet received (IPv6)", "\t%d packets received (IPv6)"},
	{config.Badif, "\t\t%d packet discarded for bad interface", "\t\t%d packets discarded for bad interface"},
	{config.Badttl, "\t\t%d packet discarded for wrong TTL", "\t\t%d packets discarded for wrong TTL"},
	{config.Hdrops, "\t\t%d packet shorter than header", "\t\t%d packets shorter than header"},
	{config.Badsum, "\t\t%d discarded for bad checksum", "\t\t%d discarded for bad checksums"},
	{config.Badver, "\t\t%d discarded packet with a bad version", "\t\t%d discarded packets with a bad version"},
	{config.Badlen, "\t\t%d discarded because packet too short", "\t\t%d discarded because packet too short"},
	{config.Badauth, "\t\t%d discarded for bad authentication", "\t\t%d discarded for bad authentication"},
	{config.Badvhid, "\t\t%d discarded for unknown vhid", "\t\t%d discarded for unknown vhid"},
	{config.Badaddrs, "\t\t%d discarded because of a bad address list", "\t\t%d discarded because of a bad address list"},
	{config.Opackets, "\t%d packet sent (IPv4)", "\t%d packets sent (IPv4)"},
	{config.Opackets6, "\t%d packet sent (IPv6)", "\t%d packets sent (IPv6)"},
	{config.Onomem, "\t\t%d send failed due to mbuf memory error", "\t\t%d send failed due to mbuf memory error"},
	{config.Preempt, "\t%d transition to master", "\t%d transitions to master"},
}

// own are our counters, which -v shows.
var own = []line{
	{config.Replayed, "\t%d discarded as a copy", "\t%d discarded as copies"},
	{config.Altered, "\t%d discarded as an altered copy", "\t%d discarded as altered copies"},
	{config.VRRP, "\t%d packet of VRRP", "\t%d packets of VRRP"},
}

// printStats prints the counters; without zeros those that are 0 are left out.
func printStats(w io.Writer, s *config.Stats, withoutZeros, verbose bool) {
	fmt.Fprintln(w, "carp:")
	all := lines
	if verbose {
		all = append(slices.Clone(lines), own...)
	}
	for _, l := range all {
		switch n := s[l.counter]; {
		case n == 0 && withoutZeros:
		case n == 1:
			fmt.Fprintf(w, l.one+"\n", n)
		default:
			fmt.Fprintf(w, l.many+"\n", n)
		}
	}
}

// printJSON prints all counters of the host and of each interface in one line.
func printJSON(w io.Writer, s *config.Stats, carps map[string]config.Stats) {
	fmt.Fprint(w, `{"carp":`)
	printObject(w, s)
	fmt.Fprint(w, `,"interfaces":{`)
	names := make([]string, 0, len(carps))
	for name := range carps {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		m, _ := config.CarpUnit(a)
		n, _ := config.CarpUnit(b)
		return cmp.Compare(m, n)
	})
	for n, name := range names {
		if n > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, "%q:", name)
		stats := carps[name]
		printObject(w, &stats)
	}
	fmt.Fprintln(w, "}}")
}

func printObject(w io.Writer, s *config.Stats) {
	for c, n := range s {
		before := ","
		if c == 0 {
			before = "{"
		}
		fmt.Fprintf(w, "%s%q:%d", before, config.Counter(c), n)
	}
	fmt.Fprint(w, "}")
}
