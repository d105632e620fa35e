//go:build linux

package linux

import (
	"encoding/binary"
	"syscall"

	"carp/libcarp/config"
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
	var from config.MAC
	copy(from[:], p.members.ifi.HardwareAddr)
	return p.send(frameOf(multicastMAC(wire.GroupIPv4), from, membershipReport()))
}

// membershipReport is the IPv4 packet of an IGMPv2 report for the adverts' group, with the router alert option. Its source is 0.0.0.0, as that of
// a host without an address (RFC 4541, section 2.1.1): whoever sends each second cannot look for another.
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
