package wire

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// A vector is one packet of testdata/vectors.json: captured from a real system or computed, with what must come of it.
type vector struct {
	ID          string
	Sender      string
	SameFrameAs string `json:"same_frame_as"`
	Passphrase  *string
	VHID        uint8
	VIPs        []string
	Advbase     *uint8
	Advskew     *uint8
	Demote      *uint8
	FrameHex    string  `json:"frame_hex"`
	CarpHex     *string `json:"carp_hex"`
	Proto112Hex string  `json:"proto112_hex"`
	CounterHex  string  `json:"counter_hex"`
	HMACHex     string  `json:"hmac_hex"`
	InputHex    string  `json:"hmac_input_hex"`
	KeyHex      string  `json:"key_hex"`
	DataHex     string  `json:"data_hex"`
	Expect      map[string]any
}

func loadVectors(t testing.TB) map[string]vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Count   int
		Vectors []vector
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) != file.Count {
		t.Fatalf("%d vectors, the file says %d", len(file.Vectors), file.Count)
	}
	byID := map[string]vector{}
	for _, v := range file.Vectors {
		byID[v.ID] = v
	}
	return byID
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packet returns what follows the IP header.
func (v vector) packet(t testing.TB) []byte {
	switch {
	case v.CarpHex != nil:
		return unhex(t, *v.CarpHex)
	case v.Proto112Hex != "":
		return unhex(t, v.Proto112Hex)
	}
	return nil
}

func (v vector) auth() *Auth {
	id := Identity{VHID: v.VHID}
	pass := *v.Passphrase
	if !strings.HasPrefix(v.Sender, "NetBSD") { // NetBSD's ifconfig lets all 20 bytes of the key count, every other's 19
		pass = pass[:min(len(pass), 19)]
	}
	copy(id.Key[:], pass)
	for _, a := range v.VIPs {
		id.Addrs = append(id.Addrs, netip.MustParseAddr(a))
	}
	return NewAuth(id)
}

// what says what the vector must come to: "valid", "invalid", or the counter that refuses it.
func (v vector) what(t *testing.T) string {
	if s, ok := v.Expect["counter"].(string); ok {
		return strings.Fields(s)[0]
	}
	if s, ok := v.Expect["carp"].(string); ok {
		return s
	}
	if s, ok := v.Expect["hmac"].(string); ok {
		return strings.Fields(s)[0]
	}
	switch kind, _ := v.Expect["kind"].(string); {
	case strings.HasPrefix(kind, "VRRP, must not"), strings.HasPrefix(kind, "malformed"):
		return "refused"
	}
	return "valid"
}

// judge goes through the checks of carp_proto_input_c in their order and names the counter that would have refused the packet.
func judge(packet []byte, auth *Auth) string {
	ad, err := Parse(packet)
	switch {
	case err == ErrShort:
		return "badlen"
	case err == ErrChecksum:
		return "badsum"
	case ad.Version != Version:
		return "badver"
	case auth != nil && !auth.Verify(&ad):
		return "badauth"
	}
	return "valid"
}

func TestVectors(t *testing.T) {
	vectors := loadVectors(t)
	tried := map[string]int{}
	for id, v := range vectors {
		t.Run(id, func(t *testing.T) {
			if v.SameFrameAs != "" {
				v.CarpHex = vectors[v.SameFrameAs].CarpHex
			}
			switch {
			case v.KeyHex != "": // HMAC alone
				prefix, data := []byte(nil), v.DataHex
				if data == "" {
					data = v.InputHex // scapy's: no advert, but a right HMAC-SHA1 of what it says
				}
				sum := newAuth(unhex(t, v.KeyHex), prefix).sum(unhex(t, data))
				if got := hex.EncodeToString(sum[:]); got != v.HMACHex {
					t.Errorf("HMAC %s, want %s", got, v.HMACHex)
				}
				tried["hmac"]++
			case v.CarpHex == nil && v.Proto112Hex == "": // a broken frame
				tried["frame"]++
				frame := unhex(t, v.FrameHex)
				for i := range frame { // wherever one would take the header to begin, nothing is accepted
					if got := judge(frame[i:], nil); got == "valid" {
						t.Errorf("accepted from byte %d on", i)
					}
				}
			default:
				tried[v.packetTest(t)]++
			}
		})
	}
	for _, kind := range []string{"hmac", "frame", "valid", "badsum", "badlen", "badver", "badauth"} {
		if tried[kind] == 0 {
			t.Errorf("no vector of kind %s was tried", kind)
		}
	}
	t.Log(tried)
}

// packetTest judges a whole packet and returns as what.
func (v vector) packetTest(t *testing.T) string {
	packet := v.packet(t)
	var auth *Auth
	if v.Passphrase != nil {
		auth = v.auth()
	} else {
		auth = NewAuth(Identity{Key: [20]byte{'k'}, VHID: 1, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	}
	got, want := judge(packet, auth), v.what(t)
	switch {
	case v.ID == "edge-trailing-bytes": // the advert of the FreeBSD capture with bytes behind it
		auth = loadVectors(t)["real-freebsd-john-1"].auth()
		got = judge(packet, auth)
	case want == "invalid":
		want = "badauth"
	case want == "refused" && got != "valid":
		want = got
	}
	if got != want {
		t.Errorf("judged as %s, want %s", got, want)
	}
	if v.HMACHex != "" && got == "valid" {
		ad, _ := Parse(packet)
		if want := v.advert(t); ad != want {
			t.Errorf("parsed as\n%+v, want\n%+v", ad, want)
		}
	}
	return got
}

// advert returns the advert that the vector's fields describe.
func (v vector) advert(t *testing.T) Advert {
	ad := Advert{Version: Version, Type: Type, Authlen: Authlen, VHID: v.VHID}
	for _, b := range unhex(t, v.CounterHex) {
		ad.Counter = ad.Counter<<8 | uint64(b)
	}
	copy(ad.HMAC[:], unhex(t, v.HMACHex))
	for _, f := range []struct {
		to   *uint8
		from *uint8
	}{{&ad.Advbase, v.Advbase}, {&ad.Advskew, v.Advskew}, {&ad.Demote, v.Demote}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return ad
}
