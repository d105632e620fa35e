package loop

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/record"
	"carp/libcarp/statedir"
)

func newRecord(t *testing.T) *record.Record {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "record"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := record.Init(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// leave lets a loop hand over.
func (b *bench) leave(handOver chan struct{}) {
	b.t.Helper()
	close(handOver)
	select {
	case err := <-b.ended:
		if err != nil {
			b.t.Error(err)
		}
	case <-time.After(5 * time.Second):
		b.t.Fatal("it does not leave")
	}
	b.end = nil
}

const slowCarp = "create; vhid 1; advbase 0; advskew 100; pass \"geheim\"; alias 192.168.1.10/24"

// A loop that hands over leaves everything as it is; the next goes on at once, and then adopts what is there. Nobody sees a transition.
func TestHandOver(t *testing.T) {
	dir, rec := statedir.Dir(t.TempDir()), newRecord(t)
	handOver := make(chan struct{})
	b := startWith(t, dir, nil, Options{Record: rec, HandOver: handOver})
	b.must(slowCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	b.eventually("settled", func() bool { return slices.Contains(b.host.did(), "announce carp0 [192.168.1.10]") })
	b.leave(handOver)
	counted, carpCounted := b.counted()
	for _, call := range b.host.did() {
		if call == "silence" || call == "remove carp0" || strings.HasPrefix(call, "send 255") || call == "ensure carp0 master=false" && b.host.did()[0] != call {
			t.Errorf("on leaving: %s", call)
		}
	}
	if b.host.closed {
		t.Error("the host is closed")
	}
	if n := slices.Index(b.host.did(), "leave"); n < 0 || slices.ContainsFunc(b.host.did()[n:], func(call string) bool { return strings.HasPrefix(call, "ensure") }) {
		t.Errorf("it does not leave the host last: %v", b.host.did())
	}
	before, err := dir.Events(0)
	if err != nil {
		t.Fatal(err)
	}
	rec.Orphan()

	var h *stubHost
	n := startWith(t, dir, func(prepared *stubHost) { h = prepared }, Options{Record: rec, Adopt: func() error { h.note("adopt"); return nil }})
	if s := n.status().Link(); s != "master" {
		t.Errorf("then it is %s", s)
	}
	n.eventually("an advert", func() bool { return slices.Contains(n.host.did(), "send 0/100/0") })
	if machine, carp := n.counted(); machine[config.Preempt] != 1 || carp[config.Preempt] != 1 || machine[config.Opackets] < counted[config.Opackets] || carp[config.Opackets] < carpCounted[config.Opackets] {
		t.Errorf("counters began anew: %v, %v after %v, %v", machine, carp, counted, carpCounted)
	}
	calls := n.host.did()
	if want := []string{"resume carp0 master=true", "adopt", "ensure carp0 master=true"}; !slices.Equal(withoutSends(calls)[:3], want) {
		t.Errorf("calls %q", calls)
	}
	after, err := dir.Events(0)
	if err != nil || len(after) != len(before) {
		t.Errorf("events %v: %v", after[len(before):], err)
	}
	n.host.mu.Lock()
	defer n.host.mu.Unlock()
	if l := n.host.leases; len(l) == 0 || l[0].until <= l[0].told {
		t.Errorf("leases %v", l)
	}
}

// counted returns the counters of the machine, and of its carp, as they were last written down.
func (b *bench) counted() (machine, carp config.Stats) {
	b.t.Helper()
	machine, _, err := b.dir.Stats()
	if err != nil {
		b.t.Fatal(err)
	}
	carps, _, err := b.dir.CarpStats()
	if err != nil {
		b.t.Fatal(err)
	}
	return machine, carps["carp0"]
}

func withoutSends(calls []string) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(s string) bool { return strings.HasPrefix(s, "send ") })
}

// However long Leaving takes, the adverts go on meanwhile.
func TestHandOverWaitsForLeaving(t *testing.T) {
	handOver, leaving, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b := startWith(t, statedir.Dir(t.TempDir()), nil, Options{Record: newRecord(t), HandOver: handOver, Leaving: func() { close(leaving); <-goOn }})
	b.must(slowCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	adverts := func() (n int) {
		for _, call := range b.host.did() {
			if call == "send 0/100/0" {
				n++
			}
		}
		return n
	}
	left := make(chan struct{})
	go func() { b.leave(handOver); close(left) }()
	<-leaving
	before := adverts()
	b.eventually("two adverts more", func() bool { return adverts() >= before+2 })
	select {
	case <-left:
		t.Error("it did not wait")
	default:
	}
	close(goOn)
	<-left
}

// A request that is being carried out is finished first.
func TestHandOverFinishesRequests(t *testing.T) {
	handOver := make(chan struct{})
	b := startWith(t, statedir.Dir(t.TempDir()), func(h *stubHost) { h.slow = 200 * time.Millisecond }, Options{Record: newRecord(t), HandOver: handOver})
	changed := make(chan error)
	go func() { changed <- b.change(slowCarp) }()
	b.eventually("under way", func() bool {
		_, err := os.Stat(filepath.Join(string(b.dir), "want", "carp0"))
		return err == nil
	})
	b.leave(handOver)
	select {
	case err := <-changed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Second):
		t.Error("not answered")
	}
	if !slices.Contains(b.host.did(), "ensure carp0 master=false") {
		t.Errorf("calls %q", b.host.did())
	}
}

// Where the lease has run out before, or cannot be right, the carp begins as a backup; what is kept of it is left for the supervisor.
func TestResumeTooLate(t *testing.T) {
	const ms = engine.Instant(time.Millisecond)
	for what, c := range map[string]struct {
		sent, until engine.Instant // beyond now
		resumed     bool
	}{
		"fresh":          {-100 * ms, 300 * ms, true},
		"new advert":     {-390 * ms, 400 * ms, true},
		"run out":        {-400 * ms, -1 * ms, false},
		"none":           {-100 * ms, -1e9, false},
		"beyond reason":  {-100 * ms, 501 * ms, false},
		"of long ago":    {-3000 * ms, 100 * ms, false},
		"of the future":  {50 * ms, 300 * ms, false},
		"never an until": {-100 * ms, 1 << 60, false},
	} {
		rec := newRecord(t)
		m := config.NewMachine()
		i := config.NewInterface("carp0", 0)
		i.Up, i.Carpdev, i.Nodes[0] = true, "em0", config.Node{VHID: 1, Advskew: 100}
		i.Addrs = []netip.Prefix{netip.MustParsePrefix("192.168.1.10/24")}
		if err := m.LoadInterface("carp0", i.Clauses()); err != nil {
			t.Fatal(err)
		}
		r := &leaseRig{host: &stubHost{}, now: 1000e9}
		r.Loop = New(Options{Machine: m, Host: r.host, Clock: r, Log: func(engine.Level, string) {}, Record: rec})
		r.server = statedir.NewServer(nil, nil)
		links := (&bench{}).links()
		k := engine.Kept{Carp: "carp0", VHID: 1, Config: configOf(t, r.engine, links), Carpdev: 2, State: engine.Backup}
		w := rec.Write(nil)
		w.Keep(&k)
		k.State, k.Deadline = engine.Master, r.now+c.sent+400*ms
		w.Sent("carp0", 1, r.now+c.sent, 400*ms, 0, 2, []byte("bow-out"))
		w.Until("carp0", r.now+c.until)
		w.Keep(&k)
		rec.Orphan()
		resumed := r.resumes(rec.Orphans(), links)
		if got := len(resumed.Nodes) == 1; got != c.resumed {
			t.Errorf("%s: resumed %v", what, got)
		}
		if got := len(rec.Orphans()) == 0; got != c.resumed {
			t.Errorf("%s: taken %v", what, got)
		}
		if (r.leases["carp0"] != nil) != c.resumed {
			t.Errorf("%s: leases %v", what, r.leases)
		}
	}
}

// configOf finds what stands for a configuration, by trying it: the engine tells of it once the carp runs.
func configOf(t *testing.T, e *engine.Engine, links []config.Link) (sum uint64) {
	t.Helper()
	e.Step(1, &engine.Links{Links: links})
	e.Changes(func(k *engine.Kept) { sum = k.Config })
	if sum == 0 {
		t.Fatal("it does not run")
	}
	return sum
}

// The loop beats while nothing happens.
func TestBeat(t *testing.T) {
	rec := newRecord(t)
	b := startWith(t, statedir.Dir(t.TempDir()), nil, Options{Record: rec})
	before := rec.Beats()
	b.eventually("five beats", func() bool { return rec.Beats() >= before+5 })
}

// Counters go on, too, where nothing else does; those of a carp that is gone are forgotten.
func TestCountersGoOn(t *testing.T) {
	rec := newRecord(t)
	w := rec.Write(nil)
	s := config.Stats{config.Badttl: 7}
	w.CountMachine(&s)
	w.Count("carp0", &s)
	w.Count("carp1", &s)
	dir := statedir.Dir(t.TempDir())
	b := startWith(t, dir, nil, Options{Record: rec})
	b.must(slowCarp) // the first of its name
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	if machine, carp := b.counted(); machine[config.Badttl] != 7 || carp[config.Badttl] != 0 {
		t.Errorf("the machine has counted %v, carp0 %v", machine, carp)
	}
	b.eventually("kept", func() bool {
		machine, carps := rec.Counters()
		return machine[config.Preempt] == 1 && len(carps) == 1 && carps["carp0"][config.Preempt] == 1
	})
	b.must("destroy")
	if _, carps := rec.Counters(); len(carps) != 0 {
		t.Errorf("kept of whom is gone: %v", carps)
	}
}

// A loop that cannot adopt what is there ends: the supervisor knows what to do.
func TestAdoptFails(t *testing.T) {
	dir, rec := statedir.Dir(t.TempDir()), newRecord(t)
	handOver := make(chan struct{})
	b := startWith(t, dir, nil, Options{Record: rec, HandOver: handOver})
	b.must(slowCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	b.leave(handOver)
	rec.Orphan()
	failure := errors.New("no netlink")
	n := startWith(t, dir, nil, Options{Record: rec, Adopt: func() error { return failure }})
	select {
	case err := <-n.ended:
		if !errors.Is(err, failure) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it goes on")
	}
	n.end = nil
}
