package wire

import (
	"encoding/binary"
	"net/netip"
)

// The envelope of an advert over IPv4 (spec E.1).
const (
	IPv4Header = 20
	tosLow     = 0x10   // low delay
	dontFrag   = 0x4000 // DF
)

// GroupIPv4 is where adverts go unless there is a carppeer.
var GroupIPv4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})

// MarshalIPv4 writes the IPv4 header for an advert into the first 20 bytes of b, checksum included: Linux fills in that of
// raw IP sockets, not of packet sockets.
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
