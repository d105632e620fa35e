//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

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
	ears    map[string]*listener // by carp: on a carpdev that is a macvlan itself, the carps' links
}

// openPort listens on a carpdev.
func openPort(carpdev int, deliver func(host.Packet), work *sync.WaitGroup) (*port, error) {
	ifi, err := net.InterfaceByIndex(carpdev)
	if err != nil {
		return nil, err
	}
	l, err := listen(ifi, filter(isAdvert), carpdev, deliver, work)
	if err != nil {
		return nil, err
	}
	return &port{listener: l, members: newMembers(ifi), ears: map[string]*listener{}}, nil
}

// hear listens on the link of a carp too. Its carpdev is a macvlan, so that both are on one interface below, which gives frames from the virtual MAC to
// the carp's link alone while that is up: those of a second master.
func (p *port) hear(c host.Carp, index int, deliver func(host.Packet), work *sync.WaitGroup) error {
	if ear := p.ears[c.Name]; ear != nil {
		if ear.index == index {
			return nil
		}
		ear.close() // of a link that was made again
		delete(p.ears, c.Name)
	}
	ear, err := listen(&net.Interface{Index: index, Name: c.Name}, filter(isFrom(c.MAC), isAdvert), c.Carpdev, deliver, work)
	if err == nil {
		p.ears[c.Name] = ear
	}
	return err
}

// ignore ends hear.
func (p *port) ignore(carp string) {
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
	p.members.close()
}

// A listener is a packet socket on an interface.
type listener struct {
	index int
	conn  *packet.Conn
	raw   syscall.RawConn
	done  chan struct{}
}

// listen delivers what passes the filter, as from the carpdev. The socket takes all protocols, since only then it sees frames before macvlan does, which
// keeps those from our own virtual MAC to itself; the filter leaves adverts alone. It reads in a goroutine until it is closed.
func listen(ifi *net.Interface, filter []bpf.Instruction, carpdev int, deliver func(host.Packet), work *sync.WaitGroup) (*listener, error) {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: program})
	if err != nil {
		return nil, fmt.Errorf("failed to listen on %s: %w", ifi.Name, err)
	}
	l := &listener{index: ifi.Index, conn: conn, done: make(chan struct{})}
	if l.raw, err = conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("failed to listen on %s: %w", ifi.Name, err)
	}
	// The filter refuses our own frames too; this spares the kernel the trouble (Linux 4.20).
	l.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) })
	work.Add(1)
	go func() {
		defer work.Done()
		l.read(carpdev, deliver)
	}()
	return l, nil
}

func (l *listener) close() {
	close(l.done)
	l.conn.Close()
}

// read delivers what comes in. An interface that goes down makes reading fail once, one that is gone each time.
func (l *listener) read(carpdev int, deliver func(host.Packet)) {
	buf := make([]byte, 2048)
	for {
		n, _, err := l.conn.ReadFrom(buf)
		if err != nil {
			select {
			case <-l.done:
				return
			case <-time.After(10 * time.Millisecond):
				continue
			}
		}
		if pkt, ok := parseFrame(buf[:n]); ok {
			pkt.Carpdev = carpdev
			pkt.Payload = append([]byte(nil), pkt.Payload...)
			deliver(pkt)
		}
	}
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
	to := multicastMAC(a.Dst)
	if !a.Dst.IsMulticast() {
		var known bool
		if to, known = h.neighbours.mac(a.Carpdev, a.Dst); !known {
			return syscall.EHOSTDOWN
		}
	}
	return p.send(frameOf(to, a.From, a.Packet))
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
		return -1, fmt.Errorf("failed to open a raw socket: %w", err)
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
