package wire

import (
	"encoding/binary"
	"net/netip"
)

// The envelope of an advert (ip_carp.c: carp_send_ad).
const (
	IPv4Header = 20
	IPv6Header = 40
	tosLow     = 0x10   // low delay
	dontFrag   = 0x4000 // DF
)

// Where adverts go unless there is a carppeer.
var (
	GroupIPv4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	GroupIPv6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 0x12})
)

// MarshalIPv4 writes the IPv4 header for an advert into the first 20 bytes of b, checksum included: Linux fills in that of
// raw IP sockets, not of packet sockets. The addresses are of IPv4, id is the packet's identification.
func MarshalIPv4(b []byte, id uint16, src, dst netip.Addr) {
	b = b[:IPv4Header]
	clear(b)
	b[0], b[1] = 0x45, tosLow
	binary.BigEndian.PutUint16(b[2:], IPv4Header+Size)
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], dontFrag)
	b[8], b[9] = TTL, Protocol
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], Checksum(b))
}

// MarshalIPv6 writes the IPv6 header for an advert into the first 40 bytes of b: traffic class and flow label 0. The addresses
// are of IPv6.
func MarshalIPv6(b []byte, src, dst netip.Addr) {
	b = b[:IPv6Header]
	clear(b)
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], Size)
	b[6], b[7] = Protocol, TTL
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
}
