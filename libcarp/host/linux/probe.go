//go:build linux

package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"carp/libcarp/wire"
)

// Probe repeats the report that this host is a member of the adverts' group (RFC 2236, section 2): it takes an advert's way out, and means nothing
// to anybody who knows already.
func (h *Host) Probe(carpdev int) error {
	h.mu.RLock()
	p := h.ports[carpdev]
	h.mu.RUnlock()
	if p == nil {
		return syscall.ENXIO
	}
	ifi, err := net.InterfaceByIndex(carpdev)
	if err != nil {
		return err
	}
	src := netip.IPv4Unspecified()
	addrs, err := ifi.Addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			src = netip.AddrFrom4([4]byte(n.IP.To4()))
			break
		}
	}
	to := multicastMAC(wire.GroupIPv4)
	frame := append(append(to[:], ifi.HardwareAddr...), 0x08, 0x00)
	return p.send(append(frame, membershipReport(src)...))
}

// membershipReport is the IPv4 packet of an IGMPv2 report for the adverts' group, with the router alert option.
func membershipReport(src netip.Addr) []byte {
	const header, igmp = 24, 8
	b := make([]byte, header+igmp)
	b[0], b[1] = 0x46, 0xc0 // internetwork control
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = 1, syscall.IPPROTO_IGMP
	from, group := src.As4(), wire.GroupIPv4.As4()
	copy(b[12:], from[:])
	copy(b[16:], group[:])
	copy(b[20:], []byte{0x94, 4, 0, 0})
	binary.BigEndian.PutUint16(b[10:], wire.Checksum(b[:header]))
	report := b[header:]
	report[0] = 0x16
	copy(report[4:], group[:])
	binary.BigEndian.PutUint16(report[2:], wire.Checksum(report))
	return b
}
