// Package wire knows the 36 bytes of a CARP advertisement: it parses and marshals them, computes the checksum and the HMAC, and
// seals the counter. It knows nothing of states and time, and imports nothing of ours.
//
// The format is OpenBSD's (netinet/ip_carp.h, struct carp_header):
//
//	 0       1       2       3       4       5       6       8          16            36
//	+-------+-------+-------+-------+-------+-------+-------+----------+-------------+
//	| 2 | 1 | vhid  |advskew|authlen|demote |advbase| cksum | counter  | HMAC-SHA1   |
//	+-------+-------+-------+-------+-------+-------+-------+----------+-------------+
package wire

import (
	"encoding/binary"
	"errors"
)

// Constants of the protocol.
const (
	Size     = 36  // bytes of an advertisement
	Protocol = 112 // IP protocol number, VRRP's too
	Version  = 2
	Type     = 1   // advertisement, the only one
	Authlen  = 7   // 32-bit words of counter and HMAC; nobody checks it
	TTL      = 255 // of IPv4; the hop limit of IPv6
	BowOut   = 255 // advbase and advskew of a master that gives up
)

// Why an advertisement cannot be parsed.
var (
	ErrShort    = errors.New("shorter than 36 bytes")
	ErrChecksum = errors.New("wrong checksum")
)

// An Advert is a parsed advertisement.
type Advert struct {
	Version uint8 // 4 bits
	Type    uint8 // 4 bits; not checked by any system
	VHID    uint8
	Advskew uint8 // 1/256 s; 255 in a bow-out
	Authlen uint8 // 32-bit words that follow the checksum; not checked
	Demote  uint8 // the sender's demotion
	Advbase uint8 // seconds; 255 in a bow-out
	Counter uint64
	HMAC    [20]byte // over what an Identity holds and the counter, not over this header
}

// IsBowOut reports whether the sender gives up being master.
func (a *Advert) IsBowOut() bool { return a.Advbase == BowOut && a.Advskew == BowOut }

// Parse reads the first 36 bytes of b; what trails is ignored, as on OpenBSD. Version and HMAC are for the caller to judge, since
// they are judged after the vhid (ip_carp.c: carp_proto_input_c). The error is [ErrShort] or [ErrChecksum].
func Parse(b []byte) (Advert, error) {
	if len(b) < Size {
		return Advert{}, ErrShort
	}
	b = b[:Size]
	if Checksum(b) != 0 {
		return Advert{}, ErrChecksum
	}
	a := Advert{
		Version: b[0] >> 4, Type: b[0] & 15, VHID: b[1], Advskew: b[2], Authlen: b[3], Demote: b[4], Advbase: b[5],
		Counter: binary.BigEndian.Uint64(b[8:]),
	}
	copy(a.HMAC[:], b[16:])
	return a, nil
}

// Marshal writes the advertisement into the first 36 bytes of b, with its checksum. It panics when b is shorter.
func (a *Advert) Marshal(b []byte) {
	b = b[:Size]
	b[0], b[1], b[2], b[3], b[4], b[5] = a.Version<<4|a.Type&15, a.VHID, a.Advskew, a.Authlen, a.Demote, a.Advbase
	b[6], b[7] = 0, 0
	binary.BigEndian.PutUint64(b[8:], a.Counter)
	copy(b[16:], a.HMAC[:])
	binary.BigEndian.PutUint16(b[6:], Checksum(b))
}

// Checksum is the Internet checksum (RFC 1071) of b. Over data that holds its own checksum it is 0.
func Checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
