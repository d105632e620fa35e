package record

import (
	"fmt"
	"os"
	"testing"
	"time"

	"carp/libcarp/config"
)

func stats(n uint64) (s config.Stats) {
	for c := range s {
		s[c] = n + uint64(c)
	}
	return s
}

func counters(t *testing.T, r *Record, machine config.Stats, carps map[string]config.Stats) {
	t.Helper()
	m, all := r.Counters()
	if m != machine {
		t.Errorf("the machine has counted %v, want %v", m, machine)
	}
	if len(all) != len(carps) {
		t.Errorf("carps %v, want %v", all, carps)
	}
	for name, want := range carps {
		if all[name] != want {
			t.Errorf("%s has counted %v, want %v", name, all[name], want)
		}
	}
}

// What is counted is what the next engine reads, whatever it goes on with; who is forgotten begins anew.
func TestCounters(t *testing.T) {
	r := newRecord(t)
	counters(t, r, config.Stats{}, nil)
	w := r.Write(nil)
	one, two, three := stats(1), stats(200), stats(3000)
	w.CountMachine(&three)
	w.Count("carp0", &one)
	w.Count("carp2147483647", &two)
	next, err := Open(r.file)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	counters(t, next, three, map[string]config.Stats{"carp0": one, "carp2147483647": two})
	w = next.Write(nil)
	one[config.Opackets]++
	w.Count("carp0", &one)
	w.Forget("carp2147483647")
	w.Forget("carp7")
	counters(t, r, three, map[string]config.Stats{"carp0": one})
	w.Count("carp7", new(config.Stats)) // in the place of the one that is gone
	counters(t, r, three, map[string]config.Stats{"carp0": one, "carp7": {}})
	if w.nextPlace != 2 {
		t.Errorf("%d places", w.nextPlace)
	}
	w = r.Write(nil)
	w.Forget("carp0")
	w = r.Write(nil)
	w.Count("carp8", &two)
	counters(t, r, three, map[string]config.Stats{"carp7": {}, "carp8": two})
}

// There is room for many, and those beyond are not kept.
func TestCountersRoom(t *testing.T) {
	r := newRecord(t)
	w := r.Write(nil)
	for n := range slotMax + 10 {
		s := stats(uint64(n))
		w.Count(fmt.Sprintf("carp%d", n), &s)
	}
	if _, all := r.Counters(); len(all) != slotMax || all["carp4095"] != stats(4095) {
		t.Errorf("%d carps, the last: %v", len(all), all["carp4095"])
	}
	if w = r.Write(nil); len(w.places) != slotMax {
		t.Errorf("then %d carps", len(w.places))
	}
}

// A writer that is killed at any moment leaves each counter as it was before or after. This test is both.
func TestKilledCounting(t *testing.T) {
	if os.Getenv("RECORD_COUNTS") != "" {
		r, err := Open(os.NewFile(3, "record"))
		if err != nil {
			t.Fatal(err)
		}
		w := r.Write(nil)
		for n := 1; ; n++ {
			s := stats(uint64(n) << 32) // either half differs
			w.CountMachine(&s)
			w.Count("carp1", &s)
			gone := fmt.Sprintf("carp%d", n+1)
			w.Count(gone, &s)
			w.Forget(gone)
			r.Beat()
		}
	}
	for trial := range 20 {
		r := killed(t, "RECORD_COUNTS", time.Duration(trial*173)*time.Microsecond)
		machine, carps := r.Counters()
		for what, s := range map[string]config.Stats{"machine": machine, "carp1": carps["carp1"]} {
			for n, v := range s {
				if before := r.Beats()<<32 + uint64(n); v != before && v != before+1<<32 {
					t.Errorf("%s: %v is %#x after %d times", what, config.Counter(n), v, r.Beats())
				}
			}
		}
		delete(carps, "carp1")
		if len(carps) > 1 {
			t.Errorf("after %d times there are %v", r.Beats(), carps)
		}
		r.Close()
	}
}

// Whatever stands in a place is nobody's or makes sense, and does not keep the next engine from counting.
func FuzzPlace(f *testing.F) {
	r := newRecord(f)
	s := stats(7)
	r.Write(nil).Count("carp3", &s)
	f.Add(r.place(0)[:atCounters], uint64(1), false)
	f.Add(r.place(0)[:atCounters-1], uint64(1), true)
	f.Fuzz(func(t *testing.T, data []byte, count uint64, sum bool) {
		r, err := Init(newFile(t))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		p := r.place(0)
		copy(p[:atCounters], data)
		if n := int(p[atName]); sum && n <= nameMax { // most would be refused for their sum alone
			*mark(p) = markOf(string(p[atName+1:][:n]))
		}
		storeCounters(p[atCounters:], &config.Stats{config.Opackets: count})
		_, all := r.Counters()
		for name, s := range all {
			if !config.IsCarpName(name) || s[config.Opackets] != count {
				t.Errorf("%q: %v", name, s)
			}
		}
		w := r.Write(nil)
		s := stats(1)
		w.Count("carp5", &s)
		if _, all := r.Counters(); all["carp5"] != s || len(all) > 2 {
			t.Errorf("then %v", all)
		}
	})
}
