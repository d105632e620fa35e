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

// routes are those of carps whose carpdev has no address in the subnet of a shared one: nobody could be answered there, so the carp's own link carries the
// subnet's route. While it has no carrier, which a backup has not, the route does not count (ignore_routes_with_linkdown). Where a backup's link is down instead, the
// kernel takes all routes of the link away, and they are set again, those of others too.
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
	if k == nil || k.index != index {
		k = &routed{index: index}
		r.carps[c.Name] = k
	}
	wasUp := k.up
	k.carpdev, k.addrs, k.up = c.Carpdev, c.Addrs, r.gated() || c.Master
	if c.Own {
		k.addrs = nil
	}
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
	wanted := r.wanted(k)
	k.set = map[netip.Prefix]netip.Addr{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} { // somebody may have taken them away, and an engine before us may have set others
		list, err := r.onLink(k.index, family)
		if err != nil {
			return err
		}
		for _, o := range list {
			if p, ok := prefixOf(o.Dst); ok && o.Protocol == unix.RTPROT_KERNEL && o.Priority == routeMetric {
				src, _ := netip.AddrFromSlice(o.Src)
				k.set[p] = src.Unmap()
			}
		}
	}
	err := r.apply(k, wanted)
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
		if err := r.apply(k, r.wanted(k)); err != nil && !errors.Is(err, syscall.ENODEV) { // it went with the carpdev
			r.logf("linux: %s: %v", name, err)
		}
	}
}

func (r *routes) forget(carp string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.carps, carp)
}

// lower is for a link that is about to be taken down: its routes go with that. With the gate none is.
func (r *routes) lower(carp string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if r.gated() || k == nil || !k.up {
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

// raise sets the routes of a link again that was down.
func (r *routes) raise(carp string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.carps[carp]
	if r.gated() || k == nil || k.up {
		return nil
	}
	k.up, k.set = true, map[netip.Prefix]netip.Addr{}
	err := r.apply(k, r.wanted(k))
	r.repeat(carp, k)
	return err
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

// ready lets a link that has just got its carrier send at once. The kernel counts its routes as soon as it has one, but lets nothing out before it has come round to
// that (net/core/link_watch.c), and a neighbour that was asked for meanwhile is asked for again after a second. To ask for the link is to make it come round.
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

// numbered reports whether the carpdev is on the subnet of a shared address itself, by an address or by a route. A narrower one is enough: a classful mask must not
// pull on-link what is beyond a router.
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
		return ok && o.Gw == nil && o.Type == unix.RTN_UNICAST && overlaps(q)
	})
}

// apply makes the routes those of want.
func (r *routes) apply(k *routed, want map[netip.Prefix]netip.Addr) error {
	if !k.up {
		return nil
	}
	for p, src := range want {
		if s, ok := k.set[p]; ok && s == src {
			continue
		}
		// After those of other carps of the same subnet: which of them counts is which has a carrier.
		if err := r.netlink.RouteAppend(routeOf(k.index, p, src)); err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("failed to add the route to %s: %w", p, err)
		}
	}
	for p, src := range k.set {
		if s, ok := want[p]; ok && s == src {
			continue
		}
		if err := r.netlink.RouteDel(routeOf(k.index, p, src)); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("failed to delete the route to %s: %w", p, err)
		}
	}
	k.set = maps.Clone(want)
	return nil
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
