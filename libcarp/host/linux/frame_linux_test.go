package linux

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// anAdvert is a frame of an advert as it comes from 192.168.1.2, with n bytes of padding behind it.
func anAdvert(padding int) []byte {
	b := make([]byte, ethernetHeader+wire.IPv4Header+wire.Size+padding)
	copy(b, []byte{1, 0, 0x5e, 0, 0, 18, 0, 0, 0x5e, 0, 1, 1, 8, 0})
	wire.MarshalIPv4(b[ethernetHeader:len(b)-padding], 7, netip.MustParseAddr("192.168.1.2"), wire.GroupIPv4)
	for i := range wire.Size {
		b[ethernetHeader+wire.IPv4Header+i] = byte(i)
	}
	return b
}

func TestParseFrame(t *testing.T) {
	for _, padding := range []int{0, 10} {
		p, ok := parseFrame(anAdvert(padding))
		if !ok || p.Src != netip.MustParseAddr("192.168.1.2") || p.Dst != wire.GroupIPv4 || p.TTL != wire.TTL || len(p.Payload) != wire.Size || p.Payload[35] != 35 {
			t.Errorf("padding %d: %+v, %t", padding, p, ok)
		}
	}
	for what, change := range map[string]func([]byte) []byte{
		"cut in the IP header":  func(b []byte) []byte { return b[:ethernetHeader+wire.IPv4Header-1] },
		"cut in the payload":    func(b []byte) []byte { return b[:len(b)-1] },
		"ARP":                   func(b []byte) []byte { b[13] = 6; return b },
		"IP version 6":          func(b []byte) []byte { b[14] = 0x65; return b },
		"header of 16 bytes":    func(b []byte) []byte { b[14] = 0x44; return b },
		"header beyond the end": func(b []byte) []byte { b[14] = 0x4f; b[17] = 56; return b },
		"length below header":   func(b []byte) []byte { b[16], b[17] = 0, 19; return b },
		"UDP":                   func(b []byte) []byte { b[23] = 17; return b },
		"first fragment":        func(b []byte) []byte { b[20] |= 0x20; return b },
		"later fragment":        func(b []byte) []byte { b[21] = 1; return b },
		"nothing":               func([]byte) []byte { return nil },
	} {
		if p, ok := parseFrame(change(anAdvert(0))); ok {
			t.Errorf("%s: taken as %+v", what, p)
		}
	}
	options := slices.Insert(anAdvert(0), ethernetHeader+wire.IPv4Header, 1, 1, 1, 1)
	options[14], options[17] = 0x46, options[17]+4
	if p, ok := parseFrame(options); !ok || p.Payload[0] != 0 || len(p.Payload) != wire.Size {
		t.Errorf("IP options: %+v, %t", p, ok)
	}
}

func TestParseFrameIPv6(t *testing.T) {
	frame := func() []byte { return advert6(7, multicastMAC(wire.GroupIPv6), virtual, "fe80::2", "ff02::12") }
	for _, padding := range []int{0, 10} {
		p, ok := parseFrame(append(frame(), make([]byte, padding)...))
		if !ok || p.Src != netip.MustParseAddr("fe80::2") || p.Dst != wire.GroupIPv6 || p.TTL != wire.TTL || len(p.Payload) != wire.Size || p.Payload[1] != 7 {
			t.Errorf("padding %d: %+v, %t", padding, p, ok)
		}
	}
	for what, change := range map[string]func([]byte) []byte{
		"cut in the IPv6 header":  func(b []byte) []byte { return b[:ethernetHeader+wire.IPv6Header-1] },
		"cut in the payload":      func(b []byte) []byte { return b[:len(b)-1] },
		"IP version 4":            func(b []byte) []byte { b[14] = 0x45; return b },
		"a fragment header":       func(b []byte) []byte { b[20] = 44; return b },
		"a hop-by-hop header":     func(b []byte) []byte { b[20] = 0; return b },
		"ethertype of IPv4":       func(b []byte) []byte { b[12], b[13] = 8, 0; return b },
		"a payload of 65535":      func(b []byte) []byte { b[18], b[19] = 255, 255; return b },
		"nothing behind Ethernet": func(b []byte) []byte { return b[:ethernetHeader] },
	} {
		if p, ok := parseFrame(change(frame())); ok {
			t.Errorf("%s: taken as %+v", what, p)
		}
	}
	long := frame()
	long[15], long[16], long[17], long[21] = 0xff, 0xff, 0xff, 3 // class and flow mean nothing here, and the hop limit is told
	if p, ok := parseFrame(long); !ok || p.TTL != 3 {
		t.Errorf("%+v, %t", p, ok)
	}
}

// Whatever comes in: no panic, and the payload is a part of the frame.
func FuzzParseFrame(f *testing.F) {
	f.Add(anAdvert(0))
	f.Add(anAdvert(10))
	f.Add(advert6(7, multicastMAC(wire.GroupIPv6), virtual, "fe80::2", "ff02::12"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, ok := parseFrame(frame)
		if ok && (!bytes.Contains(frame, p.Payload) || p.Src.Is4() != p.Dst.Is4() || !p.Src.IsValid()) {
			t.Errorf("%x: %+v", frame, p)
		}
	})
}

// RFC 1112, section 6.4: the low 23 bits; RFC 2464, section 7: the low 32.
func TestMulticastMAC(t *testing.T) {
	for addr, want := range map[string]string{
		"224.0.0.18": "01:00:5e:00:00:12", "239.255.255.250": "01:00:5e:7f:ff:fa", "ff02::12": "33:33:00:00:00:12", "ff02::1:ff12:3456": "33:33:ff:12:34:56",
	} {
		if got := multicastMAC(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// A report as tcpdump(8) shows one of Linux: both checksums are right when they sum up to nothing.
func TestMembershipReport(t *testing.T) {
	b := membershipReport()
	if wire.Checksum(b[:24]) != 0 || wire.Checksum(b[24:]) != 0 {
		t.Errorf("bad checksum: %x", b)
	}
	if got, want := hex.EncodeToString(b[24:26])+hex.EncodeToString(b[28:]), "1600e0000012"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The same of MLD, where the checksum is over a pseudo-header too.
func TestListenerReport(t *testing.T) {
	b := listenerReport()
	if len(b) != 72 || b[6] != 0 || b[7] != 1 || string(b[40:48]) != "\x3a\x00\x05\x02\x00\x00\x01\x00" || b[48] != 131 || string(b[56:72]) != string(wire.GroupIPv6.AsSlice()) {
		t.Errorf("%x", b)
	}
	pseudo := append(append([]byte{}, b[8:40]...), 0, 0, 0, 24, 0, 0, 0, 58)
	if wire.Checksum(append(pseudo, b[48:]...)) != 0 {
		t.Errorf("bad checksum: %x", b)
	}
}

// RFC 4291: section 2.7.1 has the first, appendix A the rule of the others.
func TestDerivedAddresses(t *testing.T) {
	if g := solicitedNode(netip.MustParseAddr("4037::1:800:200e:8c6c")); g != netip.MustParseAddr("ff02::1:ff0e:8c6c") {
		t.Error(g)
	}
	for mac, want := range map[config.MAC]string{config.VirtualMAC(1): "fe80::200:5eff:fe00:101", {2, 1, 2, 3, 4, 5}: "fe80::1:2ff:fe03:405"} {
		if a := mac.LinkLocal(); a != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", mac, a, want)
		}
	}
}

func TestRecord(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := NewRecord(file)
	if saved, found, err := r.load(); err != nil || found || saved != nil {
		t.Errorf("empty: %v, %v", saved, err)
	}
	want := []savedSysctl{{2, "arp_ignore", "0"}, {17, "arp_announce", "1"}}
	for _, n := range []int{2, 1} { // the second is shorter
		if err := r.store(want[:n]); err != nil {
			t.Fatal(err)
		}
		if got, found, err := r.load(); err != nil || !found || !slices.Equal(got, want[:n]) {
			t.Errorf("%v, %v", got, err)
		}
	}
	for _, bad := range []string{"carp-record 2\n", recordTag + "\nsysctl x arp_ignore 0\n", "garbage"} {
		if err := os.WriteFile(file.Name(), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.load(); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	var none *Record
	if saved, _, err := none.load(); saved != nil || err != nil || none.store(want) != nil {
		t.Error("a record that is none remembers")
	}

	// The file for when no process is left: of this network namespace alone, and gone when there is nothing to remember.
	path := filepath.Join(t.TempDir(), "kept")
	if err := storeKept(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := loadKept(path); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(path, append([]byte("namespace 1\n"), formatSaved(want)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := loadKept(path); err != nil || got != nil {
		t.Errorf("of another namespace: %v, %v", got, err)
	}
	for range 2 {
		if err := storeKept(path, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := loadKept(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
