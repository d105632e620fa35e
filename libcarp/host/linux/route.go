//go:build linux

package linux

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
)

// routeMetric is that of the routes we set: more than any that the kernel or an administrator gives the carpdev, so that the carpdev's wins once it has
// one.
const routeMetric = 4096

// restTable is where routes to a gateway rest that nobody but a MASTER can use, as long as it is none: "carp". A start after a crash finds them there.
const restTable = 0x63617270

// routes are those of carps whose carpdev has no address in the subnet of a shared one: nobody could be answered there, so the carp's own link
// carries the subnet's route. While it has no carrier, which a backup has not, the route does not count (ignore_routes_with_linkdown). Where a
// backup's link is down instead, the kernel takes all routes of the link away, and they are set again, those of others too. Where the addresses
// are on the carpdev the routes are there too, while the carp is MASTER, and what leads to a gateway by them rests meanwhile.
type routes struct {
	netlink *netlink.Handle // of our own, since it asks strictly: for the routes of one link, where a router may have a million
	gated   func() bool     // a backup's link is up
	logf    func(string, ...any)

	mu    sync.Mutex
	own   map[int][]netip.Prefix // addresses of the host's interfaces, by index
	carps map[string]*routed
}

// A routed is what routes knows of a carp.
type routed struct {
	index, carpdev int
	own            bool // the routes are on the carpdev
	addrs          []netip.Prefix
	up             bool
	set            map[netip.Prefix]netip.Addr // which routes we have set, and the source in them
	others         []netlink.Route             // that were there when the link was taken down
}

func newRoutes(o Options, gated func() bool) (*routes, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("failed to open netlink: %w", err)
	}
	if err := nl.SetStrictCheck(true); err != nil { // before Linux 4.20: it goes without, if slower
		o.Logf("linux: %v", err)
	}
	return &routes{netlink: nl, gated: gated, logf: o.Logf, own: map[int][]netip.Prefix{}, carps: map[string]*routed{}}, nil
}

func (r *routes) close() { r.netlink.Close() }

// want makes the routes of a carp's link what its addresses and its carpdev ask for. The link has the addresses, unless the carpdev has.
func (r *routes) want(index int, c host.Carp) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[c.Name]
	if k == nil || k.index != index || k.own != c.Own || k.own && k.carpdev != c.Carpdev {
		r.end(k)
		if k != nil && k.index == index && c.Own {
			r.strip(index)
		}
		k = &routed{index: index, own: c.Own}
		r.carps[c.Name] = k
	}
	wasUp := k.up
	k.carpdev, k.addrs, k.up = c.Carpdev, c.Addrs, c.Master || r.gated() && !c.Own
	if _, known := r.own[k.carpdev]; !known { // the first news of it are on their way
		addrs, err := addrsOn(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: k.carpdev}}, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("failed to list addresses: %w", err)
		}
		for _, a := range addrs {
			if p, ok := prefixOf(a.IPNet); ok {
				r.own[k.carpdev] = append(r.own[k.carpdev], p)
			}
		}
	}
	before := k.set
	k.set = map[netip.Prefix]netip.Addr{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} { // somebody may have taken them away, and an engine before us may have set others
		list, err := r.onLink(k.link(), family)
		if err != nil {
			return err
		}
		for _, o := range list {
			p, src, ok := ourRoute(&o)
			if _, known := before[p]; ok && (!k.own || known || k.isFrom(src)) { // others may have some there
				k.set[p] = src
			}
		}
	}
	err := r.settle(k)
	if k.own { // a route that another carp needs, too, may have gone with an address of this one
		r.lookLocked()
	}
	if k.up && !wasUp {
		r.repeat(c.Name, k)
	}
	return err
}

// news tells the host's interfaces as they are now.
func (r *routes) news(links []config.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.own
	r.own = make(map[int][]netip.Prefix, len(links))
	for _, l := range links {
		r.own[l.Index] = l.Addrs
	}
	for name, k := range r.carps {
		if slices.Equal(before[k.carpdev], r.own[k.carpdev]) {
			continue
		}
		if err := r.settle(k); err != nil && !errors.Is(err, syscall.ENODEV) { // it went with the carpdev
			r.logf("linux: %s: %v", name, err)
		}
	}
}

func (r *routes) forget(carp string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	delete(r.carps, carp)
	r.end(k)
}

// end takes away what a carp has on its carpdev. What is on its own link goes with that, also what others have set.
func (r *routes) end(k *routed) {
	if k == nil || !k.own {
		return
	}
	k.up = false
	if err := errors.Join(r.settle(k), r.move(restTable, 0, k)); err != nil && !errors.Is(err, syscall.ENODEV) {
		r.logf("linux: %v", err)
	}
}

// strip takes all routes away from a link that passes nothing any more, those of others too: those of IPv6 outlive the addresses, and would lead nowhere.
func (r *routes) strip(link int) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := r.onLink(link, family)
		if err != nil {
			r.logf("linux: %v", err)
		}
		for _, o := range list {
			if err := r.netlink.RouteDel(&o); err != nil && !errors.Is(err, syscall.ESRCH) {
				r.logf("linux: failed to delete the route to %s: %v", o.Dst, err)
			}
		}
	}
}

// drop takes away the routes on carpdevs that a dead run has set for addresses which go, or have just gone, and what rests there.
func (r *routes) drop(addrs []placed) error {
	var errs []error
	done := map[int]bool{}
	for _, a := range addrs {
		if done[a.carpdev] {
			continue
		}
		done[a.carpdev] = true
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			list, err := r.onLink(a.carpdev, family)
			errs = append(errs, err)
			for _, o := range list {
				p, src, ok := ourRoute(&o)
				if ok && (!src.IsValid() || slices.ContainsFunc(addrs, func(a placed) bool { return a.prefix.Addr() == src })) {
					errs = append(errs, r.del(a.carpdev, p, src))
				}
			}
		}
		everywhere := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
		errs = append(errs, r.move(restTable, 0, &routed{carpdev: a.carpdev, addrs: everywhere}))
	}
	return errors.Join(errs...)
}

// save is for a carpdev that is about to lose its last IPv4 address: all its routes of IPv4 go with that, where they rest, too.
func (r *routes) save(carp string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if k == nil || !k.own || !k.up || len(k.set) == 0 {
		return
	}
	list, err := r.onLink(k.carpdev, netlink.FAMILY_V4)
	if err != nil {
		r.logf("linux: %s: %v", carp, err)
	}
	k.others = nil
	for _, o := range list {
		if k.leads(&o) {
			k.others = append(k.others, o)
		}
	}
}

// lower is for a link that is about to be taken down: its routes go with that. With the gate none is. On a carpdev they are taken away.
func (r *routes) lower(carp string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if k == nil || !k.up || r.gated() && !k.own {
		return
	}
	if k.own {
		k.up = false
		if err := r.settle(k); err != nil && !errors.Is(err, syscall.ENODEV) {
			r.logf("linux: %s: %v", carp, err)
		}
		return
	}
	k.up, k.others = false, nil
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := r.onLink(k.index, family)
		if err != nil {
			r.logf("linux: %s: %v", carp, err)
		}
		for _, o := range list {
			if o.Protocol != unix.RTPROT_KERNEL {
				o.Flags &^= unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD // of a link that had lost its carrier already; nobody may set them
				k.others = append(k.others, o)
			}
		}
	}
}

// raise sets the routes of a link again that was down, and those on a carpdev.
func (r *routes) raise(carp string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if k == nil || k.up || r.gated() && !k.own {
		return nil
	}
	k.up, k.set = true, map[netip.Prefix]netip.Addr{}
	err := r.settle(k)
	r.repeat(carp, k)
	return err
}

// look sets again what is missing on carpdevs: a route goes with its source, if only for a moment, with a carpdev that goes down, or by somebody's hand. It
// asks for no list, which takes time in proportion to all routes of the host.
func (r *routes) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookLocked()
}

func (r *routes) lookLocked() {
	for name, k := range r.carps {
		if !k.own || !k.up {
			continue
		}
		for p, src := range k.set {
			if err := r.netlink.RouteAdd(routeOf(k.carpdev, p, src)); err != nil && !errors.Is(err, syscall.EEXIST) {
				r.logf("linux: %s: failed to add the route to %s: %v", name, p, err)
			}
		}
	}
}

// repeat sets what others had set before the link was down.
func (r *routes) repeat(carp string, k *routed) {
	for _, o := range k.others {
		if err := r.netlink.RouteAppend(&o); err != nil && !errors.Is(err, syscall.EEXIST) { // its gateway may be out of reach: that is the administrator's
			r.logf("linux: %s: failed to set the route to %s again: %v", carp, o.Dst, err)
		}
	}
	k.others = nil
}

// ready lets a link that has just got its carrier send at once. The kernel counts its routes as soon as it has one, but lets nothing out before
// it has come round to that (net/core/link_watch.c), and a neighbour that was asked for meanwhile is asked for again after a second. To ask for
// the link is to make it come round.
func (r *routes) ready(carp string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if k == nil || len(k.set) == 0 {
		return nil
	}
	if _, err := r.netlink.LinkByIndex(k.index); err != nil { // gone already; whoever tells of that is on his way
		return nil
	}
	list, err := gate.Whole(func() ([]netlink.Neigh, error) { return netlink.NeighList(k.index, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("failed to list neighbours: %w", err)
	}
	for _, n := range list {
		if n.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) == 0 {
			continue
		}
		if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, syscall.ENOENT) {
			r.logf("linux: %s: failed to forget %s: %v", carp, n.IP, err)
		}
	}
	return nil
}

// wanted returns the routes that a carp needs, each with the first address in it as its source.
func (r *routes) wanted(k *routed) map[netip.Prefix]netip.Addr {
	want := map[netip.Prefix]netip.Addr{}
	for _, p := range k.addrs {
		if _, ok := want[p.Masked()]; !ok && !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() && !r.numbered(k, p) {
			want[p.Masked()] = p.Addr()
		}
	}
	return want
}

// numbered reports whether the carpdev is on the subnet of a shared address itself, by an address or by a route. A narrower one is enough: a
// classful mask must not pull on-link what is beyond a router.
func (r *routes) numbered(k *routed, p netip.Prefix) bool {
	overlaps := func(q netip.Prefix) bool { return !q.IsSingleIP() && q.Bits() > 0 && q.Overlaps(p) }
	if slices.ContainsFunc(r.own[k.carpdev], func(q netip.Prefix) bool { return q.Addr() != p.Addr() && overlaps(q) }) {
		return true
	}
	list, err := r.onLink(k.carpdev, familyOf(p.Addr()))
	if err != nil {
		r.logf("linux: %v", err)
	}
	return slices.ContainsFunc(list, func(o netlink.Route) bool {
		q, ok := prefixOf(o.Dst)
		_, _, ours := ourRoute(&o)
		return ok && !ours && o.Gw == nil && o.Type == unix.RTN_UNICAST && overlaps(q)
	})
}

// leadToAll reports whether there is a route through the link to the subnet of each IPv4 address of a carp.
func (r *routes) leadToAll(carp string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if k == nil {
		return false
	}
	want := r.wanted(k)
	return !slices.ContainsFunc(k.addrs, func(p netip.Prefix) bool {
		_, there := want[p.Masked()]
		return p.Addr().Is4() && !there
	})
}

// settle makes the routes what they have to be now. On a carpdev only a MASTER has any; what leads to a gateway by them comes and goes with them.
func (r *routes) settle(k *routed) error {
	want := r.wanted(k)
	if !k.own {
		return r.apply(k, want)
	}
	if !k.up && len(want) > 0 {
		return errors.Join(r.move(unix.RT_TABLE_MAIN, restTable, k), r.apply(k, nil))
	}
	return errors.Join(r.apply(k, want), r.move(restTable, unix.RT_TABLE_MAIN, k))
}

// apply makes the routes those of want.
func (r *routes) apply(k *routed, want map[netip.Prefix]netip.Addr) error {
	if !k.up && !k.own {
		return nil
	}
	stale := func(p netip.Prefix) bool { src, ok := want[p]; return !ok || src != k.set[p] }
	for p, src := range k.set { // a link has one route of IPv6 to a subnet, whatever the source in it is
		if !stale(p) || p.Addr().Is4() {
			continue
		}
		if err := r.del(k.link(), p, src); err != nil {
			return err
		}
	}
	for p, src := range want {
		if s, ok := k.set[p]; ok && s == src || r.shares(k, p) != nil {
			continue
		}
		if err := r.add(k.link(), p, src); err != nil {
			return err
		}
	}
	for p, src := range k.set {
		if !stale(p) {
			continue
		}
		if p.Addr().Is4() {
			if err := r.del(k.link(), p, src); err != nil {
				return err
			}
		}
		if o := r.shares(k, p); o != nil {
			if err := r.add(k.link(), p, o.set[p]); err != nil {
				return err
			}
		}
	}
	k.set = maps.Clone(want)
	return nil
}

// shares returns another carp that has a route to the same subnet on the same carpdev: there is only one, whose source is a MASTER's.
func (r *routes) shares(k *routed, p netip.Prefix) *routed {
	if !k.own {
		return nil
	}
	for _, o := range r.carps {
		if _, ok := o.set[p]; ok && o != k && o.own && o.up && o.carpdev == k.carpdev {
			return o
		}
	}
	return nil
}

// link returns the index of the link that the routes are on.
func (k *routed) link() int {
	if k.own {
		return k.carpdev
	}
	return k.index
}

// isFrom reports whether a source is one of the carp's addresses, or was: IPv6 forgets it with the address.
func (k *routed) isFrom(src netip.Addr) bool {
	return !src.IsValid() || slices.ContainsFunc(k.addrs, func(p netip.Prefix) bool { return p.Addr() == src })
}

// add adds a route after those of other carps of the same subnet: which of them counts is which has a carrier.
func (r *routes) add(link int, p netip.Prefix, src netip.Addr) error {
	if err := r.netlink.RouteAppend(routeOf(link, p, src)); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("failed to add the route to %s: %w", p, err)
	}
	return nil
}

func (r *routes) del(link int, p netip.Prefix, src netip.Addr) error {
	if err := r.netlink.RouteDel(routeOf(link, p, src)); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("failed to delete the route to %s: %w", p, err)
	}
	return nil
}

// leads reports whether a route's gateway is in the subnet of one of the carp's addresses.
func (k *routed) leads(o *netlink.Route) bool {
	gw, ok := netip.AddrFromSlice(o.Gw)
	return ok && slices.ContainsFunc(k.addrs, func(p netip.Prefix) bool { return !p.IsSingleIP() && p.Contains(gw.Unmap()) })
}

// move moves the routes to a gateway in the subnets of a carp's addresses, which somebody has set through the carpdev, from one table to another, 0: away.
// Where they rest the gateway cannot be reached, and need not.
func (r *routes) move(from, to int, k *routed) error {
	var errs []error
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := gate.Whole(func() ([]netlink.Route, error) {
			filter := &netlink.Route{LinkIndex: k.carpdev, Table: from}
			return r.netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		})
		if err != nil && !errors.Is(err, syscall.ENOENT) { // there is no such table
			errs = append(errs, fmt.Errorf("failed to list routes: %w", err))
		}
		for _, o := range list {
			if !k.leads(&o) {
				continue
			}
			there := o
			there.Table = to
			there.Flags &^= unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD | int(netlink.FLAG_ONLINK)
			if to == restTable {
				there.Flags |= int(netlink.FLAG_ONLINK)
			}
			if to != 0 {
				if err := r.netlink.RouteAppend(&there); err != nil && !errors.Is(err, syscall.EEXIST) {
					errs = append(errs, fmt.Errorf("failed to move the route to %s: %w", o.Dst, err))
					continue
				}
			}
			if err := r.netlink.RouteDel(&o); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("failed to move the route to %s: %w", o.Dst, err))
			}
		}
	}
	return errors.Join(errs...)
}

// ourRoute reports whether a route is as we set it, and to where from where.
func ourRoute(o *netlink.Route) (to netip.Prefix, src netip.Addr, ours bool) {
	to, ok := prefixOf(o.Dst)
	src, _ = netip.AddrFromSlice(o.Src)
	return to, src.Unmap(), ok && o.Gw == nil && o.Protocol == unix.RTPROT_KERNEL && o.Priority == routeMetric
}

// routeOf is a route as the kernel itself makes one for an address.
func routeOf(index int, to netip.Prefix, src netip.Addr) *netlink.Route {
	o := &netlink.Route{LinkIndex: index, Dst: ipNet(to), Protocol: unix.RTPROT_KERNEL, Priority: routeMetric}
	if src.IsValid() {
		o.Src = src.AsSlice()
	}
	if to.Addr().Is4() {
		o.Scope = netlink.SCOPE_LINK
	}
	return o
}

// onLink returns the routes of the main table that lead to a link.
func (r *routes) onLink(index, family int) ([]netlink.Route, error) {
	list, err := gate.Whole(func() ([]netlink.Route, error) {
		return r.netlink.RouteListFiltered(family, &netlink.Route{LinkIndex: index}, netlink.RT_FILTER_OIF)
	})
	if err != nil {
		return nil, fmt.Errorf("failed to list routes: %w", err)
	}
	return list, nil
}
