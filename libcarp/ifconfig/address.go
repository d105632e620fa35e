package ifconfig

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"carp/libcarp/config"
)

// addresses is what the words have said so far of the address to be added or removed. Nothing is done about it before the
// last word was read (ifconfig.c: setifaddr, notealias and the end of main).
type addresses struct {
	words  int        // how many addresses were given
	alias  int        // 1 after alias, -1 after -alias and delete, 0 before either
	add    bool       // addr
	remove bool       // victim or, if there is none, the first of the family
	addr   netip.Addr // inet
	victim netip.Addr // inet
	mask   uint32     // of addr; 0: none given
}

// address is a word that is no keyword: the address, then a second one, which on a carp means nothing, and no third.
func (p *parser) address(word string) error {
	if p.addr.words == 2 {
		return badValue(word)
	}
	if p.inet6 {
		return noInet6(p.name)
	}
	p.addr.words++
	if p.addr.words == 2 {
		_, err := p.resolve(word)
		return err
	}
	if p.addr.alias < 0 {
		addr, err := p.resolve(word)
		p.addr.victim = addr
		return err
	}
	p.addr.add = true
	p.addr.remove = p.addr.alias == 0
	if addr, length, ok := parseNet(word); ok {
		p.addr.addr, p.addr.mask = addr, maskOf(length)
		return nil
	}
	addr, err := p.resolve(word)
	p.addr.addr = addr
	return err
}

// alias is alias, -alias and delete. The last of them on the line counts, but what an earlier one has taken back stays so.
func (p *parser) alias(word, _ string) error {
	a := &p.addr
	if word == "alias" {
		a.alias, a.remove = 1, false
		return nil
	}
	if a.words > 0 && a.alias == 0 {
		a.victim = a.addr
	}
	a.alias, a.add, a.remove = -1, false, true
	return nil
}

func (p *parser) netmask(_, arg string) error {
	if p.inet6 {
		return noInet6(p.name)
	}
	addr, err := p.resolve(arg)
	if err != nil {
		return err
	}
	m := bitsOf(addr)
	if m&(^m>>1) != 0 {
		return fmt.Errorf("%s: non-contiguous mask", arg)
	}
	p.addr.mask = m
	return nil
}

func (p *parser) prefixlen(_, arg string) error {
	longest := int64(32)
	if p.inet6 {
		longest = 128
	}
	length, reason := config.ParseNumber(arg, 0, longest)
	if reason != "" {
		return &config.NumberError{What: "prefix", Given: arg, Reason: reason}
	}
	if !p.inet6 {
		p.addr.mask = maskOf(int(length))
	}
	return nil
}

// broadcast must be an address, but does not count: the kernel computes it from the mask (in.c: in_ifinit).
func (p *parser) broadcast(_, arg string) error {
	if p.inet6 {
		return noInet6(p.name)
	}
	_, err := p.resolve(arg)
	return err
}

// steps returns what is to be done at the end of the line.
func (a *addresses) steps(family string) (cs []config.Clause) {
	switch {
	case a.remove && a.alias < 0 && a.victim.IsValid():
		cs = append(cs, config.Clause{Word: config.DelAddr, Addr: netip.PrefixFrom(a.victim, 32)})
	case a.remove && a.alias < 0:
		cs = append(cs, config.Clause{Word: config.DelFirst, Text: family})
	case a.remove:
		cs = append(cs, config.Clause{Word: config.DropFirst, Text: family})
	}
	if a.add {
		mask := a.mask
		if mask == 0 {
			mask = classMask(a.addr)
		}
		cs = append(cs, config.Clause{Word: config.AddAddr, Addr: netip.PrefixFrom(a.addr, bits.OnesCount32(mask))})
	}
	return cs
}

// resolve reads an address in any of inet_aton(3)'s forms, or the name of a host.
func (p *parser) resolve(word string) (netip.Addr, error) {
	if addr, ok := parseAddr(word); ok {
		return addr, nil
	}
	if canBeHost(word) {
		if addr, err := p.lookup(word); err == nil && addr.Unmap().Is4() {
			return addr.Unmap(), nil
		}
	}
	return netip.Addr{}, badValue(word)
}

func badValue(word string) error { return fmt.Errorf("%s: bad value", word) }

// notHosts are keywords that are not understood where they stand: no name server is asked for them. Those of ifconfig(8)
// that we do not have are among them.
var notHosts = map[string]bool{
	"inet": true, "inet6": true, "create": true,
	"carppeer": true, "carpnodes": true, "balancing": true, // carp
	"debug": true, "link0": true, "link1": true, "link2": true, "mtu": true, "lladdr": true, "group": true, "priority": true,
	"metric": true, "llprio": true, "rdomain": true, // any interface
	"anycast": true, "tentative": true, "pltime": true, "vltime": true, "eui64": true, "autoconf": true, "temporary": true, // inet6
}

// canBeHost reports whether a name server may be asked for s: letters, digits, hyphens and dots, not beginning with a hyphen as
// keywords do, and not an address gone wrong, whose last label is a number. Names under invalid never exist (RFC 6761).
func canBeHost(s string) bool {
	if s == "" || s[0] == '-' || notHosts[s] {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c), c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	last := labels[len(labels)-1]
	_, err := strconv.ParseUint(last, 0, 64)
	return err != nil && !strings.EqualFold(last, "invalid")
}
