//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
)

// A guard keeps the links of carps silent unless they are masters. How, depends on the kernel:
//
//	gate and protodown    the link is up in every state; the gate lets it answer while its lease is fresh; a backup's shows no carrier
//	gate, no protodown    the link is up as master alone, and answers while its lease is fresh (a macvlan before Linux 5.1)
//	no gate               the link is up as master alone, and answers then (no eBPF for us)
//
// Interfaces are known by their index, carps by their name.
type guard struct {
	gate *gate.Gate // nil: there is none
	mark string
	logf func(string, ...any)
	warn func(string, ...any)

	resumed map[string]bool // carps that go on, and whether as masters; set before anything else is done

	mu    sync.RWMutex   // of slots; held for moments: Renew must not wait
	slots map[string]int // where the gate has a carp's lease

	carrier   sync.Mutex   // of backups, and of setting protodown: what a link shows is what backups says of it
	backups   map[int]bool // links that must show no carrier
	kernel    kernel
	protodown func(index int, on bool) error // the kernel's
	plain     atomic.Bool                    // protodown is not supported

	hooking sync.Mutex // of what follows, and of the order of what is done to the gate
	carps   map[string]guarded
	hooked  map[int]int       // interfaces other than carps' links that have the gate: the VRF that each is in, 0: none
	vrfs    map[int]int       // the VRF that each carpdev is in, 0: none
	faults  map[int]error     // what is wrong with the gate of an interface
	fights  map[int]*patience // with others who change the filters of an interface
	amiss   func(carp string) // says that a carp cannot rely on the gate any more; must not wait
}

// A guarded is what the guard knows of a carp.
type guarded struct {
	index   int // of its link
	carpdev int
	vrf     int // that the carpdev is in, 0: none
	addrs   []netip.Addr
	own     bool // the addresses are on the carpdev, and the link passes nothing
}

func newGuard(o Options) *guard {
	return &guard{
		gate: o.Gate, mark: o.Mark, logf: o.Logf, warn: o.Warnf,
		resumed: map[string]bool{}, slots: map[string]int{}, backups: map[int]bool{},
		carps: map[string]guarded{}, hooked: map[int]int{}, vrfs: map[int]int{},
		faults: map[int]error{}, fights: map[int]*patience{}, amiss: func(string) {},
	}
}

// Renew lets a carp answer until then, see [host.Host]; 0 silences it.
func (h *Host) Renew(carp string, until int64) { h.guard.renew(carp, until) }

func (g *guard) renew(carp string, until int64) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if slot, ok := g.slots[carp]; ok {
		g.gate.Renew(slot, until)
	}
}

// protect puts the gate before a carp's link, its addresses and every interface that they could be reached through.
func (g *guard) protect(link netlink.Link, c host.Carp, addrs []netip.Addr) error {
	if g.gate == nil {
		return nil
	}
	g.hooking.Lock()
	defer g.hooking.Unlock()
	slot, err := g.gate.Add(c.Name)
	if err != nil {
		return err
	}
	// Where the carpdev has the gate already, the other interfaces have it too, or news of them are on their way: no list, which would take time in
	// proportion to all carps.
	var links []netlink.Link
	vrf, known := g.vrfs[c.Carpdev]
	if _, hooked := g.hooked[c.Carpdev]; !known || !hooked {
		if links, err = listLinks(); err != nil {
			return fmt.Errorf("failed to list links: %w", err)
		}
		vrf = vrfOf(links, c.Carpdev)
	}
	k := guarded{index: link.Attrs().Index, carpdev: c.Carpdev, addrs: addrs, vrf: vrf, own: c.Own}
	if err := g.attachLink(c.Name, k); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	if err := g.gate.SetAddrs(map[string][]gate.Addr{c.Name: k.domains()}); err != nil {
		return err
	}
	if old := g.carps[c.Name].index; old != k.index {
		g.gone(old)
	}
	g.carps[c.Name] = k
	delete(g.hooked, k.index) // news of the link may have come first
	g.mu.Lock()
	g.slots[c.Name] = slot
	g.mu.Unlock()
	g.vrfs[c.Carpdev] = vrf
	if links == nil {
		return nil
	}
	return g.hook(links, false)
}

// attachLink puts the gate on a carp's link.
func (g *guard) attachLink(carp string, k guarded) error {
	if k.own {
		return g.gate.AttachShut(k.index)
	}
	return g.gate.AttachCarp(k.index, carp)
}

// domains returns the carp's addresses, each with the network in which it is that one: see [gate.Domain].
func (k guarded) domains() (all []gate.Addr) {
	for _, a := range k.addrs {
		all = append(all, gate.Addr{Domain: gate.Domain(a, k.carpdev, k.vrf), Addr: a})
	}
	return all
}

// forget takes away what protect has done, once the link is gone. The interfaces of a host without carps are left alone.
func (g *guard) forget(carp string) error {
	if g.gate == nil {
		return nil
	}
	g.hooking.Lock()
	defer g.hooking.Unlock()
	g.mu.Lock()
	delete(g.slots, carp)
	g.mu.Unlock()
	g.gone(g.carps[carp].index)
	delete(g.carps, carp)
	err := g.gate.Remove(carp)
	if len(g.carps) == 0 {
		clear(g.hooked)
		clear(g.vrfs)
		clear(g.faults)
		clear(g.fights)
		err = errors.Join(err, g.gate.DetachAll())
	}
	return err
}

// gone forgets a carp's link, of which the kernel may give the index to another interface.
func (g *guard) gone(index int) {
	g.carrier.Lock()
	delete(g.backups, index)
	g.carrier.Unlock()
	g.gate.Forget(index)
	delete(g.faults, index)
	delete(g.fights, index)
}

// news looks at all interfaces: new ones get the gate, and with again it is put back wherever it is missing. A carpdev that is in another VRF now
// takes the addresses there.
func (g *guard) news(links []netlink.Link, again bool) {
	if g.gate == nil {
		return
	}
	g.hooking.Lock()
	defer g.hooking.Unlock()
	if len(g.carps) == 0 {
		return
	}
	if err := g.hook(links, again); err != nil {
		g.warn("kernelsim: %v", err)
	}
	for carpdev := range g.vrfs {
		g.vrfs[carpdev] = vrfOf(links, carpdev)
	}
	for name, k := range g.carps {
		if vrf := g.vrfs[k.carpdev]; vrf != k.vrf {
			k.vrf = vrf
			g.carps[name] = k
			if err := g.gate.SetAddrs(map[string][]gate.Addr{name: k.domains()}); err != nil {
				g.warn("kernelsim: %s: %v", name, err)
			}
		}
	}
}

// mendAll puts the gate back wherever it is missing, on the links of carps too.
func (g *guard) mendAll(links []netlink.Link) {
	g.news(links, true)
	g.hooking.Lock()
	defer g.hooking.Unlock()
	for name, k := range g.carps {
		g.tell(k.index, g.attachLink(name, k))
	}
}

// errFought: what was mended is changed again at once, and so on.
var errFought = errors.New("somebody else changes it again and again")

// mend puts the gate back before an interface whose filters have changed, unless somebody takes it away again and again.
func (g *guard) mend(index int) {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	name, isCarp := g.linkOf(index)
	vrf, isHooked := g.hooked[index]
	if !isCarp && !isHooked {
		return
	}
	if err := g.gate.Check(index); err == nil || errors.Is(err, unix.ENODEV) { // nothing to do, or gone
		return
	}
	if !g.bears(index, time.Now(), 1) {
		g.tell(index, fmt.Errorf("filters: %w", errFought))
		return
	}
	if isCarp {
		g.tell(index, g.attachLink(name, g.carps[name]))
		return
	}
	g.tell(index, g.gate.Attach(index, vrf))
}

// aheadMax is how often within fightSpan a tcx program is found before the gate until it is left there for a while.
const aheadMax = 5

// bears reports whether something that others have changed on an interface is to be put right once more; it counts as so many changes.
func (g *guard) bears(index int, now time.Time, weight int) bool {
	p := g.fights[index]
	if p == nil {
		p = &patience{}
		g.fights[index] = p
	}
	for range weight {
		if p.lost(now) || !p.bear(now) {
			return false
		}
	}
	return true
}

// look finds where somebody has put a tcx program before the gate, of which the kernel tells nobody, and puts the gate before it; it tries again
// where something was wrong. There are so few looks that each such program counts as many changes that the kernel tells of: whoever is before
// the gate at aheadMax looks is given up for a while.
func (g *guard) look() {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	now := time.Now()
	see := func(index int, attach func() error) {
		if p := g.fights[index]; p != nil && p.lost(now) {
			return
		}
		err := g.gate.Ahead(index)
		if err == nil && g.faults[index] == nil {
			return
		}
		if errors.Is(err, gate.ErrBehind) && g.faults[index] == nil && !g.bears(index, now, fightMax/aheadMax) {
			err = fmt.Errorf("tcx: %w", errFought)
		} else {
			err = attach()
		}
		g.tell(index, err)
	}
	for index, vrf := range g.hooked {
		see(index, func() error { return g.gate.Attach(index, vrf) })
	}
	for name, k := range g.carps {
		see(k.index, func() error { return g.attachLink(name, k) })
	}
}

// tell warns when something is wrong with an interface's gate, and was not before.
func (g *guard) tell(index int, err error) {
	var ifi *net.Interface
	if err != nil && !errors.Is(err, unix.ENODEV) {
		ifi, _ = net.InterfaceByIndex(index)
	}
	if ifi == nil { // all is well, or the interface has gone
		delete(g.faults, index)
		return
	}
	known := g.faults[index] != nil
	g.faults[index] = err
	if known {
		return
	}
	g.warn("kernelsim: %s: %v", ifi.Name, err)
	_, isLink := g.linkOf(index)
	for name, k := range g.carps {
		if k.index == index || k.carpdev == index || !isLink && passesBy(err) {
			g.amiss(name)
		}
	}
}

// passesBy reports whether a fault is that somebody lets packets pass the gate by. Other faults count on carpdevs and carps' links alone:
// elsewhere an interface that cannot have the gate cannot be used either, or is just going.
func passesBy(err error) bool { return errors.Is(err, gate.ErrBehind) || errors.Is(err, errFought) }

// fault says why a carp with that carpdev cannot rely on the gate; nil: it can. A shared address can be reached through any interface, so that
// those count too, but not through another carp's link.
func (g *guard) fault(carpdev int) error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	if err := g.faults[carpdev]; err != nil {
		return err
	}
	for index, err := range g.faults {
		if _, isLink := g.linkOf(index); isLink || !passesBy(err) {
			continue
		}
		if ifi, gone := net.InterfaceByIndex(index); gone == nil {
			return fmt.Errorf("%s: %w", ifi.Name, err)
		}
	}
	return nil
}

// hook puts the gate before every interface but carps' links, lo and those whose packets come in by their master, a bridge for instance; before
// those that have it already only with again. The error is that of carpdevs: another interface that cannot have the gate, because it is going at
// this moment for instance, is no reason not to be master.
func (g *guard) hook(links []netlink.Link, again bool) error {
	var errs []error
	here := map[int]int{} // will be hooked
	isLink, isCarpdev, isVRF := map[int]bool{}, map[int]bool{}, vrfsOf(links)
	for _, k := range g.carps {
		isLink[k.index], isCarpdev[k.carpdev] = true, true
	}
	for _, l := range links {
		a := l.Attrs()
		if isLink[a.Index] {
			continue
		}
		carpdev, vrf := isCarpdev[a.Index], 0
		if isVRF[a.MasterIndex] {
			vrf = a.MasterIndex
		}
		if a.Flags&net.FlagLoopback != 0 || a.MasterIndex != 0 && vrf == 0 && !carpdev {
			continue
		}
		here[a.Index] = vrf
		if old, ok := g.hooked[a.Index]; ok && old == vrf && !again {
			continue
		}
		if err := g.gate.Attach(a.Index, vrf); err != nil {
			if carpdev {
				errs = append(errs, fmt.Errorf("gate of %s: %w", a.Name, err))
			}
			g.tell(a.Index, err)
		}
	}
	for index := range g.hooked {
		if _, ok := here[index]; ok || isLink[index] {
			continue
		}
		delete(g.faults, index)
		delete(g.fights, index)
		if err := g.gate.Detach(index); err != nil { // it is there, and has got a master
			g.logf("linux: %v", err)
		}
	}
	g.hooked = here
	return errors.Join(errs...)
}

// linkOf returns whose link that is.
func (g *guard) linkOf(index int) (carp string, ok bool) {
	for name, k := range g.carps {
		if k.index == index {
			return name, true
		}
	}
	return "", false
}

// vrfsOf returns the indexes of the VRFs.
func vrfsOf(links []netlink.Link) map[int]bool {
	vrfs := map[int]bool{}
	for _, l := range links {
		if l.Type() == "vrf" {
			vrfs[l.Attrs().Index] = true
		}
	}
	return vrfs
}

// vrfOf returns the index of the VRF that an interface is in, 0: in none.
func vrfOf(links []netlink.Link, index int) int {
	for _, l := range links {
		if a := l.Attrs(); a.Index == index && vrfsOf(links)[a.MasterIndex] {
			return a.MasterIndex
		}
	}
	return 0
}

// setMaster lets the link answer, from the next Renew on, or silences it at once.
func (g *guard) setMaster(index int, carp string, master bool) error {
	if g.gate != nil && !master {
		g.renew(carp, 0)
	}
	if g.staysUp() {
		err := g.setCarrier(index, master)
		if !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
		if !g.plain.Swap(true) {
			g.warn("kernelsim: no protodown (%v): the link of a backup is administratively down", err)
		}
	}
	return g.kernel.setUp(index, master)
}

// staysUp reports whether a link is up in every state.
func (g *guard) staysUp() bool { return g.gate != nil && !g.plain.Load() }

// setCarrier gives a master's link its carrier, and takes it from a backup's.
func (g *guard) setCarrier(index int, master bool) error {
	g.carrier.Lock()
	defer g.carrier.Unlock()
	err := g.protodown(index, !master)
	g.backups[index] = !master && err == nil
	return err
}

// hasCarrier takes the carrier from a backup's link to which its carpdev, coming back, has given one.
func (g *guard) hasCarrier(index int) {
	g.carrier.Lock()
	defer g.carrier.Unlock()
	if !g.backups[index] {
		return
	}
	if err := g.protodown(index, true); err != nil && !errors.Is(err, unix.ENODEV) {
		g.logf("linux: carrier: %v", err)
	}
}

// prepare is for a link that is about to get its addresses: with the gate it goes up first, without it it stays down until the end.
func (g *guard) prepare(index int, c host.Carp) error {
	if g.gate != nil {
		if err := g.setMaster(index, c.Name, c.Master); err != nil {
			return err
		}
		if g.staysUp() {
			return g.kernel.setUp(index, true)
		}
		return nil
	}
	if c.Master {
		return nil
	}
	return g.kernel.setUp(index, false)
}

// adopt silences links that a dead engine has left, except those of masters that go on.
func (g *guard) adopt(links []netlink.Link, own *owner) error {
	if g.gate == nil {
		for _, l := range links {
			if g.resumed[l.Attrs().Name] {
				continue
			}
			// As a backup without gate, whatever it was before.
			err := errors.Join(g.kernel.setUp(l.Attrs().Index, false), g.protodown(l.Attrs().Index, false))
			if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EOPNOTSUPP) {
				return fmt.Errorf("%s: %w", l.Attrs().Name, err)
			}
		}
		return nil
	}
	// All addresses at once: the filters of the dead engine go on to look them up in the same maps, and none may be missing for a moment.
	all, err := listLinks()
	if err != nil {
		return fmt.Errorf("failed to list links: %w", err)
	}
	have, err := addrsOn(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("failed to list addresses: %w", err)
	}
	of := map[int][]netip.Addr{}
	for _, h := range have {
		if p, ok := prefixOf(h.IPNet); ok {
			of[h.LinkIndex] = append(of[h.LinkIndex], p.Addr())
		}
	}
	addrs, want := map[string][]netip.Addr{}, map[string][]gate.Addr{}
	for _, l := range links {
		a := l.Attrs()
		addrs[a.Name] = slices.Concat(of[a.Index], own.of(a.Name))
		if _, err := g.gate.Add(a.Name); err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		want[a.Name] = guarded{carpdev: a.ParentIndex, addrs: addrs[a.Name], vrf: vrfOf(all, a.ParentIndex)}.domains()
	}
	if err := g.gate.SetAddrs(want); err != nil {
		return err
	}
	for _, l := range links {
		a := l.Attrs()
		err := g.protect(l, host.Carp{Name: a.Name, Carpdev: a.ParentIndex}, addrs[a.Name])
		if err == nil && !g.resumed[a.Name] {
			err = g.setMaster(a.Index, a.Name, false)
		}
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
			if _, gone := netlink.LinkByIndex(a.Index); errors.As(gone, new(netlink.LinkNotFoundError)) {
				continue // somebody has deleted it meanwhile: it is silent
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	return nil
}

// adopted ends the adoption: what nobody wants any more goes.
func (g *guard) adopted() error {
	if g.gate == nil {
		return gate.Sweep(g.mark)
	}
	for _, name := range g.gate.Carps() {
		if _, ok := g.carps[name]; ok {
			continue
		}
		if err := g.forget(name); err != nil {
			return err
		}
	}
	if len(g.carps) == 0 {
		return g.gate.DetachAll()
	}
	return nil
}

func (g *guard) close() error {
	if g.gate == nil {
		return nil
	}
	return errors.Join(g.gate.DetachAll(), g.gate.Close())
}

func listLinks() ([]netlink.Link, error) { return gate.Whole(netlink.LinkList) }

// addrsOn returns the addresses of a link, nil: of all.
func addrsOn(link netlink.Link, family int) ([]netlink.Addr, error) {
	return gate.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, family) })
}
