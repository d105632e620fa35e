package wire

import (
	"encoding/binary"
	"strings"
	"testing"
)

// vrrp2 is an advertisement of VRRPv2 with n addresses and no authentication.
func vrrp2(n int) []byte {
	b := make([]byte, 8+4*n+8)
	b[0], b[1], b[2], b[3], b[5] = 0x21, 9, 100, byte(n), 1
	for i := range 4 * n {
		b[8+i] = byte(i)
	}
	binary.BigEndian.PutUint16(b[6:], Checksum(b))
	return b
}

func TestIsVRRP(t *testing.T) {
	for n := range 9 {
		if vrid, ok := IsVRRP(vrrp2(n)); !ok || vrid != 9 {
			t.Errorf("VRRPv2 with %d addresses: %d, %t", n, vrid, ok)
		}
		bad := vrrp2(n)
		bad[6] ^= 1
		if _, ok := IsVRRP(bad); ok {
			t.Errorf("VRRPv2 with %d addresses and a wrong checksum", n)
		}
		if _, ok := IsVRRP(append(vrrp2(n), 0, 0)); ok {
			t.Errorf("VRRPv2 with %d addresses and two bytes more", n)
		}
	}
	for _, size := range []int{4, 16} {
		for n := range 4 {
			v3 := make([]byte, 8+n*size)
			v3[0], v3[1], v3[3], v3[7] = 0x31, 9, byte(n), 1
			if vrid, ok := IsVRRP(v3); ok != (n > 0) || ok && vrid != 9 { // RFC 5798, section 5.2.5: one address at least
				t.Errorf("VRRPv3, %d addresses of %d bytes: %d, %t", n, size, vrid, ok)
			}
			if _, ok := IsVRRP(v3[:len(v3)-1]); ok {
				t.Errorf("VRRPv3 cut, %d addresses of %d bytes", n, size)
			}
		}
	}
	for n := range 8 {
		if _, ok := IsVRRP(make([]byte, n)); ok {
			t.Errorf("%d bytes", n)
		}
	}
	// No packet of ours or of a version to come is taken for VRRP's.
	for _, version := range []uint8{2, 3} {
		ad := Advert{Version: version, Type: Type, VHID: 9, Authlen: Authlen, Advbase: 1}
		b := make([]byte, Size)
		ad.Marshal(b)
		if _, ok := IsVRRP(b); ok {
			t.Errorf("CARP version %d", version)
		}
	}
}

// The packets of the vectors that are VRRP's are told apart, and no other is.
func TestVectorsAreNotVRRP(t *testing.T) {
	found := 0
	for id, v := range loadVectors(t) {
		b := v.packet(t)
		if b == nil {
			continue
		}
		_, ok := IsVRRP(b)
		kind, _ := v.Expect["kind"].(string)
		isVRRP := strings.HasPrefix(kind, "VRRP")
		switch id {
		case "edge-trailing-bytes": // looks like both; its HMAC tells
			isVRRP = true
		case "edge-vrrpv2-7addr-36bytes": // not as long as it says
			isVRRP = false
		}
		if ok != isVRRP {
			t.Errorf("%s (%s): VRRP %t", id, kind, ok)
		}
		if ok {
			found++
		}
	}
	t.Log(found, "of VRRP")
	if found == 0 {
		t.Error("none was tried")
	}
}
