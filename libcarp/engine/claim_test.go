package engine

import (
	"net/netip"
	"strings"
	"testing"

	"carp/libcarp/config"
)

// claims returns the claims among effects.
func claims(fs []Effect) (found []Claim) {
	for _, f := range fs {
		if f, ok := f.(*Claim); ok {
			found = append(found, *f)
		}
	}
	return found
}

// A master claims once, with its second announcement; with the carpdev's own MAC never.
func TestClaim(t *testing.T) {
	for _, lladdr := range []string{"", "lladdr 02:00:00:00:00:01", "lladdr 02:00:00:00:00:77"} {
		for addr, want := range map[string]netip.Addr{"192.168.1.10/24": netip.MustParseAddr("192.168.1.10"), "2001:db8::10/64": {}} {
			h := newHost(t, own0(1))
			h.must("carp0 create carpdev em0 vhid 1 " + lladdr + " alias " + addr)
			if n := len(claims(h.wait(3*second + second/2))); n != 0 || h.state("carp0") != Master {
				t.Errorf("%s %s: %d claims of a new master", lladdr, addr, n)
			}
			got := claims(h.wait(100 * second))
			if strings.HasSuffix(lladdr, "01") {
				if len(got) != 0 {
					t.Errorf("%s: %+v", lladdr, got)
				}
				continue
			}
			if len(got) != 1 || got[0] != (Claim{Carp: "carp0", Carpdev: 2, VHID: 1, Addr: want}) {
				t.Errorf("%s %s: %+v", lladdr, addr, got)
			}
		}
	}
}

// A master that gets a claim, and no adverts, says so once and claims in its turn; again only when an advert has arrived meanwhile.
func TestClaimed(t *testing.T) {
	from := config.MAC{2, 0, 0, 0, 0, 2}
	ev := &Claimed{Carpdev: 2, VHID: 1, From: from}
	const text = "carp0: 02:00:00:00:00:02 is master too, its adverts from 00:00:5e:00:01:01 do not arrive, see lladdr"
	h := newMaster(t, "")
	said := func(what string, want int) {
		t.Helper()
		h.log = nil
		fs := h.step(ev)
		got := 0
		for _, line := range h.log {
			if line == text {
				got++
			}
		}
		if got != want || len(claims(fs)) != want {
			t.Errorf("%s: said %d times, %d claims; log %q", what, got, len(claims(fs)), h.log)
		}
	}
	said("the first", 1)
	said("the second", 0)
	h.hear(peer{base: 2})
	said("an advert has arrived", 0)
	h.wait(3 * second)
	said("three intervals later", 0)
	h.wait(1)
	said("and after that", 1)
	h.wait(4 * second)
	h.hear(peer{base: 2, pass: "another"})
	h.e.carps["carp0"].nodes[0].unheard = false
	said("a wrong hash has arrived", 0)
	h.wait(4 * second)
	h.must("carp0 state backup")
	said("a backup", 0)
	ev = &Claimed{Carpdev: 2, VHID: 7, From: from}
	said("of another vhid", 0)

	ev.VHID = 1
	h = &host{t: t, e: New(config.NewMachine(), zeros{}, nil), now: second} // since the machine was booted
	h.setLinks(em0(1))
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
	h.must("carp0 state master")
	said("right after booting", 1)
}
