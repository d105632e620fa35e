package sim

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed alone, with its trace")
	faults  = flag.String("faults", "", "with these of its faults alone: 0,3,7; none for none")
)

// try runs a seed. When it breaks a rule, it shrinks the faults and says how to repeat that.
func try(t *testing.T, seed uint64) Result {
	t.Helper()
	return tryScenario(t, NewScenario(seed), "TestSeed$")
}

func tryScenario(t *testing.T, s *Scenario, test string) Result {
	t.Helper()
	r := Run(s, Honest, nil)
	if r.Violation == nil {
		return r
	}
	small := Shrink(s, Honest, r.Violation.Rule)
	trace, again := traced(small, 40)
	t.Errorf("seed %d: %v\nshrunk from %d faults to %d: %v\n%s%s\nrepeat it with: %s",
		s.Seed, r.Violation, len(s.Faults), len(small.Kept()), again.Violation, small, trace, command(small, test))
	return r
}

func command(s *Scenario, test string) string {
	list := strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Kept()), "[]"), " ", ",")
	if list == "" {
		list = "none"
	}
	return fmt.Sprintf("go test ./libcarp/sim -v -run '%s' -seed=%d -faults=%s", test, s.Seed, list)
}

// traced runs a scenario and returns the last lines of its trace.
func traced(s *Scenario, last int) (string, Result) {
	var lines []string
	r := Run(s, Honest, func(at int64, line string) {
		lines = append(lines, fmt.Sprintf("%d.%06d %s", at/second, at%second/microsecond, line))
	})
	return strings.Join(lines[max(0, len(lines)-last):], "\n"), r
}

// TestSeed repeats one seed, which -seed chooses.
func TestSeed(t *testing.T) { repeat(t, NewScenario(max(*oneSeed, 1))) }

func repeat(t *testing.T, s *Scenario) {
	t.Helper()
	if *faults != "" {
		var keep []int
		for _, f := range strings.Split(*faults, ",") {
			if n, err := strconv.Atoi(f); err == nil {
				keep = append(keep, n)
			} else if f != "none" {
				t.Fatalf("-faults %s: %v", *faults, err)
			}
		}
		s = s.Only(keep)
	}
	trace, r := traced(s, 2000)
	if r.Violation != nil {
		t.Errorf("%v", r.Violation)
	}
	if *oneSeed != 0 {
		t.Logf("\n%s%s", s, trace)
	}
	t.Logf("hash %#x, %d events, %d adverts accepted, %d s of virtual time", r.Hash, r.Events, r.Accepted, r.Time/second)
}

// TestSeeds runs a fixed set.
func TestSeeds(t *testing.T) {
	for seed := uint64(1); seed <= 300 && !t.Failed(); seed++ {
		try(t, seed)
	}
}

// What the seeds try: every fault, every peer as master and as backup, and every reason for a transition but those of vhid changes and destroy,
// which end a virtual host.
func TestReach(t *testing.T) {
	seen := map[string]int{}
	for seed := uint64(1); seed <= 250; seed++ {
		s := NewScenario(seed)
		for _, f := range s.Faults {
			seen["fault "+f.Kind.String()]++
		}
		Run(s, Honest, func(_ int64, line string) {
			if !strings.Contains(line, " -> ") {
				return
			}
			_, reason, _ := strings.Cut(strings.TrimSuffix(line, ")"), "(")
			seen[reason]++
			who, to, _ := strings.Cut(line, " -> ")
			to, _, _ = strings.Cut(to, " ")
			who, _, _ = strings.Cut(who, " ")
			seen[who+" "+to]++
		})
	}
	var want []string
	for k := range faultKinds {
		want = append(want, "fault "+k.String())
	}
	for _, d := range Dialects {
		want = append(want, d.Name+" MASTER", d.Name+" BACKUP", d.Name+" INIT")
	}
	want = append(want, "interface is ready", "master timed out", "master bowed out", "preempting a slower master", "master is more demoted",
		"master would time out", "master is less demoted", "faster master", "equal master", "own timer late", "state set by hand",
		"carpdev lost its link", "carpdev gone", "link cannot be made", "interface is down", "kernelsim ends")
	for _, w := range want {
		if seen[w] == 0 {
			t.Errorf("never: %s", w)
		}
	}
}

// The traces of a few seeds, the same on every architecture. Whatever changes what an engine, a peer or the world does changes them: then the
// new ones belong here.
func TestHashes(t *testing.T) {
	want := []uint64{
		0x93a5bf031771e365, 0x6f24843999454993, 0x34bcf9eb799b6e3f, 0xc6333d551df0d7d2,
		0x8783d6b8d07f4bcd, 0x50cf3e3b9dea532c, 0x35d58fa15f16af74, 0xbf914057fad1280d,
	}
	var got []uint64
	for seed := range want {
		got = append(got, Run(NewScenario(uint64(seed+1)), Honest, nil).Hash)
	}
	if !slices.Equal(got, want) {
		for n := range got {
			t.Logf("%#x,", got[n])
		}
		t.Errorf("the hashes of seeds 1 to %d are not %#x but those above", len(want), want)
	}
	if again := Run(NewScenario(1), Honest, nil).Hash; again != got[0] {
		t.Errorf("the same seed, another trace: %#x and %#x", got[0], again)
	}
}

// TestFresh runs seeds that nobody has run before, for CARP_SIM_SECONDS.
func TestFresh(t *testing.T) {
	seconds := 2
	if v := os.Getenv("CARP_SIM_SECONDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("CARP_SIM_SECONDS: %v", err)
		}
		seconds = n
	}
	first := uint64(time.Now().UnixNano())
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var events, simulated, runs uint64
	for seed := first; time.Now().Before(end) && !t.Failed(); seed++ {
		r := try(t, seed)
		events += r.Events
		simulated += uint64(r.Time / second)
		runs++
	}
	t.Logf("%d seeds from %d on: %d events, %d days of cluster life", runs, first, events, simulated/86400)
}
