package config

// Sysctl holds net.inet.carp's variables. Every value of an int is accepted (OpenBSD, ip_carp.c: carp_sysctl).
type Sysctl struct {
	Allow   int // 0: adverts that come in are dropped
	Preempt int // not 0: a BACKUP takes over from a slower master
	Log     int // messages of this level and below are logged: 2 state changes, 3 demotion, ... 7 all

	// Ours, which no BSD has.
	Replay     int // which adverts are refused for their counter: 0..2, see ReplayOff
	DemoteSkew int // not 0: a demoted host also advertises, and decides by, advskew 240, as OpenBSD once did
}

// What net.inet.carp.replay can be; carp(4), "Copies of adverts".
const (
	ReplayOff    = 0 // as the BSDs
	ReplayCopies = 1 // copies of sealed adverts are refused, altered or not
	ReplayStrict = 2 // and everything that is not sealed, and what is 30 s behind our clock
)

// DefaultSysctl returns the values after boot.
func DefaultSysctl() Sysctl { return Sysctl{Allow: 1, Preempt: 0, Log: 2, Replay: ReplayCopies} }

// A Variable is one name under net.inet.carp.
type Variable struct {
	Name string
	MIB  int // the last number of {CTL_NET, PF_INET, IPPROTO_CARP, n}; 0: a name that OpenBSD does not have
	at   func(*Sysctl) *int
}

// Variables lists the names in OpenBSD's order. Those with MIB 0 are left out of listings.
func Variables() []Variable {
	return []Variable{
		{"allow", 1, func(s *Sysctl) *int { return &s.Allow }},
		{"preempt", 2, func(s *Sysctl) *int { return &s.Preempt }},
		{"log", 3, func(s *Sysctl) *int { return &s.Log }},
		{"replay", 0, func(s *Sysctl) *int { return &s.Replay }},
		{"demoteskew", 0, func(s *Sysctl) *int { return &s.DemoteSkew }},
	}
}

// At returns where the variable of that name is kept, nil if there is none.
func (s *Sysctl) At(name string) *int {
	for _, v := range Variables() {
		if v.Name == name {
			return v.at(s)
		}
	}
	return nil
}
