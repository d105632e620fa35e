//go:build linux

package linux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// rcvBuffer is what the kernel may queue of news: many links change at once when a host with hundreds of carps loses a carpdev.
const rcvBuffer = 4 << 20

// pauseMax is for how long at most news may wait for a list.
const pauseMax = 20 * time.Millisecond

// watch tells the host's interfaces, now and whenever they change. When the kernel had to drop news, it asks for everything again.
func (h *Host) watch() {
	defer h.work.Done()
	for {
		if err := h.follow(); err != nil {
			h.logf("linux: interfaces: %v", err)
		}
		select {
		case <-h.ending:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// follow subscribes first and lists then, so that nothing is missed in between. It returns when a subscription ends.
func (h *Host) follow() error {
	done := make(chan struct{})
	defer close(done)
	links, addrs := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	report := func(err error) {
		select {
		case <-h.ending: // of course it fails now
		default:
			h.logf("linux: netlink: %v", err)
		}
	}
	err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: report, ReceiveBufferSize: rcvBuffer, ReceiveBufferForceSize: true})
	if err != nil {
		return fmt.Errorf("failed to subscribe to links: %w", err)
	}
	err = netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: report, ReceiveBufferSize: rcvBuffer, ReceiveBufferForceSize: true})
	if err != nil {
		return fmt.Errorf("failed to subscribe to addresses: %w", err)
	}
	carps := map[int]bool{} // indexes of carps' links: what happens to them is our own doing
	var last []config.Link
	for {
		began := time.Now()
		now, err := h.list(carps)
		if err != nil {
			return fmt.Errorf("failed to list: %w", err)
		}
		took := time.Since(began)
		if last == nil || !slices.EqualFunc(last, now, func(a, b config.Link) bool { return a.Equal(&b) }) {
			h.routes.news(now)
			h.tell(now)
			last = now
		}
		// One list for all that has come, unless it comes without an end; and where interfaces come and go by the hundred, no more than half of the time for lists.
		pause := time.After(min(took, pauseMax))
		for news, more := false, 1000; !news || more > 0 && len(links)+len(addrs) > 0; more-- {
			select {
			case u, ok := <-links:
				if !ok {
					return fmt.Errorf("the subscription to links ended")
				}
				index := u.Link.Attrs().Index
				if isCarp(u.Link) {
					carps[index] = true
				}
				news = news || !carps[index]
			case u, ok := <-addrs:
				if !ok {
					return fmt.Errorf("the subscription to addresses ended")
				}
				news = news || !carps[u.LinkIndex]
			case <-h.ending:
				return nil
			}
		}
		select {
		case <-pause:
		case <-h.ending:
			return nil
		}
	}
}

// tell replaces what was told and not yet taken.
func (h *Host) tell(links []config.Link) {
	select {
	case <-h.links:
	default:
	}
	h.links <- links
}

// list returns all interfaces but carps, by index, and notes the carps.
func (h *Host) list(carps map[int]bool) ([]config.Link, error) {
	all, err := listLinks()
	if err != nil {
		return nil, err
	}
	ours := h.own.known() // those that go meanwhile, too
	addrs, err := addrsOn(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for p := range h.own.known() {
		ours[p] = true
	}
	of, shared, up := map[int][]netip.Prefix{}, map[int][]netip.Prefix{}, map[int]bool{}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok && ours[placed{a.LinkIndex, p}] {
			shared[a.LinkIndex] = append(shared[a.LinkIndex], p)
		} else if ok {
			of[a.LinkIndex] = append(of[a.LinkIndex], p)
		}
	}
	h.guard.news(all, false)
	clear(carps)
	links := []config.Link{}
	for _, l := range all {
		a := l.Attrs()
		up[a.Index] = a.RawFlags&unix.IFF_UP != 0
		if isCarp(l) {
			carps[a.Index] = true
			continue
		}
		c := config.Link{
			Index: a.Index, Name: a.Name, AltNames: a.AltNames, MTU: a.MTU, Addrs: of[a.Index],
			Up: a.RawFlags&unix.IFF_UP != 0, Running: a.RawFlags&unix.IFF_RUNNING != 0,
			Ethernet: a.EncapType == "ether", Multicast: a.RawFlags&unix.IFF_MULTICAST != 0, Loopback: a.Flags&net.FlagLoopback != 0,
		}
		copy(c.MAC[:], a.HardwareAddr)
		links = append(links, c)
	}
	h.own.restore(shared, up)
	slices.SortFunc(links, func(a, b config.Link) int { return a.Index - b.Index })
	return links, nil
}
