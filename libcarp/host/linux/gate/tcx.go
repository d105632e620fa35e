//go:build linux

package gate

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tcx programs (Linux 6.6) come before all filters, and may let packets pass those by. Where somebody has one, our filter's program is also the first
// of them, and goes when he has gone: elsewhere nothing would be gained by running it twice. It has no link, so that it outlives this process as
// filters do. A tcx program has no name that one may read without CAP_SYS_ADMIN: ours is known by the number that a filter with our name has too. So
// that this holds at whatever moment a process dies, the filter comes first and goes last.

// queryTCX is another in tests.
var queryTCX = link.QueryPrograms

// A chain is the tcx programs of one direction of an interface, in the order in which they see packets.
type chain struct {
	ids      []ebpf.ProgramID
	revision uint64
}

// chainOf returns them for the calling thread's namespace. A kernel before 6.6 has none, and says that it does not understand.
func chainOf(ifindex int, at ebpf.AttachType) chain {
	r, err := queryTCX(link.QueryOptions{Target: ifindex, Attach: at})
	if err != nil {
		return chain{}
	}
	c := chain{revision: r.Revision}
	for _, p := range r.Programs {
		c.ids = append(c.ids, p.ID)
	}
	return c
}

// judge counts the programs that are no gate's, and those of them that come before ours, whose number is id. The filters are those of the direction.
func (c chain) judge(filters []*netlink.BpfFilter, id ebpf.ProgramID) (strangers, before int) {
	led := false
	for _, p := range c.ids {
		led = led || p == id
		if p == id || slices.ContainsFunc(filters, func(f *netlink.BpfFilter) bool { return isGate(f) && f.Id == int(p) }) {
			continue
		}
		strangers++
		if !led {
			before++
		}
	}
	return strangers, before
}

// lead makes a program, whose filter is there, the first of the direction's tcx programs if others have some, and takes away what else is ours.
func (g *Gate) lead(ifindex, direction int, prog *ebpf.Program, id ebpf.ProgramID, filters []*netlink.BpfFilter) error {
	at := directions[direction].tcx
	c := chainOf(ifindex, at)
	strangers, before := c.judge(filters, id)
	if before > 0 {
		if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: ifindex, Program: prog, Attach: at, Anchor: link.Head()}); err != nil {
			return fmt.Errorf("%w: %d by tcx: %w", ErrBehind, before, plain(err))
		}
	}
	return g.leave(ifindex, direction, filters, func(ours ebpf.ProgramID) bool { return strangers == 0 || ours != id })
}

// leave takes away those of our tcx programs for which gone says so. The filters are those of the direction.
func (g *Gate) leave(ifindex, direction int, filters []*netlink.BpfFilter, gone func(ebpf.ProgramID) bool) error {
	at := directions[direction].tcx
	for range listTries {
		c := chainOf(ifindex, at)
		n := slices.IndexFunc(c.ids, func(id ebpf.ProgramID) bool {
			return gone(id) && slices.ContainsFunc(filters, func(f *netlink.BpfFilter) bool { return g.ours(f) && f.Id == int(id) })
		})
		if n < 0 {
			return nil
		}
		if err := c.detach(ifindex, at, n); err != nil && !errors.Is(err, unix.ESTALE) { // ESTALE: somebody has changed them meanwhile
			if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
				return nil
			}
			return fmt.Errorf("failed to detach a tcx program: %w", err)
		}
	}
	return nil
}

// detach takes the program at a place away. Its place is told by that of the one before it, since there may be no descriptor of the program.
func (c chain) detach(ifindex int, at ebpf.AttachType, n int) error {
	attr := struct { // linux/bpf.h: union bpf_attr
		target, prog, attachType, flags uint32
		replace, relative               uint32
		revision                        uint64
	}{target: uint32(ifindex), attachType: uint32(at), flags: unix.BPF_F_BEFORE, revision: c.revision}
	if n > 0 {
		attr.flags, attr.relative = unix.BPF_F_AFTER|unix.BPF_F_ID, uint32(c.ids[n-1])
	}
	return bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// ahead returns ErrBehind when a tcx program comes before the gate of an interface. Where there are none but ours, those go.
func (g *Gate) ahead(ifindex int, h *hook) error {
	var chains [2]chain
	for i, d := range directions {
		chains[i] = chainOf(ifindex, d.tcx)
	}
	if len(chains[0].ids)+len(chains[1].ids) == 0 {
		return nil
	}
	filters, err := g.filters(ifindex)
	if err != nil {
		return err
	}
	for i, c := range chains {
		strangers, before := c.judge(filters[i], h.ids[i])
		if before > 0 {
			return fmt.Errorf("%w: %d by tcx", ErrBehind, before)
		}
		if strangers == 0 && len(c.ids) > 0 {
			if err := g.leave(ifindex, i, filters[i], func(ebpf.ProgramID) bool { return true }); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ahead returns ErrBehind when a tcx program comes before the gate of an interface, to which it was attached, of the calling thread's namespace:
// attaching it again puts it first.
func (g *Gate) Ahead(ifindex int) error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	h := g.hooks[ifindex]
	if h == nil {
		return unix.ENOENT
	}
	return g.ahead(ifindex, h)
}
