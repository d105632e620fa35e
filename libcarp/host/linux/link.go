//go:build linux

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
)

// aliasPrefix begins the alias of our links; `ip link` shows it.
const aliasPrefix = "carp "

// Ensure makes the carp's link what c says.
func (h *Host) Ensure(c host.Carp) (int, error) {
	c.Addrs, c.Peers = slices.Clone(c.Addrs), slices.Clone(c.Peers)
	suspect := h.keeper.taken(c.Name)
	defer h.keeper.done(c.Name)
	if m, ok := h.made[c.Name]; ok && m.whole && !suspect && same(m.carp, c) {
		// Becoming master or backup is one message to the kernel, and one for each link-local address.
		h.keeper.expect(m.index, c, h.guard.staysUp(), c.Carpdev, m.below)
		err := h.setMaster(m.index, c)
		if err == nil {
			m.carp = c
			h.made[c.Name] = m
		}
		if !errors.Is(err, syscall.ENODEV) { // somebody has deleted it
			return m.index, err
		}
	}
	index, err := h.mend(c, suspect)
	if err != nil {
		return 0, fmt.Errorf("failed to make %s: %w", c.Name, err)
	}
	return index, nil
}

// mend makes the link, if it has not been in vain too often, and if its carpdev's gate can be relied on; otherwise there is no link: what is not there
// answers nobody.
func (h *Host) mend(c host.Carp, suspect bool) (int, error) {
	p := h.fights[c.Name]
	if p == nil {
		p = &patience{}
		h.fights[c.Name] = p
	}
	if p.lost(time.Now()) {
		return 0, errors.Join(errFought, h.unmake(c.Name))
	}
	if err := h.guard.fault(c.Carpdev); err != nil {
		return 0, errors.Join(fmt.Errorf("gate: %w", err), h.unmake(c.Name))
	}
	old, had := h.made[c.Name]
	theirs := suspect && had && same(old.carp, c) // what is changed now was somebody else's doing
	h.mended = false
	index, err := h.make(c)
	if errors.Is(err, gate.ErrBehind) && h.guard.fault(c.Carpdev) == nil { // on the link itself, which is no loss
		if err = h.unmake(c.Name); err == nil {
			index, err = h.make(c)
		}
	}
	if theirs && h.mended && !p.bear(time.Now()) {
		return 0, errors.Join(errFought, h.unmake(c.Name))
	}
	if err == nil && slices.ContainsFunc(c.Addrs, func(p netip.Prefix) bool { return p.Addr().Is4() }) {
		if err = deafNow().err(c, h.routes.leadToAll(c.Name)); err != nil {
			err = errors.Join(err, h.guard.setMaster(index, c.Name, false))
			m := h.made[c.Name]
			m.whole = false
			h.made[c.Name] = m
		}
	}
	return index, err
}

// unmake deletes the link, and leaves it known that there was one.
func (h *Host) unmake(name string) error {
	m, ok := h.made[name]
	if !ok || m.index == 0 {
		return nil
	}
	h.keeper.ignore(name)
	err := h.netlink.LinkDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: m.index}})
	if err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("failed to delete the link: %w", err)
	}
	m.index, m.whole = 0, false
	h.made[name] = m
	return nil
}

// same reports whether two carps differ in nothing but who is master.
func same(a, b host.Carp) bool {
	return a.Carpdev == b.Carpdev && a.MAC == b.MAC && a.Own == b.Own && slices.Equal(a.VHIDs, b.VHIDs) && slices.Equal(a.Addrs, b.Addrs) &&
		slices.Equal(a.Peers, b.Peers)
}

// setMaster lets the link answer or silences it.
func (h *Host) setMaster(index int, c host.Carp) error {
	if c.Own && h.guard.gate == nil && !c.Master {
		h.routes.save(c.Name)
		if err := h.placeOwn(c); err != nil {
			return err
		}
	}
	if !c.Master && !c.Own {
		h.routes.lower(c.Name)
	}
	if err := h.guard.setMaster(index, c.Name, c.Master); err != nil {
		return err
	}
	if !c.Master {
		if c.Own { // those on the carpdev can wait until nobody gets an answer
			h.routes.lower(c.Name)
		}
		return nil
	}
	if c.Own {
		if err := h.placeOwn(c); err != nil {
			return err
		}
		return h.routes.raise(c.Name)
	}
	for _, p := range linkAddrs(c) {
		if p.Addr().IsLinkLocalUnicast() && p.Addr().Is6() { // went with the link if that was down, whatever keep_addr_on_down says
			if err := h.addAddr(index, p); err != nil {
				return err
			}
		}
	}
	if err := h.routes.raise(c.Name); err != nil {
		return err
	}
	return h.routes.ready(c.Name)
}

// make makes the link, or mends it. It is silent while its addresses change unless it was master before, and has everything before it is up.
func (h *Host) make(c host.Carp) (int, error) {
	parent, err := h.netlink.LinkByIndex(c.Carpdev)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return 0, syscall.ENODEV
	}
	if err != nil {
		return 0, err
	}
	link, created, err := h.findOrCreate(c, parent)
	if err != nil {
		return 0, err
	}
	index, up := link.Attrs().Index, h.guard.staysUp()
	h.keeper.expect(index, c, up, c.Carpdev, below(parent))
	if err := h.straighten(index); err != nil {
		return 0, err
	}
	old := h.enter(made{index: index, carp: c, below: below(parent)})
	if err := h.listen(parent, c, index); err != nil {
		return 0, err
	}
	h.neighbours.want(c.Name, c.Carpdev, c.Peers)
	if err := h.cover(link, c, parent, linkAddrs(old)); err != nil {
		return 0, err
	}
	if err := h.populate(link, c, created); err != nil {
		return 0, err
	}
	if err := h.open(index, c); err != nil {
		return 0, err
	}
	if h.guard.staysUp() != up { // found out just now
		h.keeper.expect(index, c, !up, c.Carpdev, below(parent))
	}
	m := h.made[c.Name]
	m.whole = true
	h.made[c.Name] = m
	return index, nil
}

func (h *Host) findOrCreate(c host.Carp, parent netlink.Link) (link netlink.Link, created bool, err error) {
	if link, err = h.find(c, parent); link != nil || err != nil {
		return link, false, err
	}
	h.mended = true
	link, err = h.create(c)
	return link, true, err
}

// enter notes that there is a link, before anything can fail: what is known here is removed by Remove. It returns what the carp was before.
func (h *Host) enter(now made) (before host.Carp) {
	old, had := h.made[now.carp.Name]
	stays := had && old.carp.Carpdev == now.carp.Carpdev
	if stays {
		now.groups = old.groups
	}
	h.made[now.carp.Name] = now
	if had && !stays {
		h.depart(old)
	}
	return old.carp
}

// cover lets nobody hear from the addresses of a carp that is no master, those that go included.
func (h *Host) cover(link netlink.Link, c host.Carp, parent netlink.Link, old []netip.Prefix) error {
	if err := h.guard.protect(link, c, append(addrsOf(linkAddrs(c), old), h.own.of(c.Name)...)); err != nil {
		return err
	}
	h.sysctls.forCarp(c.Name)
	h.sysctls.forCarpdev(parent.Attrs().Name, parent.Attrs().Index)
	if below := below(parent); below != 0 { // it hears the same requests, and would answer them with its own MAC
		if lower, err := h.netlink.LinkByIndex(below); err == nil {
			h.sysctls.forCarpdev(lower.Attrs().Name, below)
		}
	}
	if !c.Master && !c.Own {
		h.routes.lower(c.Name)
	}
	return h.guard.prepare(link.Attrs().Index, c)
}

// populate gives the link its addresses, or the carpdev where it is to have them, and takes away those that are no longer the carp's.
func (h *Host) populate(link netlink.Link, c host.Carp, created bool) error {
	var have []netlink.Addr
	if !created { // asking for them costs time in proportion to all that the host has
		var err error
		if have, err = gate.Whole(func() ([]netlink.Addr, error) { return h.netlink.AddrList(link, netlink.FAMILY_ALL) }); err != nil {
			return err
		}
	}
	if c.Own {
		if err := h.placeOwn(c); err != nil {
			return err
		}
		return h.address(link, have, nil)
	}
	if err := h.address(link, have, linkAddrs(c)); err != nil {
		return err
	}
	return h.placeOwn(c)
}

// open lets a master answer for what is there now, and its traffic leave.
func (h *Host) open(index int, c host.Carp) error {
	if err := h.guard.setMaster(index, c.Name, c.Master); err != nil {
		return err
	}
	if err := h.routes.want(index, c); err != nil || !c.Master {
		return err
	}
	return h.routes.ready(c.Name)
}

// straighten puts right what somebody else has changed of a link, as far as nothing later does.
func (h *Host) straighten(index int) error {
	var s linkState
	if err := h.kernel.getLinks(index, func(now linkState) { s = now }); err != nil {
		return err
	}
	h.keeper.mu.Lock()
	w := h.keeper.wishes[index].wish
	h.keeper.mu.Unlock()
	if w.amiss(&s) != "" {
		h.mended = true
	}
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	if s.flags&unix.IFF_NOARP != 0 {
		return h.netlink.LinkSetARPOn(link)
	}
	return nil
}

// find returns the link of that name if it can serve, nil if there is none, and EEXIST if it is somebody else's. One of ours whose MAC or mode somebody
// has changed, or its name, is put right; one that cannot serve any more is deleted.
func (h *Host) find(c host.Carp, parent netlink.Link) (netlink.Link, error) {
	link, err := h.byName(c.Name)
	if err != nil {
		return nil, err
	}
	last := h.made[c.Name]
	if link == nil {
		if link, err = h.renamed(c.Name, last.index); err != nil || link == nil {
			return nil, err
		}
		h.mended = true
	}
	a := link.Attrs()
	if !h.ours(link) && a.Index != last.index {
		return nil, syscall.EEXIST
	}
	m, ok := link.(*netlink.Macvlan)
	if !ok || !isOn(m, parent) {
		return nil, h.netlink.LinkDel(link)
	}
	// A change of the carp's own MAC makes another link: whoever listens on it has to know.
	if mac := linkMAC(c); m.HardwareAddr.String() != mac.String() {
		if last.index != a.Index || linkMAC(last.carp) != mac {
			return nil, h.netlink.LinkDel(link)
		}
		h.mended = true
		if err := h.netlink.LinkSetHardwareAddr(link, mac[:]); err != nil {
			return nil, h.netlink.LinkDel(link)
		}
	}
	if m.Mode != netlink.MACVLAN_MODE_PRIVATE {
		h.mended = true
		if err := h.netlink.LinkSetMacvlanMode(link, netlink.MACVLAN_MODE_PRIVATE); err != nil {
			return nil, h.netlink.LinkDel(link)
		}
	}
	if a.Alias == h.mark {
		return link, nil
	}
	return link, h.netlink.LinkSetAlias(link, h.mark)
}

// renamed gives our link its name back, nil: there is no such link.
func (h *Host) renamed(name string, index int) (netlink.Link, error) {
	if index == 0 {
		return nil, nil
	}
	link, err := h.netlink.LinkByIndex(index)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !isMacvlan(link) || link.Attrs().Alias != h.mark { // the index is another link's by now
		return nil, nil
	}
	err = h.netlink.LinkSetName(link, name)
	if errors.Is(err, syscall.EBUSY) { // before Linux 6.3 not while it is up
		if err = h.netlink.LinkSetDown(link); err == nil {
			err = h.netlink.LinkSetName(link, name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("failed to rename %s: %w", link.Attrs().Name, err)
	}
	return h.byName(name)
}

// isOn reports whether a link was made on parent. On a macvlan the kernel puts it beside that, on the interface below, which may be in another namespace.
func isOn(m *netlink.Macvlan, parent netlink.Link) bool {
	if below := parent.Attrs(); isMacvlan(parent) {
		return m.ParentIndex == below.ParentIndex && m.NetNsID == below.NetNsID
	}
	return m.ParentIndex == parent.Attrs().Index && m.NetNsID < 0
}

// below returns the index of the interface that a macvlan is on, if it is in this namespace, else 0.
func below(l netlink.Link) int {
	if a := l.Attrs(); isMacvlan(l) && a.NetNsID < 0 {
		return a.ParentIndex
	}
	return 0
}

func isMacvlan(l netlink.Link) bool { return l.Type() == "macvlan" || l.Type() == "macvtap" }

// ours reports whether a link is this state directory's: it has our mark, or none yet, because somebody was killed before he set it.
func (h *Host) ours(link netlink.Link) bool {
	return isCarp(link) && (link.Attrs().Alias == h.mark || isBare(link)) || h.isRenamed(link)
}

// isRenamed reports whether a link is ours though somebody has given it another name.
func (h *Host) isRenamed(link netlink.Link) bool {
	m, ok := link.(*netlink.Macvlan)
	return ok && m.Alias == h.mark && m.Mode == netlink.MACVLAN_MODE_PRIVATE && !isCarp(link)
}

// isBare reports whether a link is as create has it for a moment. A macvlan that somebody else made for himself is none.
func isBare(link netlink.Link) bool {
	a, m := link.Attrs(), link.(*netlink.Macvlan)
	virtual := config.VirtualMAC(0)
	return a.Alias == "" && a.RawFlags&unix.IFF_UP == 0 && m.Mode == netlink.MACVLAN_MODE_PRIVATE && bytes.HasPrefix(a.HardwareAddr, virtual[:5])
}

// byName returns nil for a link that does not exist.
func (h *Host) byName(name string) (netlink.Link, error) {
	link, err := h.netlink.LinkByName(name)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	return link, err
}

// create makes the macvlan, down, and marks it as ours. Private mode: the other modes lose what comes from our own virtual MAC, and
// that is what a second master sends from.
func (h *Host) create(c host.Carp) (netlink.Link, error) {
	attrs, mac := netlink.NewLinkAttrs(), linkMAC(c)
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = c.Name, c.Carpdev, mac[:]
	if err := h.netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}); err != nil {
		return nil, err
	}
	link, err := h.byName(c.Name)
	switch {
	case err != nil:
		return nil, err
	case link == nil:
		return nil, syscall.ENODEV
	}
	return link, h.netlink.LinkSetAlias(link, h.mark) // the kernel takes no alias with the order to make a link
}

// linkAddrs returns the addresses of a carp's link, or of its carpdev: the shared ones, and, where there is IPv6, the link-local address of the link's MAC.
func linkAddrs(c host.Carp) []netip.Prefix {
	own := netip.PrefixFrom(linkMAC(c).LinkLocal(), 64)
	if !slices.ContainsFunc(c.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() }) ||
		slices.ContainsFunc(c.Addrs, func(p netip.Prefix) bool { return p.Addr() == own.Addr() }) {
		return c.Addrs
	}
	return append(slices.Clone(c.Addrs), own)
}

// address makes the link's addresses, which are have, those of want, adding before it removes so that a master always has one.
func (h *Host) address(link netlink.Link, have []netlink.Addr, want []netip.Prefix) error {
	extra := map[netip.Prefix]netlink.Addr{}
	for _, a := range have {
		if p, ok := prefixOf(a.IPNet); ok {
			extra[p] = a
		}
	}
	remove := func(p netip.Prefix, a netlink.Addr) error {
		h.mended = true
		if err := h.netlink.AddrDel(link, &a); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("failed to delete %s: %w", p, err)
		}
		delete(extra, p)
		return nil
	}
	for _, p := range want {
		if _, ok := extra[p]; ok {
			delete(extra, p)
			continue
		}
		for q, a := range extra { // an IPv6 address cannot be there twice, with two lengths of its prefix
			if q.Addr() == p.Addr() && q.Addr().Is6() {
				if err := remove(q, a); err != nil {
					return err
				}
			}
		}
		h.mended = true
		if err := h.addAddr(link.Attrs().Index, p); err != nil {
			return err
		}
	}
	for p, a := range extra {
		if err := remove(p, a); err != nil {
			return err
		}
	}
	return nil
}

// addAddr adds an address that may be there. No prefix route: the host's own traffic must never leave from a shared address because that route happens
// to be first. For the same reason IPv6 addresses are deprecated: the kernel does not choose them as a source. A link-local address has its route, or
// it would not answer. Nobody is asked whether an address is a duplicate: of course it is, on the other hosts.
func (h *Host) addAddr(index int, p netip.Prefix) error {
	var err error
	if link := (&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}); p.Addr().Is4() {
		err = h.netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NOPREFIXROUTE})
	} else {
		err = h.kernel.addIPv6(index, p)
	}
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("failed to add %s: %w", p, err)
	}
	return nil
}

// Remove takes the carp's link away, and what its carpdev no longer needs.
func (h *Host) Remove(name string) error {
	m, ok := h.made[name]
	if !ok {
		return nil
	}
	delete(h.made, name)
	placed := h.own.set(name, nil)
	delete(h.fights, name)
	h.keeper.ignore(name)
	link, err := h.byName(name)
	if link == nil && err == nil && m.index != 0 {
		if link, err = h.netlink.LinkByIndex(m.index); errors.As(err, new(netlink.LinkNotFoundError)) {
			link, err = nil, nil
		}
		if link != nil && !h.isRenamed(link) { // the index is another link's by now
			link = nil
		}
	}
	if err = errors.Join(placed, err); err == nil && link != nil && h.ours(link) {
		err = h.netlink.LinkDel(link)
	}
	h.neighbours.want(name, m.carp.Carpdev, nil)
	h.routes.forget(name)
	h.depart(m)
	if err == nil {
		err = h.guard.forget(name)
	}
	if err != nil {
		return fmt.Errorf("failed to remove %s: %w", name, err)
	}
	return nil
}

// Adopt silences what a dead engine left, before anything else: links to keep become those of backups, the others go.
func (h *Host) Adopt(keep map[string]bool) error {
	if err := h.silence(keep); err != nil {
		return err
	}
	if err := h.guard.adopted(); err != nil {
		return fmt.Errorf("failed to take over the gate: %w", err)
	}
	return nil
}

// silence silences all our links, and takes them away where they are not to be kept.
func (h *Host) silence(keep map[string]bool) error {
	links, err := listLinks()
	if err != nil {
		return fmt.Errorf("failed to list links: %w", err)
	}
	var kept []netlink.Link
	for _, l := range links {
		switch {
		case !h.ours(l):
			continue
		case keep[l.Attrs().Name]:
			kept = append(kept, l)
			continue
		}
		if err := h.netlink.LinkDel(l); err != nil && !errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("failed to silence %s: %w", l.Attrs().Name, err)
		}
	}
	placed := kept
	if h.guard.gate == nil {
		placed = slices.DeleteFunc(slices.Clone(kept), func(l netlink.Link) bool { return !h.guard.resumed[l.Attrs().Name] })
	}
	if err := h.own.adopt(placed, h.routes.drop); err != nil {
		return fmt.Errorf("failed to silence links: %w", err)
	}
	if err := h.guard.adopt(kept, h.own); err != nil {
		return fmt.Errorf("failed to silence links: %w", err)
	}
	return nil
}

// endGroup is the number of the group (ip-link(8)) in which our links are deleted: "carp".
const endGroup = 0x63617270

// Silence deletes our links with one order: the kernel waits for its other processors once, not once for each link.
func (h *Host) Silence() error {
	for name := range h.made {
		h.guard.renew(name, 0)
		h.keeper.ignore(name)
		h.routes.forget(name)
	}
	if err := h.own.release(); err != nil {
		return fmt.Errorf("failed to silence addresses: %w", err)
	}
	links, err := listLinks()
	if err != nil {
		return fmt.Errorf("failed to list links: %w", err)
	}
	found := false
	for _, l := range links {
		if !h.ours(l) {
			continue
		}
		if err := h.netlink.LinkSetGroup(l, endGroup); err != nil && !errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("failed to silence %s: %w", l.Attrs().Name, err)
		}
		found = true
	}
	if !found {
		return nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(endGroup)))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		h.logf("linux: failed to delete all links at once: %v", err)
		return h.silence(nil)
	}
	return nil
}

// listen lets the carpdev's port hear what the carp has to hear.
func (h *Host) listen(parent netlink.Link, c host.Carp, index int) error {
	p, err := h.port(c.Carpdev)
	if err != nil {
		return err
	}
	if isMacvlan(parent) {
		if err := p.hear(c, index, h.deliver, &h.work); err != nil {
			return err
		}
	}
	if err := h.introduce(c.Carpdev); err != nil {
		return err
	}
	m := h.made[c.Name]
	m.groups, err = p.members.change(m.groups, groupsOf(c))
	h.made[c.Name] = m
	return err
}

// depart undoes listen for a carp that is not in made any more, and puts the sysctls of interfaces back that no carp needs.
func (h *Host) depart(m made) {
	carpdev := m.carp.Carpdev
	last, needed := true, map[int]bool{}
	for _, o := range h.made {
		last = last && o.carp.Carpdev != carpdev
		needed[o.carp.Carpdev], needed[o.below] = true, true
	}
	h.mu.Lock()
	p := h.ports[carpdev]
	if last {
		delete(h.ports, carpdev)
	}
	h.mu.Unlock()
	if p != nil {
		p.ignore(m.carp.Name)
		p.members.change(m.groups, nil)
		if last {
			p.close()
		} else if err := h.introduce(carpdev); err != nil {
			h.logf("linux: %v", err) // what is taken for ours is refused by the engine
		}
	}
	for _, index := range []int{carpdev, m.below} {
		if !needed[index] && index != 0 {
			h.sysctls.restore(index)
		}
	}
}

func (h *Host) deliver(p host.Packet) {
	select {
	case h.packets <- p:
	default: // a flood; the next advert comes soon
	}
}

// addrsOf returns the addresses of all lists.
func addrsOf(lists ...[]netip.Prefix) (all []netip.Addr) {
	for _, list := range lists {
		for _, p := range list {
			all = append(all, p.Addr())
		}
	}
	return all
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}

// isCarp reports whether a link is a carp's, ours or another kernelsim's: none of them can be a carpdev.
func isCarp(l netlink.Link) bool { return config.IsCarpName(l.Attrs().Name) && l.Type() == "macvlan" }
