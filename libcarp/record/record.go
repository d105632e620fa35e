package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
)

// The layout: a header, slots, one for each virtual host, and places for the counters of carps. The version changes with it: an engine
// that finds another version says that it cannot go on.
const (
	magic      = "carpkept"
	version    = 3
	headerSize = 4096
	slotSize   = 2560
	slotMax    = 4096
	size       = atPlaces + slotMax*placeSize
)

// Where things are in the header, and in a slot.
const (
	atVersion = 8
	atBeats   = 16

	atOwner = 0
	atUntil = 8
)

// chunk is how many slots get their memory at once.
const chunk = 64

// ErrForeign is returned by [Open] for a record that a kernelsim with another layout has written.
var ErrForeign = errors.New("record: another version's")

// A Record is the mapped memory.
type Record struct {
	file *os.File
	mem  []byte
}

// Init makes a record of an empty file in memory.
func Init(f *os.File) (*Record, error) {
	if err := f.Truncate(size); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if err := reserve(f, 0, headerSize); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r, err := mapped(f)
	if err != nil {
		return nil, err
	}
	binary.NativeEndian.PutUint32(r.mem[atVersion:], version)
	copy(r.mem, magic)
	return r, nil
}

// Open maps a record that was inherited. The error is ErrForeign when its layout is another one.
func Open(f *os.File) (*Record, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if info.Size() != size { // beyond the end nothing can be read
		return nil, ErrForeign
	}
	r, err := mapped(f)
	if err != nil {
		return nil, err
	}
	if string(r.mem[:len(magic)]) != magic || binary.NativeEndian.Uint32(r.mem[atVersion:]) != version {
		r.Close()
		return nil, ErrForeign
	}
	return r, nil
}

func mapped(f *os.File) (*Record, error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return &Record{f, mem}, nil
}

// Close unmaps the record. The file stays open.
func (r *Record) Close() error { return unix.Munmap(r.mem) }

// Beat tells that the engine's loop works.
func (r *Record) Beat() { atomic.AddUint64(r.word(atBeats), 1) }

// Beats returns how often Beat was called, by all engines together.
func (r *Record) Beats() uint64 { return atomic.LoadUint64(r.word(atBeats)) }

func (r *Record) word(at int) *uint64 { return (*uint64)(unsafe.Pointer(&r.mem[at])) }

func (r *Record) slot(n int) []byte { return r.mem[headerSize+n*slotSize:][:slotSize:slotSize] }

// An Owner is who decides over what a slot keeps.
type Owner uint32

const (
	Engine   Owner = iota // the one that wrote it; it may be alive
	Orphaned              // nobody: the next engine or the supervisor, who comes first
	GivenUp               // the supervisor, who has sent the bow-out
)

func (r *Record) owner(n int) *uint32 { return (*uint32)(unsafe.Pointer(&r.slot(n)[atOwner])) }

// Take gives an orphaned slot to a new owner. It reports false when somebody else has taken it first.
func (r *Record) Take(n int, by Owner) bool {
	return atomic.CompareAndSwapUint32(r.owner(n), uint32(Orphaned), uint32(by))
}

// Orphan is called when the engine has died: whatever it kept may be taken.
func (r *Record) Orphan() {
	for _, e := range r.of(Engine) {
		atomic.CompareAndSwapUint32(r.owner(e.Slot), uint32(Engine), uint32(Orphaned))
	}
}

// Orphans returns what dead engines have kept and nobody has taken. What is damaged is not among them.
func (r *Record) Orphans() []*Entry { return r.of(Orphaned) }

// GivenUp returns what the supervisor has taken.
func (r *Record) GivenUp() []*Entry { return r.of(GivenUp) }

// Masters returns the entries of masters, whoever decides over them, but for the supervisor.
func (r *Record) Masters() (all []*Entry) {
	for _, owner := range []Owner{Engine, Orphaned} {
		for _, e := range r.of(owner) {
			if e.State == engine.Master {
				all = append(all, e)
			}
		}
	}
	return all
}

// of returns the undamaged entries of an owner. Slots are used from the first on, so one that was never used ends the search.
func (r *Record) of(owner Owner) (all []*Entry) {
	for n := range slotMax {
		s := r.slot(n)
		if untouched(s) {
			break
		}
		if Owner(atomic.LoadUint32(r.owner(n))) != owner {
			continue
		}
		if e, ok := decodeSlot(s); ok {
			e.Slot = n
			all = append(all, e)
		}
	}
	return all
}

// untouched reports whether a slot was never used: one that was has a sequence number.
func untouched(slot []byte) bool {
	return binary.NativeEndian.Uint64(slot[atLast:]) == 0
}

// A Writer is the engine's end of a record.
type Writer struct {
	*Record
	entries map[string][]*entry // by carp: its virtual hosts
	free    []int
	next    int // of the slots that were never used
	buf     [copySize]byte

	places     map[string]int // of the counters of carps
	freePlaces []int
	nextPlace  int // of those that were never used
}

// An entry is a slot in use.
type entry struct {
	Entry
	seq uint64
}

// Write takes the record over. What the engine goes on with stays as it is, and what the supervisor may still take; everything else is forgotten.
func (r *Record) Write(goOn []*Entry) *Writer {
	w := &Writer{Record: r, entries: map[string][]*entry{}}
	w.findPlaces()
	stays := map[int]*Entry{}
	for _, e := range goOn {
		stays[e.Slot] = e
	}
	for w.next = 0; w.next < slotMax && !untouched(r.slot(w.next)); w.next++ {
		n := w.next
		e := stays[n]
		if e == nil {
			if Owner(atomic.LoadUint32(r.owner(n))) == Orphaned {
				continue
			}
			w.clear(n)
			w.free = append(w.free, n)
			continue
		}
		w.entries[e.Carp] = append(w.entries[e.Carp], &entry{Entry: *e, seq: binary.NativeEndian.Uint64(r.slot(n)[atLast:])})
	}
	return w
}

// clear voids a slot.
func (w *Writer) clear(n int) {
	s := w.slot(n)
	for i := range copies {
		atomic.StoreUint64((*uint64)(unsafe.Pointer(&s[atCopy(i)])), 0)
	}
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&s[atUntil])), 0)
	atomic.StoreUint32(w.owner(n), uint32(Engine))
}

// entry returns the entry of a virtual host. Where it has none, entry makes one if make is set and there is room; else it returns nil.
func (w *Writer) entry(carp string, vhid uint8, make bool) *entry {
	for _, e := range w.entries[carp] {
		if e.VHID == vhid {
			return e
		}
	}
	if !make {
		return nil
	}
	e := &entry{Entry: Entry{Slot: w.next}}
	if last := len(w.free) - 1; last >= 0 {
		e.Slot, w.free = w.free[last], w.free[:last]
	} else {
		if w.next == slotMax {
			return nil
		}
		// A hole that there is no memory to fill would kill whoever stores into it.
		if w.next%chunk == 0 && reserve(w.file, headerSize+int64(w.next)*slotSize, chunk*slotSize) != nil {
			return nil
		}
		w.next++
	}
	e.Carp, e.VHID = carp, vhid
	e.seq = binary.NativeEndian.Uint64(w.slot(e.Slot)[atLast:])
	w.entries[carp] = append(w.entries[carp], e)
	return e
}

// Keep keeps what the engine says of a virtual host. It reports false when there is no room: the next engine starts it as a backup.
func (w *Writer) Keep(k *engine.Kept) bool {
	e := w.entry(k.Carp, k.VHID, k.State != engine.Init)
	if e == nil {
		return k.State == engine.Init
	}
	if k.State == engine.Init {
		w.drop(e)
		return true
	}
	e.Kept = *k
	if k.State != engine.Master {
		e.Sent, e.Interval, e.Until, e.Frames = 0, 0, 0, [2]Frame{}
	}
	w.write(e)
	return true
}

func (w *Writer) drop(e *entry) {
	w.clear(e.Slot)
	w.free = append(w.free, e.Slot)
	rest := w.entries[e.Carp][:0]
	for _, o := range w.entries[e.Carp] {
		if o != e {
			rest = append(rest, o)
		}
	}
	if w.entries[e.Carp] = rest; len(rest) == 0 {
		delete(w.entries, e.Carp)
	}
}

// Sent keeps when a virtual host's last advert got out, and the frame of the bow-out that was prepared with it, of the family of that place; nil:
// there is none.
func (w *Writer) Sent(carp string, vhid uint8, sent, interval engine.Instant, family, carpdev int, frame []byte) {
	e := w.entry(carp, vhid, false)
	if e == nil {
		return
	}
	e.Sent, e.Interval = sent, interval
	e.Frames[family].set(carpdev, frame)
}

// Until keeps a carp's lease.
func (w *Writer) Until(carp string, until engine.Instant) {
	for _, e := range w.entries[carp] {
		e.Until = until
		atomic.StoreInt64((*int64)(unsafe.Pointer(&w.slot(e.Slot)[atUntil])), int64(until))
	}
}

// write writes the older of the two copies: the other stays valid until this one is. He who is no master any more must never be taken for one: there the
// other goes first.
func (w *Writer) write(e *entry) {
	s := w.slot(e.Slot)
	e.seq++
	at := atCopy(int(e.seq % copies))
	seq := func(copy int) *uint64 { return (*uint64)(unsafe.Pointer(&s[atCopy(copy)])) }
	if e.State != engine.Master {
		atomic.StoreUint64(seq(int((e.seq+1)%copies)), 0)
	}
	e.encode(e.seq, &w.buf)
	atomic.StoreUint64(seq(int(e.seq%copies)), 0)
	copy(s[at+8:at+copySize], w.buf[8:])
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&s[atLast])), e.seq)
	atomic.StoreUint64(seq(int(e.seq%copies)), e.seq)
	atomic.StoreInt64((*int64)(unsafe.Pointer(&s[atUntil])), int64(e.Until))
	atomic.StoreUint32(w.owner(e.Slot), uint32(Engine))
}
