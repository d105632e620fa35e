//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host/linux/gate"
)

// rcvBuffer is what the kernel may queue of news: many links change at once when a host with hundreds of carps loses a carpdev.
const rcvBuffer = 4 << 20

// News may wait so long for other news.
const (
	pauseMin = 2 * time.Millisecond
	pauseMax = 20 * time.Millisecond
)

// watch tells the host's interfaces, now and whenever they change. When the kernel had to drop news, it asks for everything again.
func (h *Host) watch() {
	defer h.watchers.Done()
	for {
		if err := h.follow(); err != nil {
			h.logf("linux: interfaces: %v", err)
		}
		select {
		case <-h.left:
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
		case <-h.left: // of course it fails now
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
	k, err := takeStock()
	if err != nil {
		return fmt.Errorf("failed to list: %w", err)
	}
	defer k.netlink.Close()
	var last []config.Link
	for {
		began := time.Now()
		now, err := h.interfaces(k)
		if err != nil {
			return fmt.Errorf("failed to list: %w", err)
		}
		took := time.Since(began)
		if last == nil || !slices.EqualFunc(last, now, func(a, b config.Link) bool { return a.Equal(&b) }) {
			h.routes.news(now)
			h.tell(now)
			last = now
		}
		// All that has come at once, unless it comes without an end; and where interfaces come and go by the hundred, no more than half of
		// the time for it.
		pause := time.After(min(max(took, pauseMin), pauseMax))
		for news, more := false, 1000; !news || more > 0 && len(links)+len(addrs) > 0; more-- {
			select {
			case u, ok := <-links:
				if !ok {
					return fmt.Errorf("the subscription to links ended")
				}
				own := k.isCarp(u.Link.Attrs().Index) || isCarp(u.Link) // what happens to a carp is our own doing
				if err := k.update(u.Link.Attrs().Index); err != nil {
					return err
				}
				news = news || !own
			case u, ok := <-addrs:
				if !ok {
					return fmt.Errorf("the subscription to addresses ended")
				}
				if !k.isCarp(u.LinkIndex) {
					k.addrs, news = nil, true
				}
			case <-h.left:
				return nil
			}
		}
		select {
		case <-pause:
		case <-h.left:
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

// A stock is what there is of links and addresses. One link that has changed is asked for by itself: a list of hundreds, for each piece of news of hundreds,
// takes all the time there is.
type stock struct {
	netlink *netlink.Handle // its own, so that it goes on where there are no more descriptors, and keeps nobody waiting
	links   map[int]netlink.Link
	addrs   []netlink.Addr // nil: to be listed
	own     bool           // some of them are shared addresses
}

func takeStock() (*stock, error) {
	all, err := listLinks()
	if err != nil {
		return nil, err
	}
	k := &stock{links: map[int]netlink.Link{}}
	if k.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	for _, l := range all {
		k.links[l.Attrs().Index] = l
	}
	return k, nil
}

// update asks for a link that has come, changed or gone. What the news says may be older than the stock.
func (k *stock) update(index int) error {
	now, err := k.netlink.LinkByIndex(index)
	var none netlink.LinkNotFoundError
	switch {
	case err == nil:
		k.links[index] = now
	case errors.As(err, &none):
		delete(k.links, index)
	default:
		return fmt.Errorf("failed to ask for link %d: %w", index, err)
	}
	return nil
}

// list returns all addresses.
func (k *stock) list() ([]netlink.Addr, error) {
	return gate.Whole(func() ([]netlink.Addr, error) { return k.netlink.AddrList(nil, netlink.FAMILY_ALL) })
}

func (k *stock) isCarp(index int) bool {
	l := k.links[index]
	return l != nil && isCarp(l)
}

// interfaces returns all interfaces but carps, by index.
func (h *Host) interfaces(k *stock) ([]config.Link, error) {
	ours := h.own.known() // those that go meanwhile, too
	if own := len(ours) > 0; k.addrs == nil || own || k.own {
		var err error
		if k.addrs, err = k.list(); err != nil {
			return nil, err
		}
		k.own = own
	}
	for p := range h.own.known() {
		ours[p] = true
	}
	of, shared, up := map[int][]netip.Prefix{}, map[int][]netip.Prefix{}, map[int]bool{}
	for _, a := range k.addrs {
		if p, ok := prefixOf(a.IPNet); ok && ours[placed{a.LinkIndex, p}] {
			shared[a.LinkIndex] = append(shared[a.LinkIndex], p)
		} else if ok {
			of[a.LinkIndex] = append(of[a.LinkIndex], p)
		}
	}
	all := make([]netlink.Link, 0, len(k.links))
	for _, l := range k.links {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b netlink.Link) int { return a.Attrs().Index - b.Attrs().Index })
	h.guard.news(all, false)
	links := make([]config.Link, 0, len(all))
	for _, l := range all {
		a := l.Attrs()
		up[a.Index] = a.RawFlags&unix.IFF_UP != 0
		if isCarp(l) {
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
	if h.own.restore(shared, up) {
		h.routes.look()
	}
	h.followMTU(all)
	return links, nil
}

// followMTU gives our links the MTU of their carpdevs. The kernel lets it shrink with that of the interface below, and never grow again.
func (h *Host) followMTU(all []netlink.Link) {
	of := map[int]int{}
	for _, l := range all {
		of[l.Attrs().Index] = l.Attrs().MTU
	}
	for _, l := range all {
		a := l.Attrs()
		mtu, ok := of[a.ParentIndex]
		if !ok || a.NetNsID >= 0 || a.MTU == mtu || !h.ours(l) {
			continue
		}
		if err := h.netlink.LinkSetMTU(l, mtu); err != nil && !errors.Is(err, syscall.ENODEV) {
			h.logf("linux: %s: mtu %d: %v", a.Name, mtu, err)
		}
	}
}
