//go:build linux

package gate

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A table says which slot is whose. Each carp has one; an address that several carps have has one of its own, with the latest of their leases.
type table struct {
	leases []int64 // the slots themselves; the kernel reads them at any time
	used   []bool  // by slot
	carps  map[string]int
	addrs  map[Addr]*entry
	shared map[int][]*entry // by a carp's slot: those of its addresses that have their own
	freed  []int            // slots that addrs may still lead to
}

// An entry is an address in use.
type entry struct {
	carps   []int // slots of the carps that have it
	slot    int   // where it leads
	unsaved bool  // addrs may not know
}

// An edit of addrs: where an address leads from now on; nowhere when slot is negative.
type edit struct {
	addr Addr
	slot int
}

func newTable(leases []int64) table {
	return table{leases: leases, used: make([]bool, len(leases)), carps: map[string]int{}, addrs: map[Addr]*entry{}, shared: map[int][]*entry{}}
}

// inherit takes over what an earlier process has left in the maps. An address that leads to a slot of its own stays until set says whose it is.
func (t *table) inherit(carps map[string]int, addrs map[Addr]int) {
	for carp, slot := range carps {
		t.carps[carp], t.used[slot] = slot, true
	}
	of := map[int]bool{} // slots of carps
	for _, slot := range carps {
		of[slot] = true
	}
	for addr, slot := range addrs {
		e := &entry{slot: slot}
		t.addrs[addr] = e
		if of[slot] {
			e.carps = []int{slot}
		} else if !t.used[slot] {
			t.used[slot] = true
			t.freed = append(t.freed, slot)
		}
	}
}

// take finds a free slot and shuts it.
func (t *table) take() (int, error) {
	slot := slices.Index(t.used, false)
	if slot < 0 {
		return 0, unix.ENOSPC
	}
	t.used[slot] = true
	t.store(slot, 0)
	return slot, nil
}

func (t *table) store(slot int, until int64) {
	if t.leases != nil { // not after Close
		atomic.StoreInt64(&t.leases[slot], until)
	}
}

// free shuts a slot and gives it back.
func (t *table) free(slot int) {
	t.store(slot, 0)
	t.used[slot] = false
}

// renew stores the lease of a carp, and of the addresses that it shares with other carps.
func (t *table) renew(slot int, until int64) {
	t.store(slot, until)
	for _, e := range t.shared[slot] {
		t.store(e.slot, t.latest(e))
	}
}

// latest returns the end of the last lease for the address.
func (t *table) latest(e *entry) (until int64) {
	if t.leases == nil {
		return 0
	}
	for _, slot := range e.carps {
		until = max(until, t.leases[slot])
	}
	return until
}

func (t *table) shutAll() {
	for slot := range t.leases {
		t.store(slot, 0)
	}
}

// set makes these the addresses of those carps, and returns what has to change in addrs. Nothing has changed when it fails.
func (t *table) set(want map[string][]Addr) ([]edit, error) {
	owners := map[Addr][]int{} // as it will be
	for a, e := range t.addrs {
		owners[a] = slices.Clone(e.carps)
	}
	for carp, addrs := range want {
		slot, ok := t.carps[carp]
		if !ok {
			return nil, unix.ENOENT
		}
		for a, o := range owners {
			owners[a] = slices.DeleteFunc(o, func(s int) bool { return s == slot })
		}
		for _, a := range addrs {
			if !slices.Contains(owners[a], slot) {
				owners[a] = append(owners[a], slot)
			}
		}
	}
	slots, err := t.lead(owners)
	if err != nil {
		return nil, err
	}
	var edits []edit
	clear(t.shared)
	for a, o := range owners {
		e := t.addrs[a]
		if len(o) == 0 {
			delete(t.addrs, a)
			edits = append(edits, edit{a, -1})
			continue
		}
		if e == nil {
			e = &entry{slot: -1}
			t.addrs[a] = e
		}
		if e.slot != slots[a] || e.unsaved {
			edits = append(edits, edit{a, slots[a]})
		}
		e.carps, e.slot = o, slots[a]
		if len(o) > 1 {
			for _, carp := range o {
				t.shared[carp] = append(t.shared[carp], e)
			}
			t.store(e.slot, t.latest(e))
		}
	}
	return edits, nil
}

// lead decides where each address leads: to the slot of its only carp, or to one of its own, which it keeps as long as it needs one.
func (t *table) lead(owners map[Addr][]int) (map[Addr]int, error) {
	slots := map[Addr]int{}
	var taken, freed []int
	for a, o := range owners {
		own := -1
		if e := t.addrs[a]; e != nil && len(e.carps) > 1 {
			own = e.slot
		}
		switch {
		case len(o) > 1 && own >= 0:
			slots[a] = own
		case len(o) > 1:
			slot, err := t.take()
			if err != nil {
				for _, s := range taken {
					t.free(s)
				}
				return nil, err
			}
			taken = append(taken, slot)
			slots[a] = slot
		default:
			if own >= 0 {
				freed = append(freed, own)
			}
			if len(o) == 1 {
				slots[a] = o[0]
			}
		}
	}
	t.freed = append(t.freed, freed...)
	return slots, nil
}

// settle ends a change. Slots that were given up are free, since nothing leads there any more; when some edit has failed, nobody knows, and they stay.
func (t *table) settle(edits []edit, failed bool) {
	for _, e := range edits {
		if a := t.addrs[e.addr]; a != nil {
			a.unsaved = failed
		}
	}
	if failed {
		return
	}
	for _, slot := range t.freed {
		t.free(slot)
	}
	t.freed = nil
}
