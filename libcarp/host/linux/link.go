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

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// aliasPrefix begins the alias of our links; `ip link` shows it.
const aliasPrefix = "carp "

// Ensure makes the carp's link what c says.
func (h *Host) Ensure(c host.Carp) (int, error) {
	c.Addrs = slices.Clone(c.Addrs)
	if m, ok := h.made[c.Name]; ok && same(m.carp, c) {
		// Becoming master or backup is one message to the kernel, whatever the number of addresses.
		err := h.guard.setMaster(m.index, c.Name, c.Master)
		if err == nil {
			h.made[c.Name] = made{m.index, c}
		}
		if !errors.Is(err, syscall.ENODEV) { // somebody has deleted it
			return m.index, err
		}
	}
	index, err := h.make(c)
	if err != nil {
		return 0, fmt.Errorf("failed to make %s: %w", c.Name, err)
	}
	return index, nil
}

// same reports whether two carps differ in nothing but who is master.
func same(a, b host.Carp) bool {
	return a.Carpdev == b.Carpdev && a.MAC == b.MAC && slices.Equal(a.Addrs, b.Addrs)
}

// make makes the link, or mends it. It is silent while its addresses change unless it was master before, and has everything before it is up.
func (h *Host) make(c host.Carp) (int, error) {
	parent, err := h.netlink.LinkByIndex(c.Carpdev)
	if err != nil {
		return 0, err
	}
	link, err := h.find(c)
	if err != nil {
		return 0, err
	}
	if link == nil {
		if link, err = h.create(c); err != nil {
			return 0, err
		}
	}
	// Before anything can fail: what is known here is removed by Remove.
	old, had := h.made[c.Name]
	h.made[c.Name] = made{link.Attrs().Index, c}
	if had && old.carp.Carpdev != c.Carpdev {
		h.release(old.carp.Carpdev)
	}
	if err := h.listen(c.Carpdev); err != nil {
		return 0, err
	}
	// The gate is for the addresses that go, too.
	if err := h.guard.protect(link, c, addrsOf(c.Addrs, old.carp.Addrs)); err != nil {
		return 0, err
	}
	h.sysctls.forCarp(c.Name)
	h.sysctls.forCarpdev(parent.Attrs().Name, parent.Attrs().Index)
	if err := h.guard.prepare(link.Attrs().Index, c); err != nil {
		return 0, err
	}
	if err := h.address(link, c.Addrs); err != nil {
		return 0, err
	}
	if err := h.guard.protect(link, c, addrsOf(c.Addrs)); err != nil {
		return 0, err
	}
	if err := h.guard.setMaster(link.Attrs().Index, c.Name, c.Master); err != nil {
		return 0, err
	}
	return link.Attrs().Index, nil
}

// find returns the link of that name if it can serve, nil if there is none, and EEXIST if it is somebody else's. One of ours that cannot serve any more
// is deleted.
func (h *Host) find(c host.Carp) (netlink.Link, error) {
	link, err := h.byName(c.Name)
	if err != nil || link == nil {
		return nil, err
	}
	if !h.ours(link) {
		return nil, syscall.EEXIST
	}
	m, ok := link.(*netlink.Macvlan)
	if ok && m.ParentIndex == c.Carpdev && m.HardwareAddr.String() == c.MAC.String() && m.Mode == netlink.MACVLAN_MODE_PRIVATE {
		return link, h.netlink.LinkSetAlias(link, h.mark)
	}
	return nil, h.netlink.LinkDel(link)
}

// ours reports whether a link is this state directory's: it has our mark, or none yet, because somebody was killed before he set it.
func (h *Host) ours(link netlink.Link) bool {
	return isCarp(link) && (link.Attrs().Alias == h.mark || isBare(link))
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
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = c.Name, c.Carpdev, c.MAC[:]
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

// address makes the link's addresses those, adding before it removes so that a master always has one. No prefix route: the host's own
// traffic must never leave from a shared address because that route happens to be first.
func (h *Host) address(link netlink.Link, want []netip.Prefix) error {
	have, err := h.netlink.AddrList(link, unix.AF_INET)
	if err != nil {
		return err
	}
	extra := map[netip.Prefix]netlink.Addr{}
	for _, a := range have {
		if p, ok := prefixOf(a.IPNet); ok {
			extra[p] = a
		}
	}
	for _, p := range want {
		if _, ok := extra[p]; ok {
			delete(extra, p)
			continue
		}
		a := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NOPREFIXROUTE}
		if err := h.netlink.AddrAdd(link, a); err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("failed to add %s: %w", p, err)
		}
	}
	for p, a := range extra {
		if err := h.netlink.AddrDel(link, &a); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("failed to delete %s: %w", p, err)
		}
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
	link, err := h.byName(name)
	if err == nil && link != nil && h.ours(link) {
		err = h.netlink.LinkDel(link)
	}
	h.release(m.carp.Carpdev)
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
	links, err := h.netlink.LinkList()
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
	if err := h.guard.adopt(kept); err != nil {
		return fmt.Errorf("failed to silence links: %w", err)
	}
	return nil
}

// listen opens the carpdev's port, if it is the first carp there.
func (h *Host) listen(carpdev int) error {
	h.mu.RLock()
	_, open := h.ports[carpdev]
	h.mu.RUnlock()
	if open {
		return nil
	}
	p, err := openPort(carpdev, h.deliver, &h.work)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.ports[carpdev] = p
	h.mu.Unlock()
	return nil
}

// release closes the carpdev's port and puts its sysctls back when no carp is there any more.
func (h *Host) release(carpdev int) {
	for _, m := range h.made {
		if m.carp.Carpdev == carpdev {
			return
		}
	}
	h.mu.Lock()
	p := h.ports[carpdev]
	delete(h.ports, carpdev)
	h.mu.Unlock()
	if p != nil {
		p.close()
	}
	h.sysctls.restore(carpdev)
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
