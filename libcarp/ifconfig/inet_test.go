package ifconfig

import (
	"net/netip"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"10.0.0.1", "10.0.0.1"},
		{"10.1", "10.0.0.1"},
		{"10.1.2", "10.1.0.2"},
		{"10.1.65535", "10.1.255.255"},
		{"10.16777215", "10.255.255.255"},
		{"167772161", "10.0.0.1"},
		{"0x0a000001", "10.0.0.1"},
		{"0XA.0x0.0.1", "10.0.0.1"},
		{"012.0.0.1", "10.0.0.1"},
		{"037777777400", "255.255.255.0"},
		{"0", "0.0.0.0"},
		{"0x", "0.0.0.0"},
		{"08", "0.0.0.8"},
		{"0010.0.0.019", "8.0.0.17"}, // 1 * 8 + 9
		{"4294967297", "0.0.0.1"},
		{"10.0.0.1 and what follows", "10.0.0.1"},
		{"10.0.0.1\t", "10.0.0.1"},
		{"", ""},
		{"x", ""},
		{" 10.0.0.1", ""},
		{"-1", ""},
		{"1a", ""},
		{"10.0.0.", ""},
		{".10", ""},
		{"10..1", ""},
		{"10.0.0.256", ""},
		{"256.1", ""},
		{"1.256.1", ""},
		{"1.1.256.1", ""},
		{"10.16777216", ""},
		{"10.1.65536", ""},
		{"10.0.0.0.1", ""},
		{"10.0.0.1/24", ""},
		{"0xg", ""},
		{"::1", ""},
	} {
		addr, ok := parseAddr(c.in)
		switch {
		case ok != (c.want != ""):
			t.Errorf("%q: %v, %t", c.in, addr, ok)
		case ok && addr.String() != c.want:
			t.Errorf("%q is %v, not %s", c.in, addr, c.want)
		}
	}
}

func TestParseNet(t *testing.T) {
	for _, c := range []struct {
		in, addr string
		length   int
	}{
		{"10.0.0.1/24", "10.0.0.1", 24},
		{"10/8", "10.0.0.0", 8},
		{"10.1/0", "10.1.0.0", 0},
		{"010.1.2.3/032", "10.1.2.3", 32},
		{"0x0A000001/24", "10.0.0.1", 24},
		{"0xC0a8/16", "192.168.0.0", 16},
		{"0xC0a/12", "192.160.0.0", 12},
		{"10.0.0.1", "", 0},
		{"10.0.0.1/", "", 0},
		{"10.0.0.1/33", "", 0},
		{"10.0.0.1/-1", "", 0},
		{"10.0.0.1/24/24", "", 0},
		{"10.0.0.1/2x", "", 0},
		{"/24", "", 0},
		{"10./24", "", 0},
		{"10.0.0.0.1/24", "", 0},
		{"256/24", "", 0},
		{"0x1/24", "", 0},
		{"0x0a00000100/24", "", 0},
		{"0xzz/24", "", 0},
	} {
		addr, length, ok := parseNet(c.in)
		switch {
		case ok != (c.addr != ""):
			t.Errorf("%q: %v/%d, %t", c.in, addr, length, ok)
		case ok && (addr.String() != c.addr || length != c.length):
			t.Errorf("%q is %v/%d, not %s/%d", c.in, addr, length, c.addr, c.length)
		}
	}
}

func TestClassMask(t *testing.T) {
	for addr, mask := range map[string]uint32{
		"0.0.0.1": 0xff000000, "127.255.255.255": 0xff000000, "128.0.0.0": 0xffff0000, "191.255.0.1": 0xffff0000,
		"192.0.0.0": 0xffffff00, "223.1.1.1": 0xffffff00, "240.0.0.1": 0xffffff00,
	} {
		if got := classMask(netip.MustParseAddr(addr)); got != mask {
			t.Errorf("%s: %#x, not %#x", addr, got, mask)
		}
	}
}

// What netip takes for an IPv4 address is the same to us, and what we read, we read again from its usual form.
func FuzzParseAddr(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		addr, ok := parseAddr(s)
		if theirs, err := netip.ParseAddr(s); err == nil && theirs.Is4() && (!ok || addr != theirs) {
			t.Errorf("%q is %v, %t", s, addr, ok)
		}
		if again, stable := parseAddr(addr.String()); ok && (!stable || again != addr) {
			t.Errorf("%q is %v, and that %v", s, addr, again)
		}
		if net, length, ok := parseNet(s); ok {
			again, sameLength, ok := parseNet(netip.PrefixFrom(net, length).String())
			if !ok || again != net || sameLength != length {
				t.Errorf("%q is %v/%d, and that %v/%d", s, net, length, again, sameLength)
			}
		}
	})
}
