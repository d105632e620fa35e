//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"carp/libcarp/host"
	"carp/libcarp/wire"
)

// A port is where adverts enter and leave a carpdev: one packet socket, however many carps are on it.
type port struct {
	*listener
	members *members

	mu   sync.Mutex           // of what follows: Drain asks from any goroutine
	ears map[string]*listener // by carp: on a carpdev that is a macvlan itself, the carps' links

	stranger  *stranger // nil: adverts of foreign vhids reach us
	estranged bool      // that was tried

	duplicates *duplicates // nil: nobody tells of them
	deaf       bool        // since that has failed
}

// openPort listens on a carpdev.
func openPort(carpdev int, deliver func(host.Packet), work *sync.WaitGroup) (*port, error) {
	ifi, err := net.InterfaceByIndex(carpdev)
	if err != nil {
		return nil, err
	}
	l, err := listen(ifi, unix.ETH_P_ALL, filter(isAdvert), carpdev, parseFrame, deliver, work)
	if err != nil {
		return nil, err
	}
	return &port{listener: l, members: newMembers(ifi), ears: map[string]*listener{}}, nil
}

// hear listens on the link of a carp too. Its carpdev is a macvlan, so that both are on one interface below, which gives frames from the virtual MAC to
// the carp's link alone while that is up: those of a second master.
func (p *port) hear(c host.Carp, index int, deliver func(host.Packet), work *sync.WaitGroup) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ear := p.ears[c.Name]; ear != nil {
		if ear.index == index {
			return nil
		}
		ear.close() // of a link that was made again
		delete(p.ears, c.Name)
	}
	link := &net.Interface{Index: index, Name: c.Name}
	ear, err := listen(link, unix.ETH_P_ALL, filter(isFrom(linkMAC(c)), isAdvert), c.Carpdev, parseFrame, deliver, work)
	if err == nil {
		p.ears[c.Name] = ear
	}
	return err
}

// ignore ends hear.
func (p *port) ignore(carp string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ear := p.ears[carp]; ear != nil {
		ear.close()
		delete(p.ears, carp)
	}
}

func (p *port) close() {
	for carp := range p.ears {
		p.ignore(carp)
	}
	p.listener.close()
	if p.stranger != nil {
		p.stranger.close()
	}
	if p.duplicates != nil {
		p.duplicates.close()
	}
	p.members.close()
}

// A listener is a packet socket on an interface.
type listener struct {
	index int
	conn  *packet.Conn
	raw   syscall.RawConn
	done  chan struct{}

	carpdev int
	parse   func(frame []byte) (host.Packet, bool)
	deliver func(host.Packet)
	reading sync.Mutex
	buf     [2048]byte // of whoever is reading
}

// listen delivers what passes the filter and can be parsed, as from the carpdev. A socket for adverts takes all protocols, since only then it sees
// frames before macvlan does, which keeps those from our own virtual MAC to itself; the filter leaves adverts alone. It reads in a goroutine until it is
// closed.
func listen(ifi *net.Interface, protocol int, filter []bpf.Instruction, carpdev int, parse func([]byte) (host.Packet, bool),
	deliver func(host.Packet), work *sync.WaitGroup) (*listener, error) {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: program})
	if err != nil {
		return nil, fmt.Errorf("failed to listen on %s: %w", ifi.Name, err)
	}
	l := &listener{index: ifi.Index, conn: conn, done: make(chan struct{}), carpdev: carpdev, parse: parse, deliver: deliver}
	if l.raw, err = conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("failed to listen on %s: %w", ifi.Name, err)
	}
	// The filter refuses our own frames too; this spares the kernel the trouble (Linux 4.20).
	l.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) })
	work.Add(1)
	go func() {
		defer work.Done()
		l.read()
	}()
	return l, nil
}

func (l *listener) close() {
	close(l.done)
	l.conn.Close()
}

// read delivers what comes in. An interface that goes down makes reading fail once, one that is gone each time.
func (l *listener) read() {
	for {
		var failed error
		err := l.raw.Read(func(fd uintptr) bool {
			failed = l.take(int(fd))
			return failed != unix.EAGAIN
		})
		if err == nil && failed == nil {
			continue
		}
		select {
		case <-l.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// take delivers one packet, or returns EAGAIN when there is none. Whoever has the lock knows that none is between the socket and deliver.
func (l *listener) take(fd int) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	n, _, err := unix.Recvfrom(fd, l.buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return err
	}
	if pkt, ok := l.parse(l.buf[:n]); ok {
		pkt.Carpdev = l.carpdev
		pkt.Payload = append([]byte(nil), pkt.Payload...)
		l.deliver(pkt)
	}
	return nil
}

// drainMax is how many packets one call takes at most: on a link that is flooded there is always one more.
const drainMax = 1024

// Drain delivers what the ports have received.
func (h *Host) Drain() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, p := range h.ports {
		p.drain()
	}
}

func (p *port) drain() {
	p.listener.drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ear := range p.ears {
		ear.drain()
	}
}

func (l *listener) drain() {
	l.raw.Control(func(fd uintptr) {
		for n := 0; n < drainMax && l.take(int(fd)) == nil; n++ {
		}
	})
}

// attach makes the program the socket's filter.
func (l *listener) attach(program *ebpf.Program) error {
	var attached error
	err := l.raw.Control(func(fd uintptr) {
		attached = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program.FD())
	})
	return errors.Join(err, attached)
}

// send puts a frame on the wire, or fails at once.
func (l *listener) send(frame []byte) error {
	var sent error
	err := l.raw.Write(func(fd uintptr) bool {
		_, sent = unix.SendmsgN(int(fd), frame, nil, nil, unix.MSG_DONTWAIT)
		return true
	})
	return errors.Join(err, sent)
}

// Send puts an advert on the wire.
func (h *Host) Send(a host.Advert) error {
	h.mu.RLock()
	p := h.ports[a.Carpdev]
	h.mu.RUnlock()
	if p == nil {
		return syscall.ENXIO
	}
	if len(a.Packet) == 0 {
		return syscall.EINVAL
	}
	frame := h.Frame(a)
	if frame == nil {
		return syscall.EHOSTDOWN
	}
	return p.send(frame)
}

// Frame returns the frame of an advert, nil where nobody knows to whom it goes.
func (h *Host) Frame(a host.Advert) []byte {
	to := multicastMAC(a.Dst)
	if !a.Dst.IsMulticast() {
		var known bool
		if to, known = h.neighbours.mac(a.Carpdev, a.Dst); !known {
			return nil
		}
	}
	return frameOf(to, a.From, a.Packet)
}

// quietSockets are raw sockets for adverts that take none. While they are open the kernel does not answer adverts to its own addresses with "protocol
// unreachable", or over IPv6 with "unrecognized next header".
func quietSockets() (fds []int, err error) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := quietSocket(family)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue // a kernel without IPv6
		}
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func quietSocket(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, wire.Protocol)
	if err != nil {
		return -1, fmt.Errorf("failed to open a raw socket (it takes CAP_NET_RAW): %w", err)
	}
	none := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &none); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("failed to attach a filter: %w", err)
	}
	return fd, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
