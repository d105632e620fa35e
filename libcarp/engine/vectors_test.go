package engine

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// What other systems send, as captured, is accepted at the value of net.inet.carp.replay that is the default: none of it is taken for a copy.
func TestVectorsAreNoCopies(t *testing.T) {
	data, err := os.ReadFile("../wire/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			ID, Sender string
			Passphrase *string
			VHID       uint8
			VIPs       []string
			CarpHex    string `json:"carp_hex"`
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, v := range file.Vectors {
		payload, err := hex.DecodeString(v.CarpHex)
		ad, bad := wire.Parse(payload)
		if err != nil || bad != nil || v.Passphrase == nil || v.VHID == 0 || len(*v.Passphrase) > config.PassMax && strings.HasPrefix(v.Sender, "NetBSD") {
			continue // no advert, or with a key of 20 bytes, which no other system has
		}
		h := &host{t: t, e: New(config.NewMachine(), rand.NewPCG(1, 2), nil), now: 1000 * second, wall: wire.SealEpoch + 9e10}
		h.setLinks(em6(1))
		i := config.NewInterface("carp0", 0)
		i.Carpdev, i.Nodes[0].VHID, i.Pass, i.Up = "em0", v.VHID, config.NewPass(*v.Passphrase), true
		for _, a := range v.VIPs {
			addr := netip.MustParseAddr(a)
			i.Addrs = append(i.Addrs, netip.PrefixFrom(addr, addr.BitLen()))
		}
		if len(i.Addrs) == 0 {
			continue
		}
		h.step(&Configure{Clock: h.clock(), Plan: config.Plan{Change: config.Change{Kind: config.ForInterface, Name: "carp0"}, Interface: i}})
		n := h.e.carps["carp0"].nodes[0]
		if !n.verify(&ad) {
			continue // one that has to be refused for its HMAC
		}
		tried++
		h.hear(peer{bytes: payload})
		if st := h.e.Stats(); st[config.Badauth] != 0 || st[config.Ipackets] != 1 {
			t.Errorf("%s (%s): %v, %q", v.ID, v.Sender, st, h.log)
		}
	}
	t.Log(tried, "adverts")
	if tried < 20 {
		t.Errorf("%d adverts only", tried)
	}
}
