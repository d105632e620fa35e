package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carp/libcarp/wire"
)

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
