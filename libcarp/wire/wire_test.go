package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"
)

func key(pass string) (k [20]byte) {
	copy(k[:], pass)
	return k
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// Packets that another HMAC library computed, byte for byte.
func TestMarshal(t *testing.T) {
	auth := NewAuth(Identity{Key: key("secret"), VHID: 1, Addrs: addrs("10.0.0.1")})
	for _, c := range []struct {
		advskew uint8
		counter uint64
		want    string
	}{
		{0, 0, "210100070001e9ed00000000000000003b3c7ace2593187eb414fa03e484fbf60ad26786"},
		{100, 0x0102030405060708, "210164070001e01e0102030405060708c0d32526b33cb06464aec3d88cb0eeb07b082237"},
	} {
		ad := Advert{Version: Version, Type: Type, VHID: 1, Advskew: c.advskew, Authlen: Authlen, Advbase: 1, Counter: c.counter}
		ad.HMAC = auth.Sum(ad.Counter)
		b := make([]byte, Size)
		ad.Marshal(b)
		if got := hex.EncodeToString(b); got != c.want {
			t.Errorf("advskew %d: %s\nwant %s", c.advskew, got, c.want)
		}
		if back, err := Parse(b); err != nil || back != ad {
			t.Errorf("parsed back: %+v, %v", back, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	base := Identity{Key: key("secret"), VHID: 1, Addrs: addrs("10.0.0.1", "10.0.0.2", "2001:db8::1")}
	want := NewAuth(base).Sum(0)
	if got := hex.EncodeToString(want[:]); got != "dac0e93e06f3a315a789b22db040eadbbb032247" { // by another library
		t.Fatalf("three addresses: %s", got)
	}
	for _, c := range []struct {
		name   string
		change func(*Identity)
		same   bool
	}{
		{"other order", func(i *Identity) { i.Addrs = addrs("2001:db8::1", "10.0.0.2", "10.0.0.1") }, true},
		{"a duplicate", func(i *Identity) { i.Addrs = append(i.Addrs, i.Addrs[0]) }, true},
		{"a zone", func(i *Identity) { i.Addrs[2] = i.Addrs[2].WithZone("carp0") }, true},
		{"a link-local address, left out", func(i *Identity) { i.Addrs = append(i.Addrs, addrs("fe80::1")...) }, true},
		{"a link-local address, counted", func(i *Identity) { i.Addrs, i.LinkLocal = append(i.Addrs, addrs("fe80::1")...), true }, false},
		{"no link-local address to count", func(i *Identity) { i.LinkLocal = true }, true},
		{"one address less", func(i *Identity) { i.Addrs = i.Addrs[1:] }, false},
		{"another key", func(i *Identity) { i.Key = key("secreT") }, false},
		{"another vhid", func(i *Identity) { i.VHID = 2 }, false},
		{"a custom lladdr", func(i *Identity) { i.Lladdr = [6]byte{2} }, false},
	} {
		id := base
		id.Addrs = append([]netip.Addr(nil), base.Addrs...)
		c.change(&id)
		if got := NewAuth(id).Sum(0); (got == want) != c.same {
			t.Errorf("%s: same HMAC: %t, want %t", c.name, got == want, c.same)
		}
	}
}

func TestMarshalIPv4(t *testing.T) {
	// The header of a captured UCARP advert but for its id and addresses (vectors.json, ucarp-lab-0): TOS 0x10, DF, TTL 255.
	want, _ := hex.DecodeString("45100038beef4000ff7000000a630001e0000012")
	b := bytes.Repeat([]byte{0xa5}, IPv4Header+1) // what was there does not count
	MarshalIPv4(b, 0xbeef, netip.MustParseAddr("10.99.0.1"), GroupIPv4)
	if b[IPv4Header] != 0xa5 {
		t.Error("it writes beyond the header")
	}
	b = b[:IPv4Header]
	if Checksum(b) != 0 {
		t.Error("wrong checksum")
	}
	b[10], b[11] = 0, 0
	if !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
}

func TestMarshalIPv6(t *testing.T) {
	b := bytes.Repeat([]byte{0xee}, IPv6Header+1) // what was there before does not count
	MarshalIPv6(b, netip.MustParseAddr("fe80::1"), GroupIPv6)
	want := "6000000000" + "24" + "70ff" + "fe800000000000000000000000000001" + "ff020000000000000000000000000012" + "ee"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestSeal(t *testing.T) {
	ad := Advert{Version: Version, Type: Type, Advbase: 1, Advskew: 100, Demote: 3}
	ad.Seal(0x123456789a)
	if ad.Counter != 0x123456789a_01_64_03 {
		t.Errorf("counter %x", ad.Counter)
	}
	if at, ok := ad.Sealed(); !ok || at != 0x123456789a {
		t.Errorf("sealed: %x, %t", at, ok)
	}
	for name, alter := range map[string]func(*Advert){
		"advbase": func(a *Advert) { a.Advbase++ }, "advskew": func(a *Advert) { a.Advskew++ }, "demote": func(a *Advert) { a.Demote++ },
	} {
		altered := ad
		alter(&altered)
		if _, ok := altered.Sealed(); ok {
			t.Errorf("with another %s it still looks sealed", name)
		}
	}
}

func TestSealLimits(t *testing.T) {
	if epoch := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(); SealEpoch != epoch || SealMax != 0xff_ffff_ffff {
		t.Errorf("epoch %d, want %d; greatest time %x", int64(SealEpoch), epoch, int64(SealMax))
	}
	for _, at := range []int64{0, 1, SealMax} {
		for _, ad := range []Advert{{}, {Advbase: 255, Advskew: 255, Demote: 255}, {Advbase: 128}} {
			ad.Seal(at)
			if got, ok := ad.Sealed(); !ok || got != at {
				t.Errorf("%x in %d/%d/%d: %x, %t", at, ad.Advbase, ad.Advskew, ad.Demote, got, ok)
			}
			ad.Advbase ^= 128
			if _, ok := ad.Sealed(); ok {
				t.Errorf("%x: the highest bit of advbase does not count", at)
			}
		}
	}
}

// What trails is neither read nor written.
func TestTrailingBytes(t *testing.T) {
	want := Advert{Version: Version, Type: Type, VHID: 7, Advbase: 1, Counter: 5}
	b := bytes.Repeat([]byte{0xa5}, Size+3)
	want.Marshal(b)
	if Checksum(b[:Size]) != 0 || !bytes.Equal(b[Size:], []byte{0xa5, 0xa5, 0xa5}) {
		t.Errorf("%x", b)
	}
	if got, err := Parse(b); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestIsBowOut(t *testing.T) {
	for _, c := range []struct {
		advbase, advskew uint8
		want             bool
	}{{255, 255, true}, {255, 254, false}, {254, 255, false}, {1, 0, false}} {
		if got := (&Advert{Advbase: c.advbase, Advskew: c.advskew}).IsBowOut(); got != c.want {
			t.Errorf("%d/%d: %t", c.advbase, c.advskew, got)
		}
	}
}

func TestChecksum(t *testing.T) {
	for _, c := range []struct {
		data string
		want uint16
	}{
		{"", 0xffff},
		{"00", 0xffff},
		{"01", 0xfeff},                 // an odd byte counts as the high one
		{"0001f203f4f5f6f7", 0x220d},   // RFC 1071, section 3
		{"ffffffff", 0},                // carries fold
		{"ffff00010001", ^uint16(0x2)}, // more than once
		{"ffff0001", ^uint16(0x1)},     // just one too many
	} {
		b, _ := hex.DecodeString(c.data)
		if got := Checksum(b); got != c.want {
			t.Errorf("%s: %04x, want %04x", c.data, got, c.want)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	auth := NewAuth(Identity{Key: key("secret"), VHID: 1, Addrs: addrs("10.0.0.1")})
	ad := Advert{Version: Version, Type: Type, VHID: 1, Authlen: Authlen, Advbase: 1}
	b := make([]byte, Size)
	if n := testing.AllocsPerRun(100, func() {
		ad.Seal(1)
		ad.HMAC = auth.Sum(ad.Counter)
		ad.Marshal(b)
		got, err := Parse(b)
		if err != nil || !auth.Verify(&got) {
			t.Fatal("not valid")
		}
	}); n != 0 {
		t.Errorf("%v allocations for an advert there and back", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add(v.packet(f))
		f.Add(unhex(f, v.FrameHex))
	}
	auth := NewAuth(Identity{VHID: 1, Addrs: addrs("192.0.2.1")})
	f.Fuzz(func(t *testing.T, b []byte) {
		ad, err := Parse(b)
		if err != nil {
			return
		}
		if len(b) < Size {
			t.Fatalf("%d bytes were enough", len(b))
		}
		auth.Verify(&ad)
		out := make([]byte, Size)
		ad.Marshal(out)
		again, err := Parse(out)
		if err != nil || again != ad {
			t.Fatalf("parse, marshal, parse: %+v, then %+v, %v", ad, again, err)
		}
		if !bytes.Equal(out[:6], b[:6]) || !bytes.Equal(out[8:], b[8:Size]) {
			t.Fatalf("marshalled %x from %x", out, b[:Size])
		}
	})
}

// BenchmarkSum computes the HMAC of an advert. Its peer is the HMAC of Go's library over the same message, with nothing prepared: how many times
// as long that takes.
func BenchmarkSum(b *testing.B) {
	id := Identity{Key: key("secret"), VHID: 1, Addrs: addrs("192.0.2.1")}
	auth := NewAuth(id)
	plain := func(i uint64) (sum [20]byte) {
		h := hmac.New(sha1.New, id.Key[:])
		h.Write(binary.BigEndian.AppendUint64([]byte{Version, Type, id.VHID, 192, 0, 2, 1}, i))
		h.Sum(sum[:0])
		return sum
	}
	if auth.Sum(7) != plain(7) {
		b.Fatal("not the same HMAC")
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		auth.Sum(uint64(i))
	}
	b.StopTimer()
	start := time.Now()
	for i := range b.N {
		plain(uint64(i))
	}
	b.ReportMetric(float64(time.Since(start))/float64(b.Elapsed()), "crypto/hmac")
}

// What is fixed of an Auth makes the same one again, with the key; something else is refused.
func TestAuthOf(t *testing.T) {
	id := Identity{Key: [20]byte{1, 2, 3}, VHID: 7, Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}
	for n := range 20 { // whatever stands in the hash's last block
		id.Addrs = append(id.Addrs, netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}))
		a := NewAuth(id)
		fixed, ok := a.Fixed()
		b, err := AuthOf(id.Key, fixed)
		if !ok || err != nil {
			t.Fatalf("%d addresses: %v, %v", n+2, ok, err)
		}
		for _, counter := range []uint64{0, 1, 1 << 63} {
			if a.Sum(counter) != b.Sum(counter) {
				t.Errorf("%d addresses: another HMAC", n+2)
			}
		}
		if c, err := AuthOf([20]byte{9}, fixed); err == nil && c.Sum(1) == a.Sum(1) {
			t.Error("the same HMAC with another key")
		}
	}
	if _, err := AuthOf(id.Key, [FixedSize]byte{}); err == nil {
		t.Error("nothing is taken for an Auth")
	}
}
