package record

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"unsafe"

	"carp/libcarp/config"
)

// Counters need no second copy: each is one word that only grows, and is stored at once. Whoever is killed in between has not counted the rest of one event.
// Those of the machine stand in the header. Those of the carps have places of their own behind the slots, since a carp counts in INIT, too.
const (
	atMachine   = 64
	atPlaces    = headerSize + slotMax*slotSize
	placeSize   = 256
	placesChunk = 16 // how many get their memory at once

	atMark     = 0 // what the place is, and the sum of the name
	atName     = 8 // behind its length
	nameMax    = 15
	atCounters = 24
)

// There is room for all of them.
var _ [placeSize - atCounters - 8*int(config.Counters)]byte

// What a place is.
const (
	unused = iota // and so are all behind it
	free
	taken
)

func (r *Record) place(n int) []byte { return r.mem[atPlaces+n*placeSize:][:placeSize:placeSize] }

func mark(place []byte) *uint64 { return (*uint64)(unsafe.Pointer(&place[atMark])) }

func markOf(name string) uint64 { return taken | uint64(crc32.Checksum([]byte(name), table))<<32 }

// nameOf returns whose place it is; ok is false when it is nobody's, or damaged.
func nameOf(place []byte) (name string, ok bool) {
	m := binary.NativeEndian.Uint64(place)
	n := int(place[atName])
	if m&0xffffffff != taken || n > nameMax {
		return "", false
	}
	name = string(place[atName+1:][:n])
	return name, m == markOf(name) && config.IsCarpName(name)
}

func readCounters(at []byte) (s config.Stats) {
	for c := range s {
		s[c] = binary.NativeEndian.Uint64(at[8*c:])
	}
	return s
}

func storeCounters(at []byte, s *config.Stats) {
	for c, v := range s {
		if p := (*uint64)(unsafe.Pointer(&at[8*c])); *p != v {
			atomic.StoreUint64(p, v)
		}
	}
}

// Counters returns what engines before have counted: the machine's, and those of its carps.
func (r *Record) Counters() (machine config.Stats, carps map[string]config.Stats) {
	carps = map[string]config.Stats{}
	for n := range slotMax {
		p := r.place(n)
		if binary.NativeEndian.Uint64(p) == unused {
			break
		}
		if name, ok := nameOf(p); ok {
			carps[name] = readCounters(p[atCounters:])
		}
	}
	return readCounters(r.mem[atMachine:]), carps
}

// findPlaces takes over which places are whose.
func (w *Writer) findPlaces() {
	w.places = map[string]int{}
	for w.nextPlace = 0; w.nextPlace < slotMax && binary.NativeEndian.Uint64(w.place(w.nextPlace)) != unused; w.nextPlace++ {
		name, ok := nameOf(w.place(w.nextPlace))
		if _, twice := w.places[name]; !ok || twice {
			atomic.StoreUint64(mark(w.place(w.nextPlace)), free)
			w.freePlaces = append(w.freePlaces, w.nextPlace)
			continue
		}
		w.places[name] = w.nextPlace
	}
}

// CountMachine keeps the counters of the machine.
func (w *Writer) CountMachine(s *config.Stats) { storeCounters(w.mem[atMachine:], s) }

// Count keeps the counters of a carp. Those for which there is no room begin anew with the next engine.
func (w *Writer) Count(carp string, s *config.Stats) {
	n, ok := w.places[carp]
	if !ok {
		if n, ok = w.takePlace(carp); !ok {
			return
		}
	}
	storeCounters(w.place(n)[atCounters:], s)
}

func (w *Writer) takePlace(carp string) (n int, ok bool) {
	if len(carp) > nameMax {
		return 0, false
	}
	if last := len(w.freePlaces) - 1; last >= 0 {
		n, w.freePlaces = w.freePlaces[last], w.freePlaces[:last]
	} else {
		if w.nextPlace == slotMax || w.nextPlace%placesChunk == 0 && reserve(w.file, atPlaces+int64(w.nextPlace)*placeSize, placesChunk*placeSize) != nil {
			return 0, false
		}
		n = w.nextPlace
		w.nextPlace++
	}
	p := w.place(n)
	storeCounters(p[atCounters:], new(config.Stats))
	p[atName] = byte(len(carp))
	copy(p[atName+1:], carp)
	atomic.StoreUint64(mark(p), markOf(carp))
	w.places[carp] = n
	return n, true
}

// Forget lets the counters of a carp go that is destroyed.
func (w *Writer) Forget(carp string) {
	if n, ok := w.places[carp]; ok {
		atomic.StoreUint64(mark(w.place(n)), free)
		w.freePlaces = append(w.freePlaces, n)
		delete(w.places, carp)
	}
}
