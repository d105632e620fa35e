//go:build linux

package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// preference is the first that a filter can have.
const preference = 1

// Our filters have names. tc(8) shows them, and they tell a later run what it needs to take them away.
const (
	nameOurs  = "carp-gate "       // before the state directory
	nameQdisc = "carp-gate+qdisc " // the same, where the qdisc is ours too
)

// ErrBehind: something of somebody else sees an interface's packets before the gate does.
var ErrBehind = errors.New("another program comes before the gate")

// directions are the two hooks of an interface.
var directions = [2]struct {
	egress bool
	parent uint32
	tcx    ebpf.AttachType
}{
	{false, netlink.HANDLE_MIN_INGRESS, ebpf.AttachTCXIngress},
	{true, netlink.HANDLE_MIN_EGRESS, ebpf.AttachTCXEgress},
}

// A hook is what we have put on an interface.
type hook struct {
	what any // a carp's slot, or an other
	ids  [2]ebpf.ProgramID
}

// AttachCarp puts the gate on a carp's link. What is right already stays; what a dead run left is replaced, without a moment in between.
func (g *Gate) AttachCarp(ifindex int, carp string) error {
	slot, err := g.Add(carp)
	if err != nil {
		return err
	}
	g.hooking.Lock()
	defer g.hooking.Unlock()
	return g.attach(ifindex, slot, func(egress, _ bool) (*ebpf.Program, error) { return g.progs.carp(egress, slot) })
}

// AttachShut puts on a carp's link a gate that never opens.
func (g *Gate) AttachShut(ifindex int) error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	const never = slotMax // there is no such slot
	return g.attach(ifindex, never, func(egress, _ bool) (*ebpf.Program, error) { return g.progs.carp(egress, never) })
}

// Attach puts the gate on an interface that is no carp and in that VRF, 0: in none. As with carps, what is right already stays.
func (g *Gate) Attach(ifindex, vrf int) error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	return g.attach(ifindex, other{vrf: vrf}, func(egress, again bool) (*ebpf.Program, error) {
		if again {
			g.progs.forget(other{egress, vrf})
		}
		return g.progs.other(other{egress, vrf})
	})
}

// attach puts a program in each direction of an interface, in front of all other filters and tcx programs, where it is not there yet. What get
// returns the second time has another number.
func (g *Gate) attach(ifindex int, what any, get func(egress, again bool) (*ebpf.Program, error)) error {
	filters, err := g.filters(ifindex)
	if err != nil {
		if errors.Is(err, unix.ENODEV) {
			delete(g.hooks, ifindex)
		}
		return err
	}
	h := g.hooks[ifindex]
	if h == nil || h.what != what {
		h = &hook{what: what}
		g.hooks[ifindex] = h
	}
	name := nameOurs
	if g.madeQdisc(filters) {
		name = nameQdisc
	}
	for i, d := range directions {
		c := chainOf(ifindex, d.tcx)
		if _, before := c.judge(filters[i], h.ids[i]); before == 0 && isFirst(filters[i], h.ids[i]) {
			continue
		}
		switch err := g.netlink.QdiscAdd(clsact(ifindex)); {
		case err == nil:
			name = nameQdisc
		case !errors.Is(err, unix.EEXIST):
			return fmt.Errorf("failed to add a clsact qdisc: %w", err)
		}
		prog, id, err := numbered(get(d.egress, false))
		if err == nil && slices.Contains(c.ids, id) { // one that is there already cannot be put in front
			prog, id, err = numbered(get(d.egress, true))
		}
		if err != nil {
			return err
		}
		if err = g.put(ifindex, i, prog, id, h.ids[i], name+g.mark, filters[i]); err == nil {
			h.ids[i] = id
		}
		if _, isCarp := what.(int); isCarp {
			prog.Close() // the filter keeps it
		}
		if err != nil {
			return err
		}
	}
	return g.check(ifindex, h)
}

// numbered returns the kernel's number of a program too.
func numbered(prog *ebpf.Program, err error) (*ebpf.Program, ebpf.ProgramID, error) {
	if err != nil {
		return nil, 0, err
	}
	info, err := prog.Info()
	if err != nil {
		return nil, 0, fmt.Errorf("failed to ask for a program's number: %w", err)
	}
	id, _ := info.ID()
	return prog, id, nil
}

// put makes a program the first of a direction, in place of what an earlier run left, and of the one with the number was, whose filter somebody may
// have taken away.
func (g *Gate) put(ifindex, direction int, prog *ebpf.Program, id, was ebpf.ProgramID, name string, now []*netlink.BpfFilter) error {
	stale := slices.DeleteFunc(slices.Clone(now), func(o *netlink.BpfFilter) bool { return !g.ours(o) })
	all := append(slices.Clone(now), &netlink.BpfFilter{Id: int(was), Name: nameOurs + g.mark})
	if isFirst(now, id) {
		stale = slices.DeleteFunc(stale, func(o *netlink.BpfFilter) bool { return o.Id == int(id) })
	} else {
		f := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: ifindex, Parent: directions[direction].parent, Priority: preference, Protocol: unix.ETH_P_ALL},
			Fd:          prog.FD(), Id: int(id), Name: name, DirectAction: true,
		}
		if err := g.netlink.FilterAdd(f); err != nil { // of those with the same preference the last one added comes first
			return fmt.Errorf("failed to add a filter at preference %d: %w", preference, err)
		}
		all = append(all, f)
	}
	if err := g.lead(ifindex, direction, prog, id, all); err != nil {
		return err
	}
	for _, o := range stale {
		if err := g.netlink.FilterDel(o); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("failed to delete a filter: %w", err)
		}
	}
	return nil
}

// Check says what is wrong with the gate of an interface to which it was attached: it is not there any more, or not the first.
func (g *Gate) Check(ifindex int) error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	h := g.hooks[ifindex]
	if h == nil {
		return unix.ENOENT
	}
	return g.check(ifindex, h)
}

func (g *Gate) check(ifindex int, h *hook) error {
	filters, err := g.filters(ifindex)
	if err != nil {
		return err
	}
	for i := range directions {
		if !slices.ContainsFunc(filters[i], func(f *netlink.BpfFilter) bool { return f.Id == int(h.ids[i]) }) {
			return unix.ENOENT
		}
		if !isFirst(filters[i], h.ids[i]) {
			return fmt.Errorf("%w: a filter", ErrBehind)
		}
	}
	return g.ahead(ifindex, h)
}

// Detach takes the gate off an interface: this run's and what an earlier one left, and the qdisc where that was ours and nobody uses it. An interface
// that is gone is no error.
func (g *Gate) Detach(ifindex int) error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	delete(g.hooks, ifindex)
	filters, err := g.filters(ifindex)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	strangers := false
	for i := range directions {
		if err := g.leave(ifindex, i, filters[i], func(ebpf.ProgramID) bool { return true }); err != nil {
			return err
		}
		for _, f := range filters[i] {
			if !g.ours(f) {
				strangers = true
				continue
			}
			if err := g.netlink.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("failed to delete a filter: %w", err)
			}
		}
	}
	if !strangers && g.madeQdisc(filters) {
		err := g.netlink.QdiscDel(clsact(ifindex))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("failed to delete a clsact qdisc: %w", err)
		}
	}
	return nil
}

// DetachAll takes the gate off every interface, also what an earlier run left.
func (g *Gate) DetachAll() error {
	links, err := Whole(g.netlink.LinkList)
	if err != nil {
		return fmt.Errorf("failed to list links: %w", err)
	}
	var errs []error
	for _, l := range links {
		if err := g.Detach(l.Attrs().Index); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

// Forget forgets an interface that is gone. The kernel has taken its filters.
func (g *Gate) Forget(ifindex int) {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	delete(g.hooks, ifindex)
}

// listTries is how often a list is asked for that changes while it is given.
const listTries = 50

// Whole asks the kernel for a list until nothing has changed meanwhile.
func Whole[T any](list func() (T, error)) (all T, err error) {
	for range listTries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// Sweep takes away what an earlier run with that mark left on every interface of this network namespace. It needs no eBPF.
func Sweep(mark string) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("failed to open netlink: %w", err)
	}
	defer nl.Close()
	return (&Gate{mark: mark, netlink: nl}).DetachAll()
}

// filters returns those of each direction in the order in which they see packets. Those that are not eBPF have no Id; chains that somebody has to jump to
// do not count.
func (g *Gate) filters(ifindex int) (all [2][]*netlink.BpfFilter, err error) {
	for i, d := range directions {
		list, err := g.netlink.FilterList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, d.parent)
		if err != nil {
			return all, fmt.Errorf("failed to list filters: %w", err)
		}
		for _, f := range list {
			if c := f.Attrs().Chain; c != nil && *c != 0 {
				continue
			}
			b, ok := f.(*netlink.BpfFilter)
			if !ok {
				b = &netlink.BpfFilter{FilterAttrs: *f.Attrs()}
			}
			all[i] = append(all[i], b)
		}
	}
	return all, nil
}

func (g *Gate) ours(f *netlink.BpfFilter) bool {
	return f.Name == nameOurs+g.mark || f.Name == nameQdisc+g.mark
}

// madeQdisc reports whether the qdisc is ours, as the filters say.
func (g *Gate) madeQdisc(filters [2][]*netlink.BpfFilter) bool {
	return slices.ContainsFunc(slices.Concat(filters[0], filters[1]), func(f *netlink.BpfFilter) bool { return f.Name == nameQdisc+g.mark })
}

// isFirst reports whether a program of ours comes before everything but gates, which pass on what they do not drop.
func isFirst(filters []*netlink.BpfFilter, id ebpf.ProgramID) bool {
	i := slices.IndexFunc(filters, func(f *netlink.BpfFilter) bool { return id != 0 && f.Id == int(id) || !isGate(f) })
	return i >= 0 && filters[i].Id == int(id)
}

// isGate reports whether a filter is one of ours or of another state directory.
func isGate(f *netlink.BpfFilter) bool {
	return strings.HasPrefix(f.Name, nameOurs) || strings.HasPrefix(f.Name, nameQdisc)
}

// clsact returns the qdisc that filters in both directions hang on.
func clsact(ifindex int) netlink.Qdisc {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}
