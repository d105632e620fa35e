package ifconfig

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// parseAddr reads an IPv4 address as inet_aton(3) does (OpenBSD, lib/libc/net/inet_addr.c): one to four numbers, of which the
// last fills the bytes that are left; each decimal, octal after 0 or hexadecimal after 0x; what follows a blank is ignored.
// A number beyond 32 bits wraps around, and 08 is eight, as there.
func parseAddr(s string) (netip.Addr, bool) {
	var parts []uint32
	for {
		var n uint32
		var ok bool
		if n, s, ok = parsePart(s); !ok {
			return netip.Addr{}, false
		}
		parts = append(parts, n)
		if !strings.HasPrefix(s, ".") || len(parts) == 4 {
			break
		}
		s = s[1:]
	}
	if s != "" && !strings.ContainsRune(" \t\n\v\f\r", rune(s[0])) {
		return netip.Addr{}, false
	}
	last := len(parts) - 1
	if last > 0 && parts[last]>>(32-8*last) != 0 {
		return netip.Addr{}, false
	}
	addr := parts[last]
	for i, n := range parts[:last] {
		if n > 255 {
			return netip.Addr{}, false
		}
		addr |= n << (24 - 8*i)
	}
	return addrOf(addr), true
}

// parsePart reads one number of an address and returns what follows it.
func parsePart(s string) (n uint32, rest string, ok bool) {
	if s == "" || !isDigit(s[0]) {
		return 0, s, false
	}
	base := uint32(10)
	switch {
	case len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		base, s = 16, s[2:]
	case s[0] == '0':
		base = 8
	}
	for ; s != ""; s = s[1:] {
		d, isDigit := digit(s[0])
		if !isDigit || d > 9 && base != 16 {
			break
		}
		n = n*base + d
	}
	return n, s, true
}

// parseNet reads address/length as inet_net_pton(3) does, which is the only reader of a length: the bytes are decimal, those
// that are left out are zero, bits of the host are kept; or 0x and two hexadecimal digits for each byte.
func parseNet(s string) (netip.Addr, int, bool) {
	given, width, ok := strings.Cut(s, "/")
	length, good := decimal(width, 32)
	if !ok || !good {
		return netip.Addr{}, 0, false
	}
	var b [4]byte
	if hex, ok := strings.CutPrefix(strings.ToLower(given), "0x"); ok {
		if len(hex) < 2 || len(hex) > 8 {
			return netip.Addr{}, 0, false
		}
		for i := range []byte(hex) {
			d, ok := digit(hex[i])
			if !ok {
				return netip.Addr{}, 0, false
			}
			b[i/2] |= byte(d << (4 * (1 - i%2)))
		}
		return netip.AddrFrom4(b), length, true
	}
	parts := strings.Split(given, ".")
	if len(parts) > 4 {
		return netip.Addr{}, 0, false
	}
	for i, part := range parts {
		n, ok := decimal(part, 255)
		if !ok {
			return netip.Addr{}, 0, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), length, true
}

// decimal reads digits alone; a leading zero means nothing.
func decimal(s string, most int) (n int, ok bool) {
	for _, c := range []byte(s) {
		if !isDigit(c) {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > most {
			return 0, false
		}
	}
	return n, s != ""
}

// digit returns the value of a hexadecimal digit.
func digit(c byte) (d uint32, ok bool) {
	switch {
	case isDigit(c):
		return uint32(c - '0'), true
	case 'a' <= c && c <= 'f':
		return uint32(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return uint32(c-'A') + 10, true
	}
	return 0, false
}

// classMask returns the mask that an address has by its class, which it gets when none is given (in.c: in_ifinit).
func classMask(a netip.Addr) uint32 {
	switch first := a.As4()[0]; {
	case first < 128:
		return 0xff000000
	case first < 192:
		return 0xffff0000
	}
	return 0xffffff00
}

func addrOf(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func bitsOf(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
