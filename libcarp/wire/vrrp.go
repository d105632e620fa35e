package wire

// IsVRRP reports whether the payload of a packet of protocol 112 is an advertisement of VRRP, and of which virtual router. It knows version 2
// (RFC 3768, section 5.1) and, over either family, version 3 (RFC 5798, section 5.1); the length has to fit the number of addresses.
// A CARP advert is neither, but one with eight zero bytes behind it looks like VRRPv2 with seven addresses: ask this only of what
// cannot be authenticated.
func IsVRRP(b []byte) (vrid uint8, ok bool) {
	if len(b) < 8 {
		return 0, false
	}
	count := int(b[3])
	switch b[0] {
	case 0x21:
		return b[1], len(b) == 8+4*count+8 && Checksum(b) == 0
	case 0x31: // its checksum covers a pseudo-header, so over the packet alone it is wrong
		return b[1], count > 0 && Checksum(b) != 0 && (len(b) == 8+4*count || len(b) == 8+16*count)
	}
	return 0, false
}
