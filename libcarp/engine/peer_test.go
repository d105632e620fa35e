package engine

import (
	"net/netip"
	"testing"
)

// Who was heard is told when it changes, and not with each advert; a bow-out says nothing of a host, nor does who has another key.
func TestPeerIsTold(t *testing.T) {
	h := newBackup(t, "advskew 100")
	published := func(p peer) (n int) {
		for _, f := range h.hear(p) {
			if _, ok := f.(*Publish); ok {
				n++
			}
		}
		return n
	}
	for n, c := range []struct {
		peer peer
		want int
	}{
		{peer{base: 1, skew: 20, pass: "other"}, 0},
		{peer{base: 1, skew: 20}, 1},
		{peer{base: 1, skew: 20}, 0},
		{peer{base: 1, skew: 30}, 1},
		{peer{base: 1, skew: 30, src: "192.168.1.98"}, 1},
	} {
		if got := published(c.peer); got != c.want {
			t.Errorf("advert %d: published %d times, not %d", n, got, c.want)
		}
	}
	v, _ := h.e.View("carp0")
	want := Peer{netip.MustParseAddr("192.168.1.98"), 1, 30, 0}
	if len(v.Peers) != 1 || v.Peers[0] != want {
		t.Errorf("%+v", v.Peers)
	}
	h.hear(peer{base: 255, skew: 255, src: "192.168.1.97"})
	if v, _ := h.e.View("carp0"); len(v.Peers) != 1 || v.Peers[0] != want {
		t.Errorf("after a bow-out: %+v", v.Peers)
	}
}
