//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
)

// Options are what a host has to know.
type Options struct {
	Mark   string               // the state directory: by it our links are known from those of others
	Record *Record              // where the next engine finds what this one has changed; nil: nowhere
	Kept   string               // a file for the same, for when no process is left that has the record; "": none
	Gate   *gate.Gate           // the host takes it over; nil: a backup's link is administratively down
	Logf   func(string, ...any) // for debugging; must not wait
	Warnf  func(string, ...any) // for what the administrator has to know; must not wait
}

// A Host is the data plane of one network namespace, the one that its process is in.
type Host struct {
	mark    string
	logf    func(string, ...any)
	netlink *netlink.Handle
	kernel  kernel
	looks   kernel // of who looks at all links, which takes a while
	links   chan []config.Link
	packets chan host.Packet
	ending  chan struct{}
	work    sync.WaitGroup
	quiet   []int // the raw sockets that keep the kernel from answering adverts with ICMP errors

	neighbours *neighbours
	keeper     *keeper
	watchers   sync.WaitGroup
	left       chan struct{} // closed: they end, and nothing is mended any more
	unwatch    func()        // closes it, once

	mu    sync.RWMutex
	ports map[int]*port // by carpdev: Send finds them from any goroutine

	// Of the one goroutine that calls the other methods.
	made    map[string]made
	fights  map[string]*patience // with others who change links, by carp
	mended  bool                 // the Ensure that is under way has changed something
	sysctls *sysctls
	guard   *guard  // has locks of its own
	own     *owner  // the same
	routes  *routes // and these
}

var _ host.Host = (*Host)(nil)

// made is what a carp's link is, so that the next Ensure need not ask.
type made struct {
	index  int
	carp   host.Carp
	below  int          // the interface below a carpdev that is a macvlan, where it is in this namespace
	groups []netip.Addr // that its carpdev is a member of for it
	whole  bool         // nothing failed
}

// Open opens the data plane. It needs CAP_NET_ADMIN and CAP_NET_RAW.
func Open(o Options) (_ *Host, err error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Warnf == nil {
		o.Warnf = o.Logf
	}
	if err := mayLink(); err != nil {
		return nil, fmt.Errorf("links and addresses take CAP_NET_ADMIN: %w", err)
	}
	var undo []func() // what was opened
	defer func() {
		if err != nil {
			for _, f := range undo {
				f()
			}
		}
	}()
	h := &Host{
		mark: aliasPrefix + o.Mark, logf: o.Logf,
		links: make(chan []config.Link, 1), packets: make(chan host.Packet, 256), ending: make(chan struct{}),
		ports: map[int]*port{}, made: map[string]made{}, fights: map[string]*patience{}, keeper: newKeeper(), left: make(chan struct{}),
		sysctls: newSysctls(o.Record, o.Kept, o.Logf), guard: newGuard(o), own: newOwner(o),
	}
	if h.netlink, err = netlink.NewHandle(); err != nil {
		return nil, fmt.Errorf("failed to open netlink: %w", err)
	}
	undo = append(undo, h.netlink.Close)
	for _, k := range []*kernel{&h.kernel, &h.looks} {
		if *k, err = openKernel(); err != nil {
			return nil, err
		}
		undo = append(undo, k.close)
	}
	h.unwatch = sync.OnceFunc(func() { close(h.left) })
	h.guard.kernel, h.guard.protodown, h.own.kernel = h.kernel, h.kernel.protodown, h.kernel
	h.neighbours = newNeighbours(o.Logf, h.ending)
	if err := writable(o.Gate != nil); err != nil {
		o.Warnf("kernelsim: %v", err)
	}
	if h.routes, err = newRoutes(o, h.guard.staysUp); err != nil {
		return nil, err
	}
	undo = append(undo, h.routes.close)
	if h.quiet, err = quietSockets(); err != nil {
		return nil, err
	}
	undo = append(undo, func() { closeAll(h.quiet) })
	if err := h.own.recall(); err != nil {
		h.logf("linux: %v", err) // an older kernel
	}
	h.guard.amiss = h.keeper.suspect
	return h, h.start(o.Gate != nil)
}

// start lets the watchers work. What they are told begins before there is a link.
func (h *Host) start(gated bool) error {
	carps, err := subscribeCarps()
	if err != nil {
		return err
	}
	if gated {
		filters, err := subscribeFilters()
		if err != nil {
			carps.Close()
			return err
		}
		h.watchers.Add(1)
		go h.watchFilters(filters)
	}
	h.work.Add(1)
	go func() { defer h.work.Done(); h.neighbours.work() }()
	h.watchers.Add(2)
	go h.watch()
	go h.watchCarps(carps)
	return nil
}

// Links tells the host's own interfaces.
func (h *Host) Links() <-chan []config.Link { return h.links }

// Packets delivers adverts.
func (h *Host) Packets() <-chan host.Packet { return h.packets }

// Leave ends the watchers: they would take what the next process puts on the links for somebody else's work.
func (h *Host) Leave() {
	h.unwatch()
	h.watchers.Wait()
}

// Close removes every link, puts the sysctls back and ends.
func (h *Host) Close() error {
	errs := []error{h.Silence()} // also what was adopted and never needed
	for name := range h.made {
		errs = append(errs, h.Remove(name))
	}
	h.sysctls.restoreAll() // of a carpdev that an engine before us used last
	h.Leave()
	close(h.ending)
	h.mu.Lock()
	for index, p := range h.ports {
		p.close()
		delete(h.ports, index)
	}
	h.mu.Unlock()
	h.netlink.Close()
	closeAll(h.quiet)
	h.work.Wait()
	h.kernel.close()
	h.looks.close()
	h.routes.close()
	errs = append(errs, h.guard.close())
	close(h.links)
	close(h.packets)
	return errors.Join(errs...)
}
