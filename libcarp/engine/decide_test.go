package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"carp/libcarp/config"
)

// The rules of carp_proto_input_c, written down a second time in another form and compared over all interesting claims.
func TestDecide(t *testing.T) {
	seconds := func(c terms) float64 { return float64(c.advbase) + float64(c.advskew)/256 }
	var claims []terms
	for _, b := range []uint8{0, 1, 2, 3, 4, 7, 85, 86, 254, 255} {
		for _, s := range []uint8{0, 1, 25, 100, 128, 253, 254, 255} {
			for _, d := range []uint8{0, 1, 2, 128, 255} {
				claims = append(claims, terms{b, s, d})
			}
		}
	}
	for _, own := range claims {
		if own.advbase == 255 || own.advskew == 255 {
			continue // cannot be configured
		}
		S, D := seconds(own), own.demote
		for _, peer := range claims {
			C, d := seconds(peer), peer.demote
			bowOut := peer.advbase == 255 && peer.advskew == 255
			for _, preempt := range []bool{false, true} {
				take := bowOut || preempt && S < C && d >= D || d > D || own.advbase > 0 && 3*float64(own.advbase)+float64(own.advskew)/256 < C
				in, why := decideBackup(own, peer, preempt)
				if (in == takeOver) != take || in != takeOver && in != heard || take != (why != "") {
					t.Fatalf("BACKUP %v hears %v, preempt %t: input %d (%s), want take over: %t", own, peer, preempt, in, why, take)
				}
			}
			in, tied, _ := decideMaster(own, peer)
			wantTie := !bowOut && S == C && d == D
			wantYield := !bowOut && !wantTie && (S >= C && d <= D || d < D)
			if (in == yield) != wantYield || in != yield && in != heard || tied != wantTie {
				t.Fatalf("MASTER %v hears %v: input %d, tied %t; want yield %t, tied %t", own, peer, in, tied, wantYield, wantTie)
			}
		}
	}
}

// The table of who gives way, row by row, for every small claim. It knows only who is faster and who is more demoted; bow-outs
// are in TestBowOut, whose advbase of 255 is not small.
func TestDecisionTable(t *testing.T) {
	const stay, give, tie = "stay", "yield", "tie"
	const wait, take = "restart the timer", "take over"
	// the peer's demote against ours: lower, equal, higher
	master := [3][3]string{
		{give, give, stay}, // the peer is faster
		{give, tie, stay},  // equal: OpenBSD yields, we count first
		{give, stay, stay}, // slower
	}
	backup := [2][3][3]string{ // unless the peer is so slow that it would time out (rule 3)
		{
			{wait, wait, take},
			{wait, wait, take},
			{wait, wait, take},
		},
		{ // with preempt
			{wait, wait, take},
			{wait, wait, take},
			{wait, take, take},
		},
	}
	words := [inputs]string{heard: wait, takeOver: take, yield: give}
	compare := func(ours, theirs int) int { // 0: theirs is lower, 1: equal, 2: higher
		switch {
		case theirs < ours:
			return 0
		case theirs > ours:
			return 2
		}
		return 1
	}
	var claims []terms
	for b := uint8(0); b <= 9; b++ {
		for s := uint8(0); s <= 3; s++ {
			for d := uint8(0); d <= 3; d++ {
				claims = append(claims, terms{b, s, d})
			}
		}
	}
	for _, own := range claims {
		for _, peer := range claims {
			interval := func(c terms) int { return 256*int(c.advbase) + int(c.advskew) }
			speed := compare(interval(own), interval(peer))
			demote := compare(int(own.demote), int(peer.demote))

			in, tied, why := decideMaster(own, peer)
			got := words[in]
			if tied {
				got = tie
			}
			if in == heard && !tied {
				got = stay
			}
			if want := master[speed][demote]; got != want || tied && in != heard || (why == "") != (want == stay) {
				t.Fatalf("MASTER %v hears %v: %s (%s), want %s", own, peer, got, why, want)
			}
			for preempt := range backup {
				want := backup[preempt][speed][demote]
				if own.advbase > 0 && 3*256*int(own.advbase)+int(own.advskew) < interval(peer) {
					want = take
				}
				if in, why := decideBackup(own, peer, preempt == 1); words[in] != want {
					t.Fatalf("BACKUP %v hears %v, preempt %d: %s (%s), want %s", own, peer, preempt, words[in], why, want)
				}
			}
		}
	}
}

// The same table with real packets.
func TestTruthTable(t *testing.T) {
	for _, c := range []struct {
		state         State
		skew          int // ours
		demote        int // ours
		peer          peer
		preempt       int
		want          State
		restartsTimer bool
	}{
		{Master, 100, 1, peer{base: 1, skew: 50, demote: 1}, 0, Backup, true},
		{Master, 100, 1, peer{base: 1, skew: 50, demote: 0}, 0, Backup, true},
		{Master, 100, 1, peer{base: 1, skew: 50, demote: 2}, 0, Master, false},
		{Master, 100, 1, peer{base: 1, skew: 150, demote: 0}, 0, Backup, true},
		{Master, 100, 1, peer{base: 1, skew: 150, demote: 1}, 0, Master, false},
		{Master, 100, 1, peer{base: 1, skew: 150, demote: 2}, 0, Master, false},
		{Backup, 100, 1, peer{base: 1, skew: 150, demote: 1}, 1, Master, false},
		{Backup, 100, 1, peer{base: 1, skew: 150, demote: 1}, -1, Master, false}, // any int but 0
		{Backup, 100, 1, peer{base: 1, skew: 150, demote: 1}, 2, Master, false},
		{Backup, 100, 1, peer{base: 1, skew: 150, demote: 1}, 0, Backup, true},
		{Backup, 100, 1, peer{base: 1, skew: 50, demote: 2}, 0, Master, false},
		{Backup, 100, 1, peer{base: 1, skew: 150, demote: 0}, 1, Backup, true},
		{Backup, 100, 1, peer{base: 1, skew: 100, demote: 1}, 1, Backup, true},
		{Backup, 100, 1, peer{base: 1, skew: 50, demote: 0}, 1, Backup, true},
		{Backup, 0, 0, peer{base: 4}, 0, Master, false}, // 3·1 < 4: would time out anyway
		{Backup, 0, 0, peer{base: 3}, 0, Backup, true},  // 3·1 = 3
		{Backup, 1, 0, peer{base: 3}, 0, Backup, true},  // 3·1 + 1/256 > 3
		{Backup, 0, 0, peer{base: 3, skew: 1}, 0, Master, false},
	} {
		t.Run(fmt.Sprintf("%s %d/%d hears %d/%d/%d preempt %d", c.state, c.skew, c.demote, c.peer.base, c.peer.skew, c.peer.demote, c.preempt), func(t *testing.T) {
			words := fmt.Sprintf("advskew %d", c.skew)
			var h *host
			if c.state == Master {
				h = newMaster(t, words)
			} else {
				h = newBackup(t, words)
			}
			h.sysctl("preempt", c.preempt)
			if c.demote > 0 {
				if err := h.demote(config.Demote, c.demote); err != nil {
					t.Fatal(err)
				}
			}
			h.wait(second / 4)
			before := h.e.carps["carp0"].nodes[0].deadline
			h.hear(c.peer)
			h.want("carp0", c.want)
			after := h.e.carps["carp0"].nodes[0].deadline
			if restarted := c.want == Backup && after == h.now+3*h.e.interval(h.e.carps["carp0"].nodes[0]) && after != before; restarted != c.restartsTimer {
				t.Errorf("master-down timer restarted: %t, want %t", restarted, c.restartsTimer)
			}
		})
	}
}

func TestBowOut(t *testing.T) {
	// Heard by a BACKUP, whatever its own advbase, preempt and demotion.
	for _, words := range []string{"advbase 1", "advbase 86", "advbase 254 advskew 254", "advbase 0 advskew 25", "advbase 0 advskew 0"} {
		for _, demote := range []int{0, 1} {
			h := newBackup(t, words)
			if demote > 0 {
				if err := h.demote(config.Demote, demote); err != nil {
					t.Fatal(err)
				}
			}
			if got := brief(h.hear(peer{base: 255, skew: 255})); h.state("carp0") != Master {
				t.Errorf("%s, demote %d: %s", words, demote, got)
			}
		}
	}
	// Heard by a MASTER, demoted or not: it stays, and tells clients where the address is with its next advert.
	h := newMaster(t, "")
	h.wait(10 * second)
	if err := h.demote(config.Demote, 1); err != nil {
		t.Fatal(err)
	}
	h.hear(peer{base: 255, skew: 255})
	h.want("carp0", Master)
	if got, want := brief(h.wait(second)), "advert 1/0/1, announce [192.168.1.10]"; got != want {
		t.Errorf("after a rival's bow-out: %s, want %s", got, want)
	}
	if got, want := brief(h.wait(second)), "advert 1/0/1"; got != want {
		t.Errorf("the next: %s, want %s", got, want)
	}
}

func TestTies(t *testing.T) {
	low, high := "192.168.1.1", "192.168.1.200" // ours is .100
	for _, c := range []struct {
		name string
		src  string
		seal bool
		stay int // adverts that are borne
	}{
		{"sealed from a higher address", high, true, 0},
		{"sealed from our own address", "192.168.1.100", true, 0},
		{"sealed from a lower address", low, true, 7},
		{"unsealed from a higher address", high, false, 2},
		{"unsealed from a lower address", low, false, 2},
	} {
		h := newHost(t, em0(100))
		h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24")
		h.wait(3 * second)
		for i := 0; i < c.stay; i++ {
			h.hear(peer{base: 1, src: c.src, sealed: c.seal})
			if h.state("carp0") != Master {
				t.Fatalf("%s: yields at advert %d, want %d", c.name, i+1, c.stay+1)
			}
		}
		h.hear(peer{base: 1, src: c.src, sealed: c.seal})
		if h.state("carp0") != Backup {
			t.Errorf("%s: still MASTER after %d", c.name, c.stay+1)
		}
	}
}

// What breaks a row of tied adverts: another source, another kind, an advert that is no tie, and the end of being master.
func TestTieRow(t *testing.T) {
	tied := peer{base: 1, src: "192.168.1.200"}
	for name, between := range map[string]peer{
		"another source": {base: 1, src: "192.168.1.201"},
		"sealed":         {base: 1, src: "192.168.1.0", sealed: true}, // lower than ours, so that we stay
		"slower":         {base: 1, skew: 1, src: "192.168.1.200"},
		"bow-out":        {base: 255, skew: 255, src: "192.168.1.200"},
	} {
		h := newMaster(t, "")
		for _, p := range []peer{tied, tied, between, tied, tied} {
			h.hear(p)
			if h.state("carp0") != Master {
				t.Errorf("%s does not break the row", name)
			}
		}
	}
	h := newMaster(t, "")
	h.hear(tied)
	h.hear(tied)
	h.must("carp0 down")
	h.must("carp0 up")
	h.wait(3 * second)
	h.want("carp0", Master)
	h.hear(tied)
	h.want("carp0", Master)
}

func TestTieWithoutAnAddress(t *testing.T) {
	var tt tie
	if !tt.yields(netip.IPv4Unspecified(), netip.MustParseAddr("10.0.0.1"), true) {
		t.Error("0.0.0.0 stays")
	}
}
