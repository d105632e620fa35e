//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host/linux/gate"
)

const (
	// routesEvery is how often the routes to peers are looked up again, and addresses asked for that nobody has told yet.
	routesEvery = time.Second
	// peerLife is how long a peer is looked after that is no carp's and that nothing is sent to any more.
	peerLife = time.Minute
	// stateValid are the states in which an entry of the kernel's has an address that may be used (include/net/neighbour.h: NUD_VALID).
	stateValid = netlink.NUD_PERMANENT | netlink.NUD_NOARP | netlink.NUD_REACHABLE | netlink.NUD_PROBE | netlink.NUD_STALE | netlink.NUD_DELAY
	// stateIdle are those that the kernel leaves only when somebody uses the entry.
	stateIdle = netlink.NUD_NONE | netlink.NUD_STALE | netlink.NUD_FAILED
)

// neighbours knows the Ethernet addresses of peers, out of the kernel's table, so that sending never has to wait: a goroutine follows that table and the
// routes, and makes the kernel resolve who is not in it. The kernel does not see that packet sockets use an entry.
type neighbours struct {
	logf   func(string, ...any)
	ending <-chan struct{}
	ask    chan struct{} // somebody is not known

	mu    sync.Mutex
	peers map[peer]*hop
	carps map[string][]peer // which are to be known before anything is sent
}

// A peer is a unicast address behind a carpdev.
type peer struct {
	carpdev int
	addr    netip.Addr
}

// A hop is how a peer is reached.
type hop struct {
	used  time.Time
	via   netip.Addr // itself or a router; not valid: no route
	state int        // of the kernel's entry for via
	mac   config.MAC
}

func newNeighbours(logf func(string, ...any), ending <-chan struct{}) *neighbours {
	return &neighbours{logf: logf, ending: ending, ask: make(chan struct{}, 1), peers: map[peer]*hop{}, carps: map[string][]peer{}}
}

// mac returns where frames for a peer go. Who is not known is asked for.
func (n *neighbours) mac(carpdev int, addr netip.Addr) (mac config.MAC, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.peers[peer{carpdev, addr}]
	if h == nil {
		h = &hop{}
		n.peers[peer{carpdev, addr}] = h
	}
	h.used = time.Now()
	if h.state&stateValid == 0 {
		n.wake()
		return mac, false
	}
	return h.mac, true
}

// want says which peers a carp has now.
func (n *neighbours) want(carp string, carpdev int, addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.carps, carp)
	for _, a := range addrs {
		if a.IsMulticast() {
			continue
		}
		p := peer{carpdev, a}
		n.carps[carp] = append(n.carps[carp], p)
		if n.peers[p] == nil {
			n.peers[p] = &hop{used: time.Now()}
			n.wake()
		}
	}
}

func (n *neighbours) wake() {
	select {
	case n.ask <- struct{}{}:
	default:
	}
}

// work follows the kernel's table until the host ends.
func (n *neighbours) work() {
	for {
		if err := n.follow(); err != nil {
			n.logf("linux: neighbours: %v", err)
			n.wake() // to begin again
		}
		select {
		case <-n.ending:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// follow returns when a subscription ends: the kernel had to drop news. Nothing is followed while there are no peers.
func (n *neighbours) follow() error {
	select {
	case <-n.ask:
	case <-n.ending:
		return nil
	}
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NEIGH)
	if err != nil {
		return fmt.Errorf("failed to subscribe: %w", err)
	}
	defer s.Close()
	if err := s.SetReceiveBufferSize(rcvBuffer, true); err != nil {
		n.logf("linux: neighbours: %v", err)
	}
	done := make(chan struct{})
	defer close(done)
	news := make(chan netlink.NeighUpdate, 64)
	go func() {
		defer close(news)
		if err := receive(s, news, done); err != nil {
			select {
			case <-done: // of course it fails now
			default:
				n.logf("linux: neighbours: %v", err)
			}
		}
	}()
	n.forget()
	n.look(s)
	again := time.NewTicker(routesEvery)
	defer again.Stop()
	for {
		select {
		case u, ok := <-news:
			if !ok {
				return errors.New("the subscription ended")
			}
			n.learn(u.Neigh, u.Type == unix.RTM_DELNEIGH)
		case <-n.ask:
			n.look(s)
		case <-again.C:
			if !n.look(s) {
				return nil
			}
		case <-n.ending:
			return nil
		}
	}
}

// receive hands over what a subscription tells, until it ends.
func receive(s *nl.NetlinkSocket, news chan<- netlink.NeighUpdate, done <-chan struct{}) error {
	for {
		msgs, _, err := s.Receive()
		if err != nil {
			return err
		}
		for _, m := range msgs {
			neigh, err := netlink.NeighDeserialize(m.Data)
			if err != nil {
				return err
			}
			select {
			case news <- netlink.NeighUpdate{Type: m.Header.Type, Neigh: *neigh}:
			case <-done:
				return nil
			}
		}
	}
}

// Where a message about a neighbour has its first attribute, which is the address (linux/neighbour.h; net/core/neighbour.c: neigh_fill_info), or the last
// word of it.
const (
	neighAttrType = unix.SizeofNlMsghdr + unix.SizeofNdMsg + 2
	neighIPv4     = unix.SizeofNlMsghdr + unix.SizeofNdMsg + unix.SizeofNlAttr
	neighIPv6     = neighIPv4 + 12
)

// attend lets a subscription tell of these neighbours, and perhaps of a few others: whoever floods a network with ARP changes all entries of the table, many
// thousand times a second.
func attend(s *nl.NetlinkSocket, to []netip.Addr) error {
	const whole = 1 << 30
	isAddr := uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.NDA_DST)))
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: neighAttrType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: isAddr, SkipTrue: 1},
		bpf.RetConstant{Val: whole},
	}
	slices.SortFunc(to, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() }) // what of IPv4 is too short for IPv6 ends the program
	for _, a := range to {
		off, raw := uint32(neighIPv4), a.AsSlice()
		if a.Is6() {
			off = neighIPv6
		}
		program = append(program, bpf.LoadAbsolute{Off: off, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(raw[len(raw)-4:]), SkipFalse: 1}, bpf.RetConstant{Val: whole})
	}
	program = append(program, bpf.RetConstant{Val: 0})
	if len(program) > unix.BPF_MAXINSNS {
		return unix.SetsockoptInt(s.GetFd(), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(s.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// forget makes look read the table again.
func (n *neighbours) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.peers {
		h.via = netip.Addr{}
	}
}

// learn takes what the kernel's table says of a neighbour.
func (n *neighbours) learn(u netlink.Neigh, gone bool) {
	ip, ok := netip.AddrFromSlice(u.IP)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for p, h := range n.peers {
		if p.carpdev == u.LinkIndex && h.via == ip.Unmap() {
			h.set(u, gone)
		}
	}
}

func (h *hop) set(u netlink.Neigh, gone bool) {
	h.state = u.State
	if gone || len(u.HardwareAddr) != len(h.mac) {
		h.state = netlink.NUD_NONE
	}
	if h.state&stateValid != 0 {
		copy(h.mac[:], u.HardwareAddr)
	}
}

// look finds the way to every peer again, lets the kernel resolve who is not known or was not confirmed for long, and reports whether there
// are peers.
func (n *neighbours) look(s *nl.NetlinkSocket) bool {
	changed, known := map[peer]netip.Addr{}, map[peer]bool{}
	var all []netip.Addr
	peers := n.current()
	for _, p := range peers {
		via, may := nextHop(p)
		known[p] = may
		n.mu.Lock()
		if h := n.peers[p]; h.via != via {
			h.via, h.state = via, netlink.NUD_NONE
			changed[p] = via
		}
		n.mu.Unlock()
		if via.IsValid() {
			all = append(all, via)
		}
	}
	if len(changed) > 0 { // before the table is read: what changes afterwards is told
		if err := attend(s, all); err != nil {
			n.logf("linux: neighbours: failed to attach a filter: %v", err)
		}
	}
	for _, p := range peers {
		if via := changed[p]; via.IsValid() {
			n.read(p, via)
		}
		n.mu.Lock()
		h := n.peers[p]
		via, idle := h.via, h.state&^stateIdle == 0
		n.mu.Unlock()
		if !idle || !known[p] {
			continue
		}
		use := &netlink.Neigh{LinkIndex: p.carpdev, Family: familyOf(via), IP: via.AsSlice(), Flags: netlink.NTF_USE}
		if err := netlink.NeighSet(use); err != nil {
			n.logf("linux: neighbours: failed to resolve %s: %v", via, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.peers) > 0
}

// current returns the peers, without those that nobody needs any more.
func (n *neighbours) current() (peers []peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p, h := range n.peers {
		wanted := false
		for _, of := range n.carps {
			wanted = wanted || slices.Contains(of, p)
		}
		if !wanted && time.Since(h.used) > peerLife {
			delete(n.peers, p)
			continue
		}
		peers = append(peers, p)
	}
	return peers
}

// read takes the table's entry of a next hop, which may be there already: news come of changes alone.
func (n *neighbours) read(p peer, via netip.Addr) {
	table, err := gate.Whole(func() ([]netlink.Neigh, error) { return netlink.NeighList(p.carpdev, familyOf(via)) })
	if err != nil {
		n.logf("linux: neighbours: %v", err)
	}
	for _, u := range table {
		if u.IP.Equal(via.AsSlice()) {
			n.learn(u, false)
		}
	}
}

// nextHop returns the neighbour that packets for a peer are given to, and whether the kernel may ask for it: on a carpdev without an address of its own it
// could ask in the name of a shared one, and teach everybody the wrong link-level address.
func nextHop(p peer) (via netip.Addr, may bool) {
	routes, err := netlink.RouteGetWithOptions(p.addr.AsSlice(), &netlink.RouteGetOptions{OifIndex: p.carpdev})
	if err != nil || len(routes) == 0 || routes[0].LinkIndex != p.carpdev {
		return netip.Addr{}, false
	}
	via = p.addr
	if gw, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		via = gw.Unmap()
	}
	if via.Is6() {
		return via, true // it asks in the name of the link-local address
	}
	own, err := addrsOn(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: p.carpdev}}, netlink.FAMILY_V4)
	return via, err == nil && len(own) > 0
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
