package ifconfig

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
)

// addresses is what the words have said so far of the address to be added or removed. Nothing is done about it before the
// last word was read (ifconfig.c: setifaddr, notealias and the end of main). IPv6 addresses may have a zone.
type addresses struct {
	words   int  // how many addresses were given
	alias   int  // 1 after alias, -1 after -alias and delete, 0 before either
	add     bool // addr
	remove  bool // victim or, if there is none, the first of the family
	addr    netip.Addr
	victim  netip.Addr
	length  int             // of addr's mask, in bits; 0: none given
	refused map[string]bool // words that say something of addr that the kernel would not take

	// For interfaces that are no carps.
	second   netip.Addr        // the broadcast address, or the other end
	lifetime map[string]uint32 // of pltime and vltime, in seconds
}

// address is a word that is no keyword: the address, then a second one, which on a carp means nothing, and no third.
func (p *parser) address(word string) error {
	if p.addr.words == 2 || refused[word] {
		return badValue(word)
	}
	p.addr.words++
	if p.addr.words == 2 {
		return p.destination(word)
	}
	if p.addr.alias < 0 {
		addr, err := p.resolve(word)
		p.addr.victim = addr
		return err
	}
	p.addr.add = true
	p.addr.remove = p.addr.alias == 0
	if addr, length, ok := parseNet(word); ok && !p.inet6 {
		p.addr.addr, p.addr.length = addr, notZero(length, 32)
		return nil
	}
	if p.inet6 {
		var err error
		if word, err = p.cutLength(word); err != nil {
			return err
		}
	}
	addr, err := p.resolve(word)
	p.addr.addr = addr
	return err
}

// destination is a second address, or a broadcast address. For IPv4 it must be one, but does not count: the kernel computes it from the
// mask (in.c: in_ifinit). For IPv6 the kernel refuses it (in6.c: in6_update_ifa).
func (p *parser) destination(word string) error {
	addr, err := p.resolve(word)
	p.addr.second = addr
	p.addr.refuse("broadcast", p.inet6 && p.own == nil)
	return err
}

func (p *parser) broadcast(_, arg string) error { return p.destination(arg) }

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
	addr, err := p.resolve(arg)
	if err != nil {
		return err
	}
	if p.inet6 {
		length, ok := maskLength6(addr)
		p.addr.length = length
		p.addr.refuse("netmask", !ok)
		return nil
	}
	m := bitsOf(addr)
	if m&(^m>>1) != 0 {
		return fmt.Errorf("%s: non-contiguous mask", arg)
	}
	p.addr.length = bits.OnesCount32(m)
	return nil
}

// prefixlen takes 0 for the length of a whole address (ifconfig.c: in_getprefix, in6_getprefix).
func (p *parser) prefixlen(_, arg string) error {
	whole := 32
	if p.inet6 {
		whole = 128
	}
	length, reason := config.ParseNumber(arg, 0, int64(whole))
	if reason != "" {
		return &config.NumberError{What: "prefix", Given: arg, Reason: reason}
	}
	p.addr.length = notZero(int(length), whole)
	p.addr.refuse("netmask", false)
	return nil
}

// refuse notes or takes back that the kernel would not take what a word says of the address.
func (a *addresses) refuse(word string, refused bool) {
	delete(a.refused, word)
	if refused {
		a.refused[word] = true
	}
}

func notZero(length, whole int) int {
	if length == 0 {
		return whole
	}
	return length
}

// addressSteps adds what is to be done at the end of the line. The error is what the kernel would say of that.
func (p *parser) addressSteps() error {
	a := &p.addr
	switch {
	case a.remove && a.alias < 0 && a.victim.IsValid():
		victim, ok := p.unscope(a.victim)
		if !ok {
			return fmt.Errorf("%s: %w", difaddr.set, config.EINVAL)
		}
		p.step(config.Clause{Word: config.DelAddr, Addr: netip.PrefixFrom(victim, victim.BitLen())})
	case a.remove && a.alias < 0:
		p.step(config.Clause{Word: config.DelFirst, Text: p.family()})
	case a.remove && !p.inet6: // an IPv6 address takes no other one's place (in6.c: SIOCDIFADDR_IN6)
		p.step(config.Clause{Word: config.DropFirst, Text: p.family()})
	}
	if !a.add {
		return nil
	}
	addr, ok := p.unscope(a.addr)
	if !ok || len(a.refused) > 0 {
		return fmt.Errorf("%s: %w", aifaddr.set, config.EINVAL)
	}
	length := a.length
	switch {
	case length == 0 && p.inet6:
		length = 64
	case length == 0:
		length = bits.OnesCount32(classMask(addr))
	}
	p.step(config.Clause{Word: config.AddAddr, Addr: netip.PrefixFrom(addr, length)})
	if p.own != nil {
		for n := len(p.acts) - 1; n >= 0 && (p.acts[n].Word == config.AddAddr || p.acts[n].Word == config.DropFirst); n-- {
			p.acts[n].Addr = ordinary.Addr{
				Prefix: netip.PrefixFrom(addr, length), Dest: a.second, Preferred: a.life("pltime"), Valid: a.life("vltime"),
			}
		}
	}
	return nil
}

func (a *addresses) life(word string) uint32 {
	if n, ok := a.lifetime[word]; ok {
		return n
	}
	return ordinary.Infinite
}

// resolve reads an address of the line's family, or the name of a host.
func (p *parser) resolve(word string) (netip.Addr, error) {
	if p.inet6 {
		if addr, ok := p.parseAddr6(word); ok {
			return addr, nil
		}
		addr, err := p.host("ip6", word)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%s: %w", word, err)
		}
		return addr, nil
	}
	if addr, ok := parseAddr(word); ok {
		return addr, nil
	}
	addr, err := p.host("ip4", word)
	if err != nil {
		return netip.Addr{}, badValue(word)
	}
	return addr, nil
}

func badValue(word string) error { return fmt.Errorf("%s: bad value", word) }

// Why a host has no address, in the words of OpenBSD's gai_strerror(3).
var (
	errNoData = errors.New("no address associated with name")            // EAI_NODATA
	errFail   = errors.New("non-recoverable failure in name resolution") // EAI_FAIL
	errAgain  = errors.New("temporary failure in name resolution")       // EAI_AGAIN
)

// host looks a host up as getaddrinfo(3) does, after it has found that the name is no address of the family. The network is ip4 or
// ip6.
func (p *parser) host(network, name string) (netip.Addr, error) {
	if !isHostName(name) {
		return netip.Addr{}, errFail
	}
	if !canBeHost(name) {
		return netip.Addr{}, errNoData
	}
	addr, err := p.names.Host(network, name)
	var why interface{ Temporary() bool }
	switch addr = addr.Unmap(); {
	case errors.As(err, &why) && why.Temporary():
		return netip.Addr{}, errAgain
	case err != nil, addr.Is4() != (network == "ip4"):
		return netip.Addr{}, errNoData
	}
	return addr.WithZone(""), nil
}

// isHostName reports whether a name has nothing but letters, digits, hyphens, underscores and dots in it, and does not begin with a dot or a
// hyphen (OpenBSD, asr_utils.c: hnok_lenient).
func isHostName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c), c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s == "" || s[0] != '-' && s[0] != '.' && !strings.Contains(s, "..")
}

// canBeHost reports whether a name server may be asked for a name: it is not a keyword that is not understood where it stands, and not an
// address gone wrong, whose last label is a number. Names under invalid never exist (RFC 6761).
func canBeHost(name string) bool {
	switch {
	case name == "", name == "inet", name == "inet6", name == "create", refused[name]:
		return false
	}
	if _, ok := ignored[name]; ok {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	last := labels[len(labels)-1]
	_, err := strconv.ParseUint(last, 0, 64)
	return err != nil && !strings.EqualFold(last, "invalid")
}
