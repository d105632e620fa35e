package sim

import (
	"net/netip"
	"os"
	"strconv"
	"testing"
)

// Storms: clocks of 1970 to 2055 that are set by a year, reboots, restored snapshots, deaths, loss, cuts, copies and an attacker. After the last fault
// there is one master within the bound, and no first-delivered advert of a live host that has heard us was refused.
func TestStorms(t *testing.T) {
	storms := uint64(500)
	if v := os.Getenv("CARP_SIM_STORMS"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			t.Fatalf("CARP_SIM_STORMS: %v", err)
		}
		storms = n
	}
	var sum Result
	run, failed := uint64(0), 0
	for ; run < storms && failed < 5; run++ {
		seed := run + 1
		r := tryScenario(t, NewStorm(seed), "TestStorm$")
		if r.Violation != nil {
			failed++
		}
		sum.Events += r.Events
		sum.Accepted += r.Accepted
		sum.Refused += r.Refused
		sum.Crowded += r.Crowded
		sum.Coincident += r.Coincident
		sum.Attacks += r.Attacks
		sum.Time += r.Time / second
	}
	t.Logf("%d storms, %d days of cluster life: %d events, %d adverts accepted; %d first-delivered ones of live hosts refused before they had heard us, "+
		"%d in crowds, %d with a counter of our own; %d packets of the attacker",
		run, sum.Time/86400, sum.Events, sum.Accepted, sum.Refused, sum.Crowded, sum.Coincident, sum.Attacks)
	if sum.Refused == 0 || sum.Attacks == 0 {
		t.Error("nothing was refused, or nobody attacked: the storms prove nothing")
	}
}

// TestStorm repeats one storm, which -seed chooses.
func TestStorm(t *testing.T) { repeat(t, NewStorm(max(*oneSeed, 1))) }

// held makes a pair whose master dies for good after 20 s, while somebody sends what he recorded of it.
func held(seed uint64, replay int, does int64) *Scenario {
	s := &Scenario{
		Seed: seed, LANs: 1, Delay: millisecond, Replay: replay, Attentive: true, Judged: true, Calm: 140 * second,
		VHosts: []VHostPlan{{VHID: 1, Advbase: 1, Pass: "secret", Addrs: []netip.Prefix{shared(0, 200, 1, false)}}},
		Faults: []Fault{{Kind: Crash, At: 120 * second, For: forever, Host: 0}, {Kind: Attack, At: 120 * second, For: 20 * second, N: does}},
	}
	for n := range 2 {
		uptime := int64(100 * second)
		s.Hosts = append(s.Hosts, HostPlan{
			Uptime: uptime, Wall: 57*365*86400*1000 - uptime/millisecond, Addr: [4]byte{10, 0, 1, byte(n + 1)},
			Carps: []CarpPlan{{VHost: 0, Advskew: uint8(n * 100)}},
		})
	}
	return s
}

// What each value of net.inet.carp.replay does against each attack: the table in carp(4). An attack that nothing stops must succeed, or the others would
// prove nothing.
func TestAttack(t *testing.T) {
	for _, c := range []struct {
		replay int
		does   int64
		held   bool
	}{
		{0, 0, true}, {0, Alters | Flattens, true},
		{1, 0, false}, {1, Alters | Flattens, true}, // an old advert with another header looks like one of OpenBSD's
		{2, 0, false}, {2, Alters | Flattens, false}, {2, Alters, false},
	} {
		const tries = 50
		succeeded := 0
		for seed := range uint64(tries) {
			r := Run(held(seed, c.replay, c.does), Honest, nil)
			if r.Attacks == 0 {
				t.Fatal("nobody attacked")
			}
			if r.Violation != nil {
				succeeded++
			}
		}
		t.Logf("replay %d, altered %t: the attack succeeded in %d of %d tries", c.replay, c.does != 0, succeeded, tries)
		if c.held != (succeeded > 0) {
			t.Errorf("replay %d, altered %t: succeeded in %d of %d tries", c.replay, c.does != 0, succeeded, tries)
		}
	}
}

// The seeds of the simulator attack clusters of which every host has heard all, at 1 and at 2, and these attacks are judged.
func TestAttacksAreJudged(t *testing.T) {
	judged := map[[2]int64]int{}
	for seed := range uint64(300) {
		s := NewScenario(seed)
		for n := range s.Faults {
			if f := &s.Faults[n]; f.Kind == Attack && s.harmless(f) {
				judged[[2]int64{int64(s.Replay), f.N & Alters}]++
			}
		}
	}
	for _, k := range [][2]int64{{1, 0}, {2, 0}, {2, Alters}} {
		if judged[k] < 10 {
			t.Errorf("replay %d, does %d: %d", k[0], k[1], judged[k])
		}
	}
}

// Seeds that broke a rule once: of the engine or of the simulator, as git log tells.
func TestKept(t *testing.T) {
	for _, seed := range []uint64{1795562114075275984, 1795562273379631463, 1795900960794663168} {
		try(t, seed)
	}
	for _, seed := range []uint64{31857, 33278, 38111, 91722} {
		tryScenario(t, NewStorm(seed), "TestStorm$")
	}
}
