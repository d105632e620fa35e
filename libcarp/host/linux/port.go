//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/wire"
)

// A port is where adverts enter and leave a carpdev: one packet socket, however many carps are on it.
type port struct {
	conn *packet.Conn
	raw  syscall.RawConn
	done chan struct{}

	carpdev int
	deliver func(host.Packet)
	reading sync.Mutex
	buf     [2048]byte // of whoever is reading

	join net.PacketConn // holds the membership of 224.0.0.18: a switch that snoops wants to hear IGMP
}

// openPort listens on a carpdev. The socket takes all protocols, since only then it sees frames before macvlan does, which keeps those from our own
// virtual MAC to itself; the filter leaves adverts alone. It reads in a goroutine until it is closed.
func openPort(carpdev int, deliver func(host.Packet), work *sync.WaitGroup) (*port, error) {
	ifi, err := net.InterfaceByIndex(carpdev)
	if err != nil {
		return nil, err
	}
	filter, err := bpf.Assemble(adverts)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("failed to listen on %s: %w", ifi.Name, err)
	}
	p := &port{conn: conn, done: make(chan struct{}), carpdev: carpdev, deliver: deliver}
	if p.raw, err = conn.SyscallConn(); err == nil {
		// The filter refuses our own frames too; this spares the kernel the trouble (Linux 4.20).
		p.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) })
		p.join, err = join(ifi)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("failed to listen on %s: %w", ifi.Name, err)
	}
	work.Add(1)
	go func() {
		defer work.Done()
		p.read()
	}()
	return p, nil
}

// join becomes a member of the group, on an ordinary socket: a packet socket's membership makes the card listen but sends no report.
func join(ifi *net.Interface) (net.PacketConn, error) {
	group := &net.UDPAddr{IP: wire.GroupIPv4.AsSlice()}
	c, err := net.ListenPacket("udp4", group.IP.String()+":0")
	if err != nil {
		return nil, err
	}
	if err := ipv4.NewPacketConn(c).JoinGroup(ifi, group); err != nil {
		c.Close()
		return nil, fmt.Errorf("failed to join %s: %w", group.IP, err)
	}
	return c, nil
}

func (p *port) close() {
	close(p.done)
	p.conn.Close()
	p.join.Close()
}

// read delivers what comes in. A carpdev that goes down makes reading fail once, one that is gone each time.
func (p *port) read() {
	for {
		var failed error
		err := p.raw.Read(func(fd uintptr) bool {
			failed = p.take(int(fd))
			return failed != unix.EAGAIN
		})
		if err == nil && failed == nil {
			continue
		}
		select {
		case <-p.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// take delivers one packet, or returns EAGAIN when there is none. Whoever has the lock knows that none is between the socket and deliver.
func (p *port) take(fd int) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	n, _, err := unix.Recvfrom(fd, p.buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return err
	}
	if pkt, ok := parseFrame(p.buf[:n]); ok {
		pkt.Carpdev = p.carpdev
		pkt.Payload = append([]byte(nil), pkt.Payload...)
		p.deliver(pkt)
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
		p.raw.Control(func(fd uintptr) {
			for n := 0; n < drainMax && p.take(int(fd)) == nil; n++ {
			}
		})
	}
}

// send puts a frame on the wire, or fails at once.
func (p *port) send(frame []byte) error {
	var sent error
	err := p.raw.Write(func(fd uintptr) bool {
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
	to := multicastMAC(a.Dst)
	frame := make([]byte, 0, 14+len(a.Packet))
	frame = append(frame, to[:]...)
	frame = append(frame, a.From[:]...)
	frame = append(frame, unix.ETH_P_IP>>8, unix.ETH_P_IP&0xff)
	return p.send(append(frame, a.Packet...))
}

// multicastMAC maps an IPv4 group to its Ethernet address (RFC 1112, section 6.4).
func multicastMAC(group netip.Addr) config.MAC {
	g := group.As4()
	return config.MAC{1, 0, 0x5e, g[1] & 0x7f, g[2], g[3]}
}

// quietSocket is a raw socket for adverts that takes none. While it is open the kernel does not answer them with "protocol unreachable".
func quietSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, wire.Protocol)
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

func closeFd(fd int) { unix.Close(fd) }
