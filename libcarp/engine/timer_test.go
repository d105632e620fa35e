package engine

import (
	"math/rand/v2"
	"testing"
)

// check tells where the heap and its nodes disagree.
func (t timers) check(tt *testing.T, nodes []*node) {
	tt.Helper()
	there := map[*node]bool{}
	for i, n := range t {
		if n.slot != i || there[n] {
			tt.Fatalf("node %d stands in slot %d and says %d", n.seq, i, n.slot)
		}
		there[n] = true
		if n.deadline != 0 && n.due > n.deadline {
			tt.Fatalf("node %d stands at %d, too late for %d", n.seq, n.due, n.deadline)
		}
		if up := (i - 1) / 2; i > 0 && t.Less(i, up) {
			tt.Fatalf("slot %d comes before slot %d", i, up)
		}
	}
	for _, n := range nodes {
		if !there[n] && (n.slot != -1 || n.deadline != 0) {
			tt.Fatalf("node %d is gone and has slot %d, deadline %d", n.seq, n.slot, n.deadline)
		}
	}
	for _, n := range t[len(t):cap(t)] {
		if n != nil {
			tt.Fatal("a node that left is still held")
		}
	}
}

// Whatever is armed, moved, disarmed and dropped: each deadline comes once, when it is due.
func TestTimers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := 0; round < 200; round++ {
		var h timers
		var nodes []*node
		want := map[*node]Instant{}
		for i := 0; i < 6; i++ {
			nodes = append(nodes, &node{slot: -1, seq: i})
		}
		now := Instant(1)
		for i := 0; i < 60; i++ {
			n := nodes[r.IntN(len(nodes))]
			switch r.IntN(6) {
			case 0:
				h.drop(n)
				delete(want, n)
				if n.slot != -1 {
					t.Fatal("dropped, and still there")
				}
			case 1: // as the engine disarms
				n.deadline = 0
				delete(want, n)
			case 2:
				now += Instant(r.IntN(10))
				for {
					n, deadline := h.next(now)
					if n == nil {
						if deadline != 0 {
							t.Fatalf("nobody, due at %d", deadline)
						}
						break
					}
					if want[n] != deadline || deadline == 0 || deadline > now || n.deadline != 0 || n.slot != -1 {
						t.Fatalf("node %d with deadline %d at %d, want %d", n.seq, deadline, now, want[n])
					}
					delete(want, n)
					h.check(t, nodes)
				}
				for n, at := range want {
					if at <= now {
						t.Fatalf("node %d was to come at %d, now is %d", n.seq, at, now)
					}
				}
			default:
				at, due, there := now+1+Instant(r.IntN(12)), n.due, n.slot >= 0
				h.arm(n, at)
				want[n] = at
				if there && at > due && n.due != due {
					t.Fatal("a deadline that moves back moves its node")
				}
			}
			h.check(t, nodes)
		}
	}
}

// Equal deadlines come in the order of creation, so that every run is alike.
func TestTimersInOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		var h timers
		for _, seq := range order {
			h.arm(&node{slot: -1, seq: seq}, 5)
		}
		h.arm(&node{slot: -1, seq: 9}, 4)
		for _, want := range []int{9, 0, 1, 2, 3} {
			if n, _ := h.next(5); n == nil || n.seq != want {
				t.Fatalf("%v: %v, want node %d", order, n, want)
			}
		}
	}
	same := &node{due: 5, seq: 1}
	if (timers{same, same}).Less(0, 1) {
		t.Error("a node comes before itself")
	}
}
