package sim

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Scenario is what a seed picks: a topology, and faults with their times.
type Scenario struct {
	Seed       uint64
	LANs       int
	Delay      int64 // the longest on the LANs, in nanoseconds
	Replay     int   // net.inet.carp.replay of all hosts
	DemoteSkew bool  // net.inet.carp.demoteskew of all hosts
	Attentive  bool  // every host of ours hears all that an attacker hears, and there are no others
	Judged     bool  // attacks are judged as if they had to fail
	VHosts     []VHostPlan
	Hosts      []HostPlan
	Peers      []PeerPlan
	Faults     []Fault
	storm      bool  // what is picked is a storm
	Calm       int64 // when the last fault is over, in nanoseconds since the beginning
}

// A VHostPlan is a virtual host.
type VHostPlan struct {
	LAN     int
	VHID    uint8
	Advbase uint8
	Pass    string
	Addrs   []netip.Prefix
	Extra   netip.Prefix // an address that a fault adds
}

// A HostPlan is a host of ours.
type HostPlan struct {
	Boot       int64
	Uptime     int64 // of its monotonic clock, in nanoseconds
	Wall       int64 // Unix time less uptime, in milliseconds; may be negative
	Drift      int64 // of its monotonic clock, in 10⁻⁶
	Late       int64 // the latest that a timer may be, in nanoseconds
	Addr       [4]byte
	Unnumbered bool // the carpdevs have no addresses
	Preempt    bool
	FlapLAN    int // the LAN whose carpdev its faults are about
	Carps      []CarpPlan
}

// A CarpPlan is one carp interface of a host.
type CarpPlan struct {
	VHost   int
	Advskew uint8
}

// A PeerPlan is a host of another system.
type PeerPlan struct {
	Dialect  *Dialect
	VHost    int
	Boot     int64
	Advskew  uint8
	Preempt  bool
	Addr     [4]byte
	Stranger bool // has another key
}

// slowest returns the longest interval of a virtual host's members as planned.
func (v *VHostPlan) slowest(s *Scenario) int64 {
	c := claim{base: v.Advbase}
	longest := c.interval()
	for n := range s.Hosts {
		for _, k := range s.Hosts[n].Carps {
			if &s.VHosts[k.VHost] == v {
				c.skew = k.Advskew
				longest = max(longest, c.interval())
			}
		}
	}
	return longest
}

// NewScenario picks everything.
func NewScenario(seed uint64) *Scenario { return newScenario(seed, false) }

// NewStorm picks a small cluster and everything that can make its clocks and memories differ, a lot of it.
func NewStorm(seed uint64) *Scenario { return newScenario(seed, true) }

func newScenario(seed uint64, storm bool) *Scenario {
	r := newRandom(seed, 1)
	s := &Scenario{Seed: seed, LANs: int(pick[int64](r, 1, 1, 1, 2, 3)), storm: storm}
	hosts := pick[int64](r, 1, 2, 2, 2, 3, 3, 4, 5, r.between(1, 16))
	vhosts := pick[int64](r, 1, 1, 2, 3, 4)
	if storm {
		s.LANs, hosts, vhosts = 1, pick[int64](r, 2, 2, 2, 3, 3, 4), pick[int64](r, 1, 1, 1, 2)
	}
	uneven := r.chance(30) // advbase
	ties := r.chance(30)
	for n := range vhosts {
		v := VHostPlan{LAN: int(r.below(int64(s.LANs))), VHID: uint8(n + 10), Advbase: uint8(pick[int64](r, 0, 1, 1, 1, 1, 2, 3, 10)), Pass: pick(r, "", "secret", "a pass phrase of more than 19")}
		if r.chance(50) { // LANs have vhids of their own
			v.VHID = 1
			for _, o := range s.VHosts {
				if o.LAN == v.LAN {
					v.VHID = max(v.VHID, o.VHID+1)
				}
			}
		}
		families := pick[int64](r, 1, 1, 1, 2, 3, 3) // bit 0: IPv4, bit 1: IPv6
		for a := range pick[int64](r, 1, 1, 2, 5) {
			if families&1 != 0 {
				v.Addrs = append(v.Addrs, shared(v.LAN, 200+byte(a), v.VHID, false))
			}
			if families&2 != 0 {
				v.Addrs = append(v.Addrs, shared(v.LAN, 200+byte(a), v.VHID, true))
			}
		}
		v.Extra = shared(v.LAN, 250, v.VHID, families == 2)
		s.VHosts = append(s.VHosts, v)
	}
	preempt := pick[int64](r, 0, 50, 100)
	late := pick(r, 0, millisecond, 5*millisecond, 30*millisecond)
	drift := pick[int64](r, 0, 0, 200, 500)
	unnumbered := r.chance(10)
	synchronized := r.chance(60) && !storm // by NTP
	for n := range hosts {
		h := HostPlan{
			Boot: r.below(5 * second), Uptime: second + r.below(1e6*second), Wall: wallClock(r), Drift: r.between(-drift, drift), Late: late,
			Addr: [4]byte{10, 0, byte(r.below(4)), byte(n*15 + 1 + r.below(14))}, Unnumbered: unnumbered, Preempt: r.chance(preempt),
			FlapLAN: int(r.below(int64(s.LANs))),
		}
		if synchronized {
			h.Wall = 57*365*86400*1000 + r.below(100)
		}
		h.Wall -= h.Uptime / millisecond
		h.Addr[3] &^= 0x80
		h.Addr[2] = byte(n) // unique whatever the rest
		for v := range s.VHosts {
			skew := uint8(0)
			switch {
			case !ties:
				skew = uint8(pick(r, n*10, n*50, r.below(255)) % 255)
			case r.chance(20):
				skew = uint8(r.below(255))
			}
			if s.VHosts[v].Advbase == 0 && skew < 8 && r.chance(80) {
				skew += 25 // 1/256 s is rare
			}
			if len(s.VHosts) == 1 || r.chance(85) {
				h.Carps = append(h.Carps, CarpPlan{v, skew})
			}
		}
		s.Hosts = append(s.Hosts, h)
	}
	if s.Attentive = r.chance(20) && !storm; !s.Attentive {
		s.pickPeers(r, ties)
	}
	if s.Replay = int(pick[int64](r, 0, 1, 1, 1, 2, 2)); s.Replay == 2 && len(s.Peers) > 0 {
		s.Replay = 1
	}
	s.DemoteSkew = r.chance(20)
	shortest, longest := s.intervals()
	s.Delay = r.below(min(50*millisecond, shortest/3))
	for n := range s.Hosts {
		s.Hosts[n].Late = min(s.Hosts[n].Late, shortest/4)
	}
	s.pickFaults(r, shortest, longest, uneven)
	return s
}

// pickPeers adds hosts of other systems to some virtual hosts.
func (s *Scenario) pickPeers(r random, ties bool) {
	if !r.chance(50) {
		return
	}
	for v := range s.VHosts {
		plan := &s.VHosts[v]
		if !r.chance(60) {
			continue
		}
		dialect := pick(r, Dialects...)
		for range pick[int64](r, 1, 1, 2) {
			if r.chance(30) {
				dialect = pick(r, Dialects...)
			}
			if !plan.has(0) && !dialect.SendsIPv6 { // nobody would hear it
				dialect = OpenBSD
			}
			if dialect.NeedsBase && plan.Advbase == 0 {
				plan.Advbase = 1
			}
			if dialect == UCARP {
				plan.Addrs = plan.Addrs[:1]
			}
			p := PeerPlan{
				Dialect: dialect, VHost: v, Boot: r.below(5 * second), Preempt: r.chance(50), Stranger: r.chance(10),
				Addr: [4]byte{10, 0, 100 + byte(len(s.Peers)), byte(r.below(256))},
			}
			if !ties {
				p.Advskew = uint8(r.below(240))
			}
			s.Peers = append(s.Peers, p)
		}
	}
}

// shared is an address of a virtual host.
func shared(lan int, n, vhid byte, six bool) netip.Prefix {
	if six {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 1: byte(lan), 14: n, 15: vhid}), 64)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(lan), n, vhid}), 24)
}

// has reports whether a virtual host has addresses of IPv4 (0) or IPv6 (1), and so adverts over it.
func (v *VHostPlan) has(family int) bool {
	for _, a := range v.Addrs {
		if a.Addr().Is6() == (family == 1) {
			return true
		}
	}
	return false
}

// wallClock: most are right, give or take a minute; some are of 1970, 2025 or 2055.
func wallClock(r random) int64 {
	const day = 86400 * 1000
	switch r.below(10) {
	case 0:
		return r.below(day)
	case 1:
		return (55*365 + r.below(30*365)) * day
	}
	return 57*365*day + r.below(60*1000)
}

// intervals returns the shortest and the longest interval that there can be at the beginning.
func (s *Scenario) intervals() (shortest, longest int64) {
	shortest = 300 * second
	note := func(base, skew uint8) {
		c := claim{base: base, skew: skew}
		shortest, longest = min(shortest, c.interval()), max(longest, c.interval())
	}
	for n := range s.Hosts {
		for _, c := range s.Hosts[n].Carps {
			note(s.VHosts[c.VHost].Advbase, c.Advskew)
		}
	}
	for n := range s.Peers {
		note(s.VHosts[s.Peers[n].VHost].Advbase, s.Peers[n].Advskew)
	}
	if longest == 0 { // no host has a carp
		shortest, longest = second, second
	}
	return shortest, longest
}

// String tells a scenario in words.
func (s *Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d LANs, delay up to %d us, replay %d, demoteskew %t\n", s.Seed, s.LANs, s.Delay/microsecond, s.Replay, s.DemoteSkew)
	for n, v := range s.VHosts {
		fmt.Fprintf(&b, "  virtual host %d: LAN %d vhid %d advbase %d %v\n", n, v.LAN, v.VHID, v.Advbase, v.Addrs)
	}
	for n, h := range s.Hosts {
		fmt.Fprintf(&b, "  host %d: boot %d ms, addr .%d.%d unnumbered %t, preempt %t, drift %d ppm, late %d us, carps", n, h.Boot/millisecond, h.Addr[2], h.Addr[3], h.Unnumbered, h.Preempt, h.Drift, h.Late/microsecond)
		for _, c := range h.Carps {
			fmt.Fprintf(&b, " %d:%d", c.VHost, c.Advskew)
		}
		b.WriteByte('\n')
	}
	for n, p := range s.Peers {
		fmt.Fprintf(&b, "  station %d: %s, virtual host %d advskew %d, boot %d ms, addr .%d.%d, preempt %t, stranger %t\n",
			len(s.Hosts)+n, p.Dialect.Name, p.VHost, p.Advskew, p.Boot/millisecond, p.Addr[2], p.Addr[3], p.Preempt, p.Stranger)
	}
	for n, f := range s.Faults {
		if !f.off {
			fmt.Fprintf(&b, "  fault %d: %v\n", n, f)
		}
	}
	return b.String()
}
