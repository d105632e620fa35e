package gate

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rig is a table of few slots with a stand-in for the map of addresses.
type rig struct {
	t *testing.T
	table
	leads map[Addr]int
}

func newRig(t *testing.T, slots int) *rig {
	return &rig{t, newTable(make([]int64, slots)), map[Addr]int{}}
}

func (r *rig) add(carp string) int {
	r.t.Helper()
	slot, err := r.take()
	if err != nil {
		r.t.Fatal(err)
	}
	r.carps[carp] = slot
	return slot
}

func (r *rig) set(carp string, addrs ...Addr) error {
	edits, err := r.table.set(map[string][]Addr{carp: addrs})
	for _, e := range edits {
		if e.slot < 0 {
			delete(r.leads, e.addr)
		} else {
			r.leads[e.addr] = e.slot
		}
	}
	if err == nil {
		r.settle(edits, false)
	}
	return err
}

// ends returns the lease that the address leads to.
func (r *rig) ends(a Addr) int64 {
	slot, ok := r.leads[a]
	if !ok {
		return -1
	}
	return r.leases[slot]
}

func TestTable(t *testing.T) {
	r := newRig(t, 4)
	x, y := Addr{0, netip.MustParseAddr("192.0.2.1")}, Addr{0, netip.MustParseAddr("2001:db8::1")}
	want := func(what string, ofX, ofY int64) {
		t.Helper()
		if gotX, gotY := r.ends(x), r.ends(y); gotX != ofX || gotY != ofY {
			t.Errorf("%s: %d, %d, want %d, %d", what, gotX, gotY, ofX, ofY)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := r.add("a"), r.add("b"), r.add("c")
	must(r.set("a", x, y))
	r.renew(a, 5)
	want("alone", 5, 5)
	r.renew(b, 7)
	must(r.set("b", x))
	want("shared", 7, 5)
	r.renew(b, 0)
	want("one of two shut", 5, 5)
	r.renew(a, 0)
	want("both shut", 0, 0)
	r.renew(a, 8)
	r.renew(b, 9)
	must(r.set("c", x))
	r.renew(c, 6)
	want("three", 9, 8)
	if err := r.set("c", x, y); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("no slot is left for y: %v", err)
	}
	want("refused", 9, 8)
	must(r.set("b"))
	want("two again", 8, 8)
	must(r.set("a", y))
	want("c alone", 6, 8)
	must(r.set("c", x, y)) // the slot of x is free again
	r.renew(c, 3)
	want("y shared", 3, 8)
	must(r.set("a"))
	must(r.set("c"))
	want("none", -1, -1)
	for i, used := range r.used {
		if used != (i == a || i == b || i == c) {
			t.Errorf("slot %d used: %t", i, used)
		}
	}
	if len(r.addrs) != 0 || len(r.shared) != 0 {
		t.Errorf("left: %v, %v", r.addrs, r.shared)
	}
	r.shutAll()
	if _, err := r.table.set(map[string][]Addr{"d": {x}}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a carp that is none: %v", err)
	}
}

// Another process that is told all carps at once changes nothing where nothing has changed, and loses no lease.
func TestTableInherit(t *testing.T) {
	r := newRig(t, 8)
	x, y, z := Addr{0, netip.MustParseAddr("192.0.2.1")}, Addr{2, netip.MustParseAddr("fe80::1")}, Addr{0, netip.MustParseAddr("192.0.2.3")}
	r.leases[1], r.leases[2], r.leases[3] = 10, 20, 20
	r.inherit(map[string]int{"a": 1, "b": 2}, map[Addr]int{x: 3, y: 1, z: 2})
	edits, err := r.table.set(map[string][]Addr{"a": {x, y}, "b": {x}})
	if err != nil || len(edits) != 2 {
		t.Fatalf("%v, %v", edits, err)
	}
	for _, e := range edits {
		switch {
		case e.addr == z && e.slot < 0:
		case e.addr == x && e.slot != 3 && r.leases[e.slot] == 20: // a slot of its own, not the one that it leads to still
		default:
			t.Errorf("edit %v", e)
		}
	}
	r.settle(edits, false)
	if r.leases[1] != 10 || r.leases[2] != 20 || r.leases[3] != 0 || r.used[3] {
		t.Errorf("leases %v, used %v", r.leases, r.used)
	}
}

// What could not be written is written the next time, and its slots are nobody else's.
func TestTableFailedEdit(t *testing.T) {
	r := newRig(t, 4)
	x := Addr{0, netip.MustParseAddr("192.0.2.1")}
	r.add("a")
	for _, failed := range []bool{true, false} {
		edits, err := r.table.set(map[string][]Addr{"a": {x}})
		if err != nil || len(edits) != 1 {
			t.Fatalf("failed %t: %v, %v", failed, edits, err)
		}
		r.settle(edits, failed)
	}
	if edits, _ := r.table.set(map[string][]Addr{"a": {x}}); len(edits) != 0 {
		t.Errorf("again: %v", edits)
	}
}

// BenchmarkRenew renews 10,000 carps, as a host would that is master of all, and measures a renewal by the cheapest system call: it makes none itself, where
// a map of the kernel's without shared memory would take one.
func BenchmarkRenew(b *testing.B) {
	g, err := New("/benchmark")
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	b.ResetTimer()
	for range b.N {
		for slot := range 10000 {
			g.Renew(slot, 1)
		}
	}
	b.StopTimer()
	start := time.Now()
	for range b.N {
		for range 10000 {
			unix.Getppid()
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(time.Since(start)), "syscalls/renewal")
}

// Each shared address has its hint, as long as any has that end.
func TestHints(t *testing.T) {
	g, err := New("/test")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	addr := func(s string) Addr { return Addr{0, netip.MustParseAddr(s)} }
	a, b, c := addr("192.168.1.10"), addr("10.7.1.10"), addr("2001:db8::10a")
	if a.end() != b.end() || a.end() != c.end() {
		t.Fatalf("ends %x, %x, %x", a.end(), b.end(), c.end())
	}
	d := addr("2001:db8::11")
	for _, carp := range []string{"carp0", "carp1"} {
		if _, err := g.Add(carp); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		want map[string][]Addr
		a, d byte
	}{
		{map[string][]Addr{"carp0": {a, b, d}, "carp1": {c}}, 1, 1},
		{map[string][]Addr{"carp0": {b}}, 1, 0},
		{map[string][]Addr{"carp0": nil}, 1, 0},
		{map[string][]Addr{"carp1": {d}}, 0, 1},
		{map[string][]Addr{"carp1": nil}, 0, 0},
	} {
		if err := g.SetAddrs(step.want); err != nil {
			t.Fatal(err)
		}
		if g.hints[a.end()] != step.a || g.hints[d.end()] != step.d {
			t.Errorf("%v: hints %d, %d, want %d, %d", step.want, g.hints[a.end()], g.hints[d.end()], step.a, step.d)
		}
	}
}
