package ifconfig

import (
	"fmt"
	"net/netip"

	"carp/libcarp/config"
)

// carppeer says where IPv4 adverts go (ifconfig.c: setcarppeer). An IPv6 address is answered as OpenBSD means to; its getaddrinfo(3) fails
// before it comes to that.
func (p *parser) carppeer(word, arg string) error {
	addr, err := netip.ParseAddr(arg)
	if _, is6 := p.parseAddr6(arg); is6 {
		return fmt.Errorf("only IPv4 addresses supported for the %s", word)
	}
	if err != nil {
		addr, err = p.host("ip4", arg)
	}
	return p.peer(config.Carppeer, addr, err)
}

// carppeer6 says where IPv6 adverts go, in the manner of carppeer. OpenBSD has no such word.
func (p *parser) carppeer6(word, arg string) error {
	addr, ok := p.parseAddr6(arg)
	if !ok {
		if a, err := netip.ParseAddr(arg); err == nil && a.Is4() {
			return fmt.Errorf("only IPv6 addresses supported for the %s", word)
		}
		addr, err := p.host("ip6", arg)
		return p.peer(config.Carppeer6, addr, err)
	}
	if addr, ok = p.unscope(addr); !ok {
		return fmt.Errorf("%s: %s: %w", p.name, vh.set, config.EINVAL)
	}
	return p.peer(config.Carppeer6, addr, nil)
}

func (p *parser) peer(w config.Word, addr netip.Addr, err error) error {
	if err != nil {
		return fmt.Errorf("error in parsing address string: %w", err)
	}
	p.step(config.Clause{Word: w, Addr: netip.PrefixFrom(addr, addr.BitLen())})
	return nil
}
