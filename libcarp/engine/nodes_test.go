package engine

import (
	"testing"

	"carp/libcarp/config"
)

// What can be seen of a virtual host follows what happens to it.
func TestNodes(t *testing.T) {
	h := newMaster(t, "advbase 2 advskew 50")
	start := h.e.Nodes(nil)[0]
	want := NodeView{
		Carp: "carp0", VHID: 1, State: Master, Deadline: h.e.carps["carp0"].nodes[0].deadline, Running: true, Advbase: 2, Advskew: 50,
		Newest: start.Newest, Sent: start.Sent,
	}
	if start != want || start.Newest == 0 || start.Sent == 0 {
		t.Errorf("%+v, want %+v", start, want)
	}
	for _, c := range []struct {
		name string
		do   func()
		want func(*NodeView)
	}{
		{"sends failed", func() {
			for range sendErrorLimit {
				h.step(&Sent{Carp: "carp0", IPv6: true, Errno: config.EIO})
			}
			h.step(&Sent{Carp: "carp0", Errno: config.EIO})
		}, func(v *NodeView) {
			v.SendErrors, v.Failing, v.Demote, v.Sent = [2]int{1, sendErrorLimit}, [2]bool{false, true}, 1, v.Sent+1
		}},
		{"another address", func() { h.must("carp0 alias 192.168.1.11/24") }, func(v *NodeView) { v.OldKeys = true }},
		{"a worse master", func() { h.hear(peer{base: 2, skew: 60, demote: 1}) }, func(v *NodeView) { v.Rival = true }},
		{"a tie", func() { h.hear(peer{base: 2, skew: 50, demote: 1}) }, func(v *NodeView) { v.Ties = 1 }},
		{"a better master, with a seal", func() { h.hear(peer{base: 1, sealed: true}) }, func(v *NodeView) {
			v.State, v.Ties, v.Rival, v.Accepted = Backup, 0, false, 1
		}},
		{"it was late", func() {
			h.now = h.e.carps["carp0"].nodes[0].deadline + second
			h.step(&Tick{})
		}, func(v *NodeView) { v.Deferred = true }},
		{"master", func() { h.must("carp0 state master") }, func(v *NodeView) { v.State, v.Deferred, v.Announcements, v.Sent = Master, false, 2, v.Sent+1 }},
	} {
		before := h.e.Nodes(nil)
		c.do()
		got := h.e.Nodes(before)[1] // behind what was there
		want := before[0]
		c.want(&want)
		want.Deadline, want.Newest = got.Deadline, got.Newest
		if got != want {
			t.Errorf("%s: %+v\nwant %+v", c.name, got, want)
		}
	}
	down := em0(1)
	down.Running = false
	h.setLinks(down)
	if got := h.e.Nodes(nil)[0]; !got.Suppressed || got.Running || got.State != Init || got.Failing != [2]bool{} || got.Demote != 1 {
		t.Errorf("without a link: %+v", got)
	}
}
