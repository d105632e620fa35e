//go:build linux

package linux

import (
	"encoding/binary"
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
	to, report := multicastMAC(wire.GroupIPv4), membershipReport()
	if inet6 {
		to, report = multicastMAC(wire.GroupIPv6), listenerReport()
	}
	var from config.MAC
	copy(from[:], p.members.ifi.HardwareAddr)
	return p.send(frameOf(to, from, report))
}

// The reports come from 0.0.0.0 and ::, as those of a host without an address do (RFC 3376, section 4.2.13; RFC 3590, section 4): whoever sends for
// hundreds of carps each second has no time to look for another.

// membershipReport is the IPv4 packet of an IGMPv2 report for the adverts' group, with the router alert option.
func membershipReport() []byte {
	const header, igmp = 24, 8
	b := make([]byte, header+igmp)
	b[0], b[1] = 0x46, 0xc0 // internetwork control
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = 1, syscall.IPPROTO_IGMP
	group := wire.GroupIPv4.As4()
	copy(b[16:], group[:])
	copy(b[20:], []byte{0x94, 4, 0, 0})
	binary.BigEndian.PutUint16(b[10:], wire.Checksum(b[:header]))
	report := b[header:]
	report[0] = 0x16
	copy(report[4:], group[:])
	binary.BigEndian.PutUint16(report[2:], wire.Checksum(report))
	return b
}

// listenerReport is the IPv6 packet of an MLDv1 report for the adverts' group, with the router alert option.
func listenerReport() []byte {
	const header, options, report = wire.IPv6Header, 8, 24
	b := make([]byte, header+options+report)
	group := wire.GroupIPv6.As16()
	b[0], b[6], b[7] = 0x60, syscall.IPPROTO_HOPOPTS, 1
	binary.BigEndian.PutUint16(b[4:], options+report)
	copy(b[24:], group[:])
	copy(b[header:], []byte{syscall.IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0})
	icmp := b[header+options:]
	icmp[0] = 131
	copy(icmp[8:], group[:])
	pseudo := append(append(make([]byte, 16), group[:]...), 0, 0, 0, report, 0, 0, 0, syscall.IPPROTO_ICMPV6) // RFC 8200, section 8.1
	binary.BigEndian.PutUint16(icmp[2:], wire.Checksum(append(pseudo, icmp...)))
	return b
}
