package engine

import (
	"slices"
	"strings"
	"testing"

	"carp/libcarp/config"
)

// own0 is em0 with a MAC.
func own0(last byte) config.Link {
	l := em0(1)
	l.MAC = config.MAC{2, 0, 0, 0, 0, last}
	return l
}

// ensured returns the last of the Ensures.
func ensured(fs []Effect) (last *Ensure) {
	for _, f := range fs {
		if f, ok := f.(*Ensure); ok {
			last = f
		}
	}
	return last
}

// The carpdev's own MAC as lladdr: the host is told, the HMAC does not cover it, clients are told twice, and it follows the carpdev's.
func TestOwnMACFollows(t *testing.T) {
	h := newHost(t, own0(1))
	h.must("carp0 create carpdev em0 vhid 1 advbase 1 alias 192.168.1.10/24 alias 2001:db8::10/64")
	if e := ensured(h.last); e == nil || e.Own {
		t.Errorf("with the virtual MAC: %+v", e)
	}
	h.wait(16 * second)
	h.want("carp0", Master)
	told := func(fs []Effect, mac config.MAC) (n int) {
		for _, f := range fs {
			if a, ok := f.(*Announce); ok && a.MAC == mac && len(a.Addrs) == 2 {
				n++
			}
		}
		return n
	}
	becomes := func(what string, mac config.MAC, own bool) {
		t.Helper()
		all := slices.Clone(h.last)
		if e := ensured(all); e == nil || e.Own != own || e.MAC != mac || !e.Master {
			t.Errorf("%s: %+v", what, e)
		}
		if n := told(all, mac); n != 1 {
			t.Errorf("%s: announced %d times at once", what, n)
		}
		if n := told(h.wait(4*second), mac); own && n != 1 {
			t.Errorf("%s: announced %d times later", what, n)
		}
		v, _ := h.e.View("carp0")
		if v.Interface.Lladdr() != mac || v.LinkLocal != config.VirtualMAC(1).LinkLocal() {
			t.Errorf("%s: lladdr %s, link-local %s", what, v.Interface.Lladdr(), v.LinkLocal)
		}
		h.hear(peer{base: 2, addrs: []string{"192.168.1.10", "2001:db8::10"}})
		if n := h.e.Stats()[config.Badauth]; n != 0 {
			t.Errorf("%s: %d wrong hashes", what, n)
		}
	}
	one, two := config.MAC{2, 0, 0, 0, 0, 1}, config.MAC{2, 0, 0, 0, 0, 2}
	h.must("carp0 lladdr 02:00:00:00:00:01")
	becomes("lladdr", one, true)
	h.setLinks(own0(2))
	if text := "carp0: lladdr follows em0: 02:00:00:00:00:02"; !slices.Contains(h.log, text) || !strings.Contains(brief(h.last), "persist") {
		t.Errorf("not told: %q, %s", h.log, brief(h.last))
	}
	becomes("another MAC", two, true)
	h.must("carp0 lladdr 00:00:00:00:00:00")
	becomes("back", config.VirtualMAC(1), false)
	h.setLinks(own0(1))
	h.want("carp0", Master)
	if v, _ := h.e.View("carp0"); v.Interface.MAC != (config.MAC{}) {
		t.Errorf("the virtual MAC has followed: %s", v.Interface.MAC)
	}

	// Deleted and made again, and on another carpdev.
	h.must("carp0 lladdr 02:00:00:00:00:01")
	h.setLinks()
	h.setLinks(own0(2))
	if e := ensured(h.last); e == nil || !e.Own || e.MAC != two {
		t.Errorf("made again: %+v", e)
	}
	other := own0(3)
	other.Name, other.Index = "em1", 3
	h.setLinks(own0(2), other)
	h.must("carp0 carpdev em1")
	if e := ensured(h.last); e == nil || !e.Own || e.MAC != other.MAC {
		t.Errorf("on another carpdev: %+v", e)
	}
	h.must("carp0 lladdr 02:00:00:00:00:09 carpdev em0")
	if e := ensured(h.last); e == nil || e.Own || e.MAC != (config.MAC{2, 0, 0, 0, 0, 9}) {
		t.Errorf("with the MAC of another: %+v", e)
	}
}

// With short intervals clients are told once more, after Linux's locktime: two fail-overs within a second would go unseen otherwise. With the virtual
// MAC, which stays, they are not.
func TestOwnMACIsToldAfterLocktime(t *testing.T) {
	for _, c := range []struct {
		words string
		want  []int // by how many adverts after the first
	}{
		{"advbase 0 advskew 25 lladdr 02:00:00:00:00:01", []int{0, 2, 12}}, {"advbase 0 advskew 128 lladdr 02:00:00:00:00:01", []int{0, 2, 3}},
		{"advbase 1 lladdr 02:00:00:00:00:01", []int{0, 2}}, {"advbase 2 lladdr 02:00:00:00:00:01", []int{0, 2}}, {"advbase 0 advskew 25", []int{0, 2}},
	} {
		h := newHost(t, own0(1))
		h.must("carp0 create carpdev em0 vhid 1 " + c.words + " alias 192.168.1.10/24")
		adverts := 0
		var told []int
		h.must("carp0 state master")
		look := func(fs []Effect) {
			for _, f := range fs {
				switch f.(type) {
				case *SendAdvert:
					adverts++
				case *Announce:
					told = append(told, adverts-1)
				}
			}
		}
		look(h.last)
		look(h.wait(5 * second))
		if !slices.Equal(told, c.want) {
			t.Errorf("%s: told after adverts %d, want %d", c.words, told, c.want)
		}
	}
}

// A master that gives way to one whom it has just heard lets itself be heard, so that the winner tells its clients; with the virtual MAC nobody needs it.
func TestOwnMACIsHeardBeforeItYields(t *testing.T) {
	for lladdr, want := range map[string]string{
		"lladdr 02:00:00:00:00:01": "advert 1/100/0, quiet, MASTER>BACKUP",
		"":                         "quiet, MASTER>BACKUP",
	} {
		h := newHost(t, own0(1))
		h.must("carp0 create carpdev em0 vhid 1 advskew 100 " + lladdr + " alias 192.168.1.10/24")
		h.must("carp0 state master")
		h.wait(5 * second)
		h.hear(peer{base: 1, skew: 200, addrs: []string{"192.168.1.10"}})
		h.want("carp0", Master)
		if got := brief(h.last); got != "" {
			t.Errorf("%q: a worse one: %s", lladdr, got)
		}
		h.hear(peer{base: 1, addrs: []string{"192.168.1.10"}})
		if got := brief(h.last); got != want {
			t.Errorf("%q: %s, want %s", lladdr, got, want)
		}
	}
}
