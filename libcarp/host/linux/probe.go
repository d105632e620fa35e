//go:build linux

package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// Probe repeats the report that this host is a member of the adverts' group (RFC 2236, section 2; RFC 2710, section 3): it takes an advert's
// way out, and means nothing to anybody who knows already.
func (h *Host) Probe(carpdev int, inet6 bool) error {
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
	addrs, err := ifi.Addrs()
	if err != nil {
		return err
	}
	src := netip.IPv4Unspecified()
	if inet6 {
		src = netip.IPv6Unspecified()
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ip.Is6() == inet6 && (!inet6 || ip.IsLinkLocalUnicast()) {
			src = ip
			break
		}
	}
	to, ethertype, report := multicastMAC(wire.GroupIPv4), [2]byte{0x08, 0x00}, membershipReport
	if inet6 {
		to, ethertype, report = config.MAC{0x33, 0x33, 0, 0, 0, 0x12}, [2]byte{0x86, 0xdd}, listenerReport
	}
	frame := append(append(to[:], ifi.HardwareAddr...), ethertype[:]...)
	return p.send(append(frame, report(src)...))
}

// listenerReport is the IPv6 packet of an MLDv1 report for the adverts' group, with the router alert option.
func listenerReport(src netip.Addr) []byte {
	const header, options, report = 40, 8, 24
	b := make([]byte, header+options+report)
	from, group := src.As16(), wire.GroupIPv6.As16()
	// The pseudo-header first (RFC 8200, section 8.1), for the checksum.
	icmp := b[header+options:]
	icmp[0] = 131
	copy(icmp[8:], group[:])
	pseudo := append(append(append([]byte{}, from[:]...), group[:]...), 0, 0, 0, report, 0, 0, 0, syscall.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(icmp[2:], wire.Checksum(append(pseudo, icmp...)))

	b[0], b[6], b[7] = 0x60, syscall.IPPROTO_HOPOPTS, 1
	binary.BigEndian.PutUint16(b[4:], options+report)
	copy(b[8:], from[:])
	copy(b[24:], group[:])
	copy(b[header:], []byte{syscall.IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0})
	return b
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
