package ifconfig

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strings"

	"carp/libcarp/config"
)

// parseAddr6 reads an IPv6 address as getaddrinfo(3) does (OpenBSD, asr_utils.c: _asr_sockaddr_from_str). A zone is the name of an
// interface, if the address has the scope of a link, or a number; it stays in the address. 0 is none.
func (p *parser) parseAddr6(word string) (netip.Addr, bool) {
	text, zone, hasZone := strings.Cut(word, "%")
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() {
		return netip.Addr{}, false
	}
	if !hasZone {
		return addr, true
	}
	onLink := addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast() || addr.IsInterfaceLocalMulticast()
	if onLink && (p.isOwn(zone) || p.names.Index(zone) != 0) {
		return addr.WithZone(zone), true
	}
	n, reason := config.ParseNumber(zone, 0, math.MaxUint32)
	switch {
	case reason != "":
		return netip.Addr{}, false
	case n == 0:
		return addr, true
	}
	return addr.WithZone(fmt.Sprint(n)), true
}

// unscope takes the zone off an address. A link-local address with another zone than the interface or its carpdev is none of
// the interface's (in6.c: in6_check_embed_scope). OpenBSD does not take the carpdev for it.
func (p *parser) unscope(addr netip.Addr) (plain netip.Addr, ok bool) {
	zone := addr.Zone()
	return addr.WithZone(""), zone == "" || !addr.IsLinkLocalUnicast() || p.isOwn(zone)
}

// isOwn reports whether a zone, by its name or its number, is the interface or its carpdev.
func (p *parser) isOwn(zone string) bool {
	if zone == p.name {
		return true
	}
	if p.own != nil {
		n, reason := config.ParseNumber(zone, 1, math.MaxUint32)
		return reason == "" && int(n) == p.names.Index(p.name)
	}
	carpdev := p.carpdevName()
	if zone == carpdev && carpdev != "" {
		return true
	}
	n, reason := config.ParseNumber(zone, 1, math.MaxUint32)
	return reason == "" && (int(n) == p.names.Index(p.name) || int(n) == p.names.Index(carpdev))
}

// carpdevName returns the carpdev that the line names, or else the one that the interface has.
func (p *parser) carpdevName() string {
	for n := len(p.steps) - 1; n >= 0; n-- {
		if p.steps[n].Word == config.Carpdev {
			return p.steps[n].Text
		}
	}
	s, _, err := p.carp.Interface(p.name)
	if err != nil {
		return ""
	}
	return s.Carpdev
}

// cutLength takes the length off address/length, or name/length.
func (p *parser) cutLength(word string) (string, error) {
	word, length, ok := strings.Cut(word, "/")
	if !ok {
		return word, nil
	}
	return word, p.prefixlen("", length)
}

// maskLength6 returns the length of a mask that is written as an address. One with holes, or of no bits, is none.
func maskLength6(mask netip.Addr) (length int, ok bool) {
	ended := false
	for _, b := range mask.As16() {
		ones := bits.LeadingZeros8(^b)
		if b<<ones != 0 || ended && b != 0 {
			return 0, false
		}
		length, ended = length+ones, ended || ones < 8
	}
	return length, length > 0
}

// flag6 is anycast and tentative. A shared address can be neither, so the kernel's answer is that it does not take them. For IPv4, and without
// an address, they say nothing, and -anycast and -tentative take back what a word before them said (ifconfig.c: setia6flags).
func (p *parser) flag6(word, _ string) error {
	name, off := strings.CutPrefix(word, "-")
	p.addr.refuse(name, p.inet6 && !off)
	return nil
}

// lifetime is pltime and vltime, in seconds. A shared address does not end by itself (ifconfig.c: setia6lifetime).
func (p *parser) lifetime(word, arg string) error {
	n, reason := config.ParseNumber(arg, 0, 1000000)
	if reason != "" {
		return fmt.Errorf("invalid %s %s: %s", word, arg, reason)
	}
	if !p.inet6 {
		return notAllowed(word)
	}
	p.addr.refuse(word, p.own == nil)
	p.addr.lifetime[word] = uint32(n)
	return nil
}

// autoconf is autoconf and temporary: addresses that a router or a server would choose. There are none on a carp, which a kernel would tell
// with a warning (ifconfig.c: setautoconf, settemporary).
func (p *parser) autoconf(word, _ string) error {
	name, off := strings.CutPrefix(word, "-")
	if name == "temporary" && !p.inet6 {
		return notAllowed(name)
	}
	if !off {
		p.note(fmt.Sprintf("%s: SIOCSIFXFLAGS: %v", p.name, config.EOPNOTSUPP))
	}
	return nil
}

func notAllowed(word string) error {
	return fmt.Errorf("%s not allowed for this address family", word)
}

// eui64 makes the lower half of the address that stands before it that of the link-local address (ifconfig.c: setia6eui64).
func (p *parser) eui64(word, _ string) error {
	if !p.inet6 {
		return notAllowed(word)
	}
	mac, err := p.lladdrThen(), error(nil)
	if p.own != nil {
		mac, err = p.linkLocalMAC()
	}
	if !p.addr.addr.IsValid() {
		return nil // an address that follows is taken as it is
	}
	if b := p.addr.addr.As16(); [8]byte(b[8:]) != [8]byte{} {
		return errors.New("interface index is already filled")
	}
	if mac == (config.MAC{}) || err != nil {
		return errors.New("could not determine link local address")
	}
	p.addr.addr = withEUI64(p.addr.addr, mac)
	return nil
}

// lladdrThen returns the link-level address that the interface has after the words so far.
func (p *parser) lladdrThen() config.MAC {
	mac, vhid := config.MAC{}, 0
	if s, _, err := p.carp.Interface(p.name); err == nil {
		mac, vhid = s.Lladdr, s.Nodes[0].VHID
		if mac == config.VirtualMAC(uint8(vhid)) {
			mac = config.MAC{}
		}
	}
	for _, s := range p.steps {
		switch s.Word {
		case config.VHID:
			vhid = s.N
		case config.Lladdr:
			mac = s.MAC
		}
	}
	if mac == (config.MAC{}) && vhid != 0 {
		mac = config.VirtualMAC(uint8(vhid))
	}
	return mac
}

// withEUI64 puts the interface identifier of a link-level address into the lower half of an address (RFC 4291, appendix A).
func withEUI64(addr netip.Addr, mac config.MAC) netip.Addr {
	b := addr.As16()
	copy(b[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(b).WithZone(addr.Zone())
}
