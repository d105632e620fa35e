package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// Adverts find a carp's virtual host where it is now, and nothing where it was.
func TestAdvertsFindTheirNode(t *testing.T) {
	em1 := em0(2)
	em1.Index, em1.Name = 3, "em1"
	h := newHost(t, em0(1), em1)
	h.must("carp0 create vhid 1 carpdev em0 alias 192.168.1.10/24")
	for _, c := range []struct {
		line    string
		vhid    uint8
		carpdev int
	}{
		{"carp0 vhid 2", 2, 2}, {"carp0 carpdev em1", 2, 3}, {"carp0 vhid 1", 1, 3}, {"carp0 carpdev em0", 1, 2}, {"carp0 destroy", 0, 0},
	} {
		h.must(c.line)
		for vhid := uint8(1); vhid <= 2; vhid++ {
			for carpdev := 2; carpdev <= 3; carpdev++ {
				before := h.e.Stats()
				h.hear(peer{vhid: vhid, carpdev: carpdev, base: 1})
				after, found := h.e.Stats(), vhid == c.vhid && carpdev == c.carpdev
				if got := after[config.Badvhid] == before[config.Badvhid]; got != found || after[config.Badauth] != before[config.Badauth] {
					t.Errorf("%s: vhid %d on carpdev %d is found: %t", c.line, vhid, carpdev, got)
				}
			}
		}
	}
	if len(h.e.byVHID) != 0 {
		t.Errorf("%v is left", h.e.byVHID)
	}
}

// A carpdev with hundreds of carps loses its link, and comes back: every master elsewhere says so once, with the whole demotion, and nobody waits for
// the engine's arithmetic.
func TestCarpdevOfHundredsFails(t *testing.T) {
	em1 := em0(2)
	em1.Index, em1.Name = 3, "em1"
	h := newHost(t, em0(1), em1)
	for n := range 250 {
		h.must(fmt.Sprintf("carp%d create vhid %d carpdev em0 alias 10.0.0.%d/24", n, n+1, n+1))
		h.must(fmt.Sprintf("carp%d create vhid %d carpdev em1 alias 10.1.0.%d/24", n+250, n+1, n+1))
	}
	h.wait(5 * second)
	down := em0(1)
	down.Running = false
	start := time.Now()
	h.setLinks(down, em1)
	took := time.Since(start)
	sent, published := map[string]int{}, 0
	for _, f := range h.last {
		switch f := f.(type) {
		case *SendAdvert:
			sent[f.Carp]++
			if ad, err := wire.Parse(f.Packet[wire.IPv4Header:]); err != nil || ad.Demote != 250 {
				t.Fatalf("%s: %+v, %v", f.Carp, ad, err)
			}
		case *PublishGroups:
			published++
		}
	}
	if len(sent) != 250 || slices.ContainsFunc(h.e.ordered, func(c *carp) bool { return sent[c.cfg.Name] > 1 }) || published != 1 {
		t.Errorf("%d masters have sent %v, published %d times", len(sent), sent, published)
	}
	if took > time.Second {
		t.Errorf("it took %v", took)
	}
	t.Logf("500 carps, 250 of them without a link: %v", took)
	h.setLinks(em0(1), em1)
	if d := h.e.GroupDemotion("carp"); d != 0 {
		t.Errorf("demotion %d", d)
	}
}
