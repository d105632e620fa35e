package sim

import (
	"fmt"
	"net/netip"
)

// What becomes of masters that are equal in advbase, advskew and demotion when a partition between them heals.

// A TieRow is what so many healings came to.
type TieRow struct {
	Hosts  int
	Peer   string
	Rule   string // ours or BSD
	Count  int    // of healings
	Nobody int    // after how many nobody was master for a time
	Two    int    // after how many two were, for longer than an interval and the delay

	NobodyTime, NobodyMost int64 // in sum and at most, in nanoseconds
	TwoTime, TwoMost       int64 // the same from the healing on
	Unsettled              int   // not one master for good within a minute
}

func (r TieRow) String() string {
	share := func(n int) string { return fmt.Sprintf("%d.%02d %%", n*100/r.Count, n*10000/r.Count%100) }
	mean := int64(0)
	if r.Nobody > 0 {
		mean = r.NobodyTime / int64(r.Nobody)
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %s | %d / %d | %s | %d / %d | %d |", r.Rule, r.Peer, r.Hosts, r.Count, share(r.Nobody), mean/millisecond, r.NobodyMost/millisecond,
		share(r.Two), r.TwoTime/int64(r.Count)/millisecond, r.TwoMost/millisecond, r.Unsettled)
}

// TieHeader is the head of a table of rows.
const TieHeader = "| rule | with | hosts | healings | nobody | ms mean / most | two > interval + delay | ms mean / most | unsettled |\n|---|---|---|---|---|---|---|---|---|"

// The hosts have advbase 1 and advskew 0; the LAN takes up to 20 ms.
const (
	tieInterval = second
	tieDelay    = 20 * millisecond
)

// A tally adds up how long a virtual host had no master, or several.
type tally struct {
	since   int64
	masters int
	none    int64
	many    int64
}

func (t *tally) note(now int64, masters int) {
	switch {
	case t.masters == 0:
		t.none += now - t.since
	case t.masters > 1:
		t.many += now - t.since
	}
	t.since, t.masters = now, masters
}

// Ties heals partitions: every host is alone and master, with a phase of its own, and then they all hear each other. With a peer some of the hosts,
// at least one and not all, are of that system. With bsd ours are replaced by OpenBSD's.
func Ties(seed uint64, peer *Dialect, hosts, healings int, bsd bool) TieRow {
	r := newRandom(seed, 3)
	row := TieRow{Hosts: hosts, Peer: "ours", Rule: "ours", Count: healings}
	if bsd {
		row.Rule = "BSD"
	}
	if peer != nil {
		row.Peer = peer.Name
	}
	const each = 100 // healings in one world, which has its own addresses and its own mixture
	for done := 0; done < healings; done += each {
		w := tieWorld(r, peer, hosts, bsd)
		for range min(each, healings-done) {
			w.heal(r, &row)
		}
	}
	return row
}

func tieWorld(r random, peer *Dialect, hosts int, bsd bool) *World {
	others := 0
	if peer != nil {
		others = int(r.between(1, int64(hosts-1)))
	}
	s := &Scenario{
		Seed: r.src.Uint64(), LANs: 1, Delay: tieDelay,
		VHosts: []VHostPlan{{VHID: 1, Advbase: 1, Pass: "secret", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.200.1/24")}}},
	}
	used := map[[2]byte]bool{}
	for n := range hosts {
		at := [2]byte{byte(r.below(200)), byte(r.between(1, 254))}
		for used[at] {
			at[1]++
		}
		used[at] = true
		addr := [4]byte{10, 0, at[0], at[1]}
		switch {
		case n < others:
			s.Peers = append(s.Peers, PeerPlan{Dialect: peer, Addr: addr})
		case bsd:
			s.Peers = append(s.Peers, PeerPlan{Dialect: OpenBSD, Addr: addr})
		default:
			s.Hosts = append(s.Hosts, HostPlan{Uptime: second, Wall: 57 * 365 * 86400 * 1000, Addr: addr, Drift: r.between(-100, 100), Carps: []CarpPlan{{}}})
		}
	}
	w := newWorld(s)
	w.vhosts[0].tally = &tally{}
	w.run(millisecond)
	return w
}

// heal parts them all, lets each start anew and become master, joins them, and sees what they make of it.
func (w *World) heal(r random, row *TieRow) {
	l, v := &w.lans[0], &w.vhosts[0]
	for id := range w.stations {
		l.side[id] = 1 << id
		s := &w.stations[id]
		at := w.now + r.below(tieInterval)
		if s.host != nil {
			s.host.crash()
		} else {
			s.peer.stop(false)
		}
		w.push(at, reboot, int32(id), 0, 0)
	}
	w.run(w.now + 5*tieInterval + r.below(tieInterval))

	clear(l.side)
	healed := w.now
	*v.tally = tally{since: healed, masters: row.Hosts}
	settled := false
	for w.now < healed+60*second && !settled {
		w.run(w.now + tieInterval)
		settled = v.tally.masters == 1 && w.now-v.changes > 4*tieInterval
	}
	v.tally.note(w.now, v.tally.masters)
	if none := v.tally.none; none > 0 {
		row.Nobody++
		row.NobodyTime += none
		row.NobodyMost = max(row.NobodyMost, none)
	}
	many := v.tally.many
	row.TwoTime += many
	row.TwoMost = max(row.TwoMost, many)
	if many > tieInterval+tieDelay+leastDelay {
		row.Two++
	}
	if !settled {
		row.Unsettled++
	}
}
