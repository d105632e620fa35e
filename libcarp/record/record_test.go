package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

func newFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "record"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func newRecord(t testing.TB) *Record {
	t.Helper()
	r, err := Init(newFile(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// master returns what is kept of a master, all of it made of n.
func master(n int) engine.Kept {
	k := engine.Kept{
		Carp: "carp2147483647", VHID: uint8(n), Config: uint64(n) << 32, Carpdev: n & 0x7fffffff, State: engine.Master,
		Deadline: engine.Instant(n + 1), Heard: engine.Instant(n + 2), Announcements: n % 3, Rival: n%2 == 0, Failing: [2]bool{n%3 == 0, n%5 == 0},
		BowOuts: [2]uint64{uint64(n + 3), uint64(n + 4)}, Probes: [2]int{n % 97, n % 89}, Recovered: [2]engine.Instant{engine.Instant(n), engine.Instant(n + 6)},
		TieSrc: []netip.Addr{{}, netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(n)})}[n%3], TieSealed: n%2 == 1, Ties: n % 8,
	}
	for i := range n % (len(k.Previous) + 1) {
		k.Previous[i].Until = engine.Instant(n + i + 1)
		k.Previous[i].Fixed = [wire.FixedSize]byte{0: byte(n), wire.FixedSize - 1: byte(n + i)}
	}
	return k
}

func frame(n int) []byte {
	b := make([]byte, frameMax-n%2)
	for i := range b {
		b[i] = byte(n)
	}
	return b
}

// keep writes a master as the loop does.
func keep(w *Writer, k engine.Kept, n int) bool {
	now := engine.Instant(n + 5)
	for f := range 2 {
		w.Sent(k.Carp, k.VHID, now, now+1, f, n, frame(n+f))
	}
	w.Until(k.Carp, now+2)
	return w.Keep(&k)
}

// Masters are found, also by who decides over no slot, until the supervisor has given them up.
func TestMasters(t *testing.T) {
	r := newRecord(t)
	w := r.Write(nil)
	w.Keep(&engine.Kept{Carp: "carp1", VHID: 7, State: engine.Backup, Deadline: 5})
	m := master(9)
	first := m
	first.State = engine.Backup
	w.Keep(&first)
	keep(w, m, 9)
	found := func(when string, want int) {
		t.Helper()
		all := r.Masters()
		if len(all) != want {
			t.Fatalf("%s: %d masters, want %d", when, len(all), want)
		}
		for _, e := range all {
			if e.VHID != 9 || e.Until != 16 || e.Interval != 15 {
				t.Errorf("%s: vhid %d, until %d, interval %d", when, e.VHID, e.Until, e.Interval)
			}
		}
	}
	found("the engine's", 1)
	r.Orphan()
	found("nobody's", 1)
	for _, e := range r.Orphans() {
		r.Take(e.Slot, GivenUp)
	}
	found("given up", 0)
}

// What is kept is what the next engine reads, once it is known that the first is dead.
func TestKeep(t *testing.T) {
	r := newRecord(t)
	w := r.Write(nil)
	backup := engine.Kept{Carp: "carp1", VHID: 7, State: engine.Backup, Deadline: 5}
	m := master(9)
	first := m
	first.State = engine.Backup
	for _, ok := range []bool{w.Keep(&first), keep(w, m, 9), w.Keep(&backup)} {
		if !ok {
			t.Fatal("no room")
		}
	}
	if len(r.Orphans()) != 0 {
		t.Error("orphans while it lives")
	}
	r.Orphan()
	next, err := Open(r.file)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	all := next.Orphans()
	if len(all) != 2 {
		t.Fatalf("%d orphans", len(all))
	}
	want := Entry{Kept: m, Slot: 0, Until: 16, Sent: 14, Interval: 15}
	for f := range want.Frames {
		want.Frames[f].set(9, frame(9+f))
	}
	if !reflect.DeepEqual(*all[0], want) {
		t.Errorf("kept %+v, want %+v", *all[0], want)
	}
	if want := (Entry{Kept: backup, Slot: 1}); !reflect.DeepEqual(*all[1], want) {
		t.Errorf("kept %+v, want %+v", *all[1], want)
	}
	// One of the two takes it.
	if !next.Take(0, Engine) || r.Take(0, GivenUp) || !r.Take(1, GivenUp) || next.Take(1, Engine) {
		t.Error("taken twice, or not at all")
	}
	if g := next.GivenUp(); len(g) != 1 || g[0].Carp != "carp1" {
		t.Errorf("given up: %v", g)
	}
	// The next engine goes on writing where it was; what was given up is forgotten.
	w = next.Write(all[:1])
	keep(w, m, 9)
	if e := w.entries[m.Carp][0]; e.Slot != 0 || e.Sent != 14 {
		t.Errorf("goes on with %+v", e)
	}
	r.Orphan()
	if all := r.Orphans(); len(all) != 1 || all[0].Carp != m.Carp {
		t.Errorf("%d orphans of the second engine", len(all))
	}
}

// Who is no master any more has no lease and no bow-out, and who is gone is not kept.
func TestKeepLess(t *testing.T) {
	r := newRecord(t)
	w := r.Write(nil)
	m := master(9)
	keep(w, m, 9)
	keep(w, m, 9)
	m.State = engine.Backup
	w.Keep(&m)
	r.Orphan()
	if e := r.Orphans()[0]; e.State != engine.Backup || e.Until != 0 || e.Sent != 0 || len(e.Frames[0].Bytes()) != 0 {
		t.Errorf("kept %+v", *e)
	}
	for n := range copies { // neither copy is a master's
		if e := new(Entry); e.decode2(r.slot(0), n) && e.State == engine.Master {
			t.Error("there is a master's copy left")
		}
	}
	w = r.Write(r.Orphans())
	m.State = engine.Init
	w.Keep(&m)
	r.Orphan()
	if n := len(r.Orphans()); n != 0 {
		t.Errorf("%d orphans", n)
	}
	o := master(10)
	o.Carp = "carp3"
	w.Keep(&o)
	if w.next != 1 || w.entries["carp3"][0].Slot != 0 {
		t.Error("the slot is not used again")
	}
}

func (e *Entry) decode2(slot []byte, n int) bool {
	_, ok := e.decode(slot[atCopy(n):][:copySize])
	return ok
}

// There is room for many, and no more.
func TestRoom(t *testing.T) {
	r := newRecord(t)
	w := r.Write(nil)
	for n := range slotMax + 10 {
		k := engine.Kept{Carp: fmt.Sprintf("carp%d", n), VHID: 1, State: engine.Backup}
		if got, want := w.Keep(&k), n < slotMax; got != want {
			t.Fatalf("%d: %v", n, got)
		}
	}
	r.Orphan()
	if n := len(r.Orphans()); n != slotMax {
		t.Errorf("%d orphans", n)
	}
}

// A record of another version, or something else, is refused.
func TestForeign(t *testing.T) {
	for what, spoil := range map[string]func(f *os.File) error{
		"empty":           func(f *os.File) error { return f.Truncate(0) },
		"short":           func(f *os.File) error { return f.Truncate(size - 1) },
		"long":            func(f *os.File) error { return f.Truncate(size + 1) },
		"another version": func(f *os.File) error { _, err := f.WriteAt([]byte{version + 1}, atVersion); return err },
		"something else":  func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 0); return err },
	} {
		f := newFile(t)
		r, err := Init(f)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if err := spoil(f); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// killed returns a record whose writer was killed some time after its first beat. The writer is the same test in a process of its own, with the variable
// env set, and has the record's file as its descriptor 3.
func killed(t *testing.T, env string, after time.Duration) *Record {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := newFile(t)
	r, err := Init(f)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), env+"=1")
	c.ExtraFiles = []*os.File{f}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		c.Process.Kill()
		c.Wait()
	}()
	for end := time.Now().Add(10 * time.Second); r.Beats() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not write")
		}
	}
	time.Sleep(after)
	return r
}

// A writer that is killed at any moment leaves what he wrote last, or what he wrote before, and never a mixture. This test is both.
func TestKilledWriter(t *testing.T) {
	if os.Getenv("RECORD_WRITES") != "" {
		r, err := Open(os.NewFile(3, "record"))
		if err != nil {
			t.Fatal(err)
		}
		w := r.Write(nil)
		m := master(0)
		m.State = engine.Backup
		w.Keep(&m)
		for n := 0; ; n++ {
			m := master(n)
			m.VHID = 0
			keep(w, m, n)
			r.Beat()
		}
	}
	for trial := range 20 {
		r := killed(t, "RECORD_WRITES", time.Duration(trial*173)*time.Microsecond)
		r.Orphan()
		all := r.Orphans()
		if len(all) != 1 {
			t.Fatalf("%d entries", len(all))
		}
		e := all[0]
		n := int(e.Config >> 32)
		want := master(n)
		want.VHID = 0
		if !reflect.DeepEqual(e.Kept, want) || e.Sent != engine.Instant(n+5) || e.Frames[1].Carpdev != n || string(e.Frames[1].Bytes()) != string(frame(n+1)) {
			t.Errorf("after %d writes: %+v", r.Beats(), *e)
		}
		if n < int(r.Beats())-1 {
			t.Errorf("%d after %d writes", n, r.Beats())
		}
		r.Close()
	}
}

// Whatever stands in a slot is refused or makes sense.
func FuzzSlot(f *testing.F) {
	r := newRecord(f)
	w := r.Write(nil)
	m := master(9)
	keep(w, m, 9)
	keep(w, m, 9)
	f.Add(r.slot(0), false)
	f.Add(make([]byte, slotSize), true)
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		slot := make([]byte, slotSize)
		copy(slot, data)
		for n := range copies { // most would be refused for their sum alone
			if b := slot[atCopy(n):][:copySize]; sum {
				binary.LittleEndian.PutUint32(b[atSum:], sumOf(b))
			}
		}
		e, ok := decodeSlot(slot)
		if !ok {
			return
		}
		if e.State != engine.Backup && e.State != engine.Master || len(e.Carp) > 15 || e.Deadline < 0 || e.Carpdev < 0 {
			t.Errorf("%+v", *e)
		}
		var b [copySize]byte
		e.encode(1, &b)
		again := new(Entry)
		if _, ok := again.decode(b[:]); !ok {
			t.Errorf("%+v cannot be read again", *e)
		}
		again.Until = e.Until
		if !reflect.DeepEqual(again, e) {
			t.Errorf("%+v became %+v", *e, *again)
		}
	})
}
