//go:build linux

package linux

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
)

// Resume lets leases of these carps be renewed and adverts be sent. Their links, which take longer, stay as they are until Adopt and Ensure look at them.
func (h *Host) Resume(carps []host.Carp) error {
	var errs []error
	for _, c := range carps {
		p, err := h.port(c.Carpdev)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m := made{carp: c}
		if m.groups, err = p.members.change(nil, groupsOf(c)); err != nil {
			errs = append(errs, err)
		}
		h.made[c.Name] = m
		h.neighbours.want(c.Name, c.Carpdev, c.Peers)
	}
	return errors.Join(append(errs, h.guard.resume(carps))...)
}

// port returns the port of a carpdev.
func (h *Host) port(carpdev int) (*port, error) {
	h.mu.RLock()
	p := h.ports[carpdev]
	h.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	p, err := openPort(carpdev, h.deliver, &h.work)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.ports[carpdev] = p
	h.mu.Unlock()
	return p, nil
}

// resume finds the slots of the carps again, which their addresses lead to.
func (g *guard) resume(carps []host.Carp) error {
	if g.gate == nil {
		for _, c := range carps {
			g.resumed[c.Name] = c.Master
		}
		return nil
	}
	links, err := listLinks()
	if err != nil {
		return fmt.Errorf("failed to list links: %w", err)
	}
	want := map[string][]gate.Addr{}
	for _, c := range carps {
		slot, err := g.gate.Add(c.Name)
		if err != nil {
			return err
		}
		want[c.Name] = guarded{carpdev: c.Carpdev, addrs: addrsOf(linkAddrs(c)), vrf: vrfOf(links, c.Carpdev)}.domains()
		g.mu.Lock()
		g.slots[c.Name] = slot
		g.mu.Unlock()
		g.resumed[c.Name] = c.Master
	}
	return g.gate.SetAddrs(want)
}

// A Parting sends the bow-outs of an engine that has died. It is opened in good time, and needs no more descriptors then.
type Parting struct {
	fd      int
	mark    string
	netlink *netlink.Handle
	kernel  kernel
}

// OpenParting needs CAP_NET_RAW. The mark is that of the hosts, see [Options].
func OpenParting(mark string) (*Parting, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // it receives nothing
	if err != nil {
		return nil, fmt.Errorf("failed to open a packet socket (it takes CAP_NET_RAW): %w", err)
	}
	return InheritParting(fd, mark), nil
}

// SetDown silences a carp where there is no gate.
func (p *Parting) SetDown(carp string) error {
	link, err := p.netlink.LinkByName(carp)
	if err != nil {
		return err
	}
	errs := []error{p.kernel.setUp(link.Attrs().Index, false)}
	own := newOwner(Options{Mark: p.mark})
	own.kernel = p.kernel
	left, err := own.left()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	gone := left[own.metric(carp)]
	for _, at := range gone {
		errs = append(errs, own.kernel.unplace(at))
	}
	if len(gone) > 0 {
		routes, err := newRoutes(Options{Logf: func(string, ...any) {}}, func() bool { return false })
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		defer routes.close()
		errs = append(errs, routes.drop(gone))
	}
	return errors.Join(errs...)
}

// Fd is the socket's descriptor.
func (p *Parting) Fd() int { return p.fd }

// InheritParting takes over the descriptor of one.
func InheritParting(fd int, mark string) *Parting {
	p := &Parting{fd: fd, mark: mark, netlink: &netlink.Handle{}} // which opens sockets when it needs them, if it has to
	if h, err := netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
		p.netlink = h
	}
	if k, err := openKernel(); err == nil {
		p.kernel = k
	}
	return p
}

// Send puts a whole frame on the wire.
func (p *Parting) Send(carpdev int, frame []byte) error {
	return unix.Sendto(p.fd, frame, unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: carpdev})
}

// Close closes the sockets.
func (p *Parting) Close() error {
	p.netlink.Close()
	p.kernel.close()
	return unix.Close(p.fd)
}
