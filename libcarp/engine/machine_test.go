package engine

import (
	"testing"

	"carp/libcarp/config"
)

// The whole table: every state and input, what follows, what is done in which order, and what is waited for then. An input that is not
// listed is ignored on purpose: nothing happens and the deadline stays.
func TestMachine(t *testing.T) {
	const (
		become = "answer, advert 1/0/0, announce [192.168.1.10], BACKUP>MASTER"
		down   = 3 * second
		keep   = Instant(-1) // the deadline that there was
		none   = Instant(0)
		lateBy = second / 2
	)
	type cell struct {
		next    State
		effects string
		waits   Instant // from now
	}
	want := map[State]map[input]cell{
		Init: {
			run:   {Backup, "INIT>BACKUP", down},
			timer: {Init, "", keep},
		},
		Backup: {
			halt:     {Init, "BACKUP>INIT", none},
			timer:    {Master, become, second},
			late:     {Backup, "", lateBy},
			heard:    {Backup, "", down},
			takeOver: {Master, become, second},
			yield:    {Backup, "", down},
		},
		Master: {
			halt:  {Init, "quiet, MASTER>INIT", none},
			timer: {Master, "advert 1/0/0", second},
			late:  {Backup, "quiet, MASTER>BACKUP", down},
			heard: {Master, "", keep},
			yield: {Backup, "quiet, MASTER>BACKUP", down},
		},
	}
	for s := State(0); s < states; s++ {
		for in := input(0); in < inputs; in++ {
			r := machine[s][in]
			c, listed := want[s][in]
			if listed != (r.do != nil) {
				t.Errorf("%s, input %d: acted upon: %t, want %t", s, in, r.do != nil, listed)
			}
			if r.next != c.next { // of what is ignored: none
				t.Errorf("%s, input %d: %s, want %s", s, in, r.next, c.next)
			}
			if !listed {
				c = cell{s, "", keep}
			}

			h := newBackup(t, "")
			h.wait(second / 4)
			n := h.e.carps["carp0"].nodes[0]
			deadline := n.deadline
			n.state, n.late = s, lateBy
			h.e.effects = nil
			h.e.feed(n, in, h.now, "test")
			if n.state != c.next {
				t.Errorf("%s, input %d, run: %s, want %s", s, in, n.state, c.next)
			}
			if got := brief(h.e.effects); got != c.effects {
				t.Errorf("%s, input %d: %s\nwant %s", s, in, got, c.effects)
			}
			switch c.waits {
			case keep:
			case none:
				deadline = 0
			default:
				deadline = h.now + c.waits
			}
			if n.deadline != deadline {
				t.Errorf("%s, input %d: deadline %d, want %d", s, in, n.deadline, deadline)
			}
			if n.rival != (s == Master && in == heard) {
				t.Errorf("%s, input %d: announces again: %t", s, in, n.rival)
			}
		}
	}
}

func TestOrderOfEffects(t *testing.T) {
	h := newBackup(t, "advskew 100")
	got := brief(h.wait(3*356*second/256 + 1))
	// address, advert, announcement, event (ip_carp.c: carp_master_down)
	if want := "answer, advert 1/100/0, announce [192.168.1.10], BACKUP>MASTER"; got != want {
		t.Errorf("becoming master: %s\nwant %s", got, want)
	}
	if got, want := brief(h.hear(peer{base: 1})), "quiet, MASTER>BACKUP"; got != want {
		t.Errorf("yielding: %s\nwant %s", got, want)
	}
}

func TestMasterDownTime(t *testing.T) {
	for _, c := range []struct {
		words string
		after Instant // from becoming BACKUP, or from the last advert
	}{
		{"advbase 1 advskew 0", 3 * second},
		{"advbase 1 advskew 100", 3 * 356 * second / 256},
		{"advbase 0 advskew 25", 3 * 25 * second / 256},
		{"advbase 0 advskew 0", 3 * second / 256},
		{"advbase 254 advskew 254", 3 * (254*256 + 254) * second / 256},
	} {
		h := newBackup(t, c.words)
		h.wait(c.after - 1)
		h.want("carp0", Backup)
		h.hear(peer{base: 0, skew: 0, demote: 0})
		h.want("carp0", Backup)
		h.wait(c.after - 1)
		h.want("carp0", Backup)
		h.wait(1)
		h.want("carp0", Master)
	}
}

func TestAdvertsAndAnnouncements(t *testing.T) {
	h := newBackup(t, "advskew 128")
	h.wait(3*384*second/256 - 1)
	at := map[string][]Instant{}
	for i := 0; i < 5; i++ {
		h.now = h.e.Deadline()
		for _, f := range h.step(&Tick{}) {
			switch f.(type) {
			case *SendAdvert:
				at["advert"] = append(at["advert"], h.now)
			case *Announce:
				at["announce"] = append(at["announce"], h.now)
			}
		}
	}
	start := at["advert"][0]
	for i, a := range at["advert"] {
		if want := start + Instant(i)*3*second/2; a != want {
			t.Errorf("advert %d after %d, want %d", i, a-start, want-start)
		}
	}
	if an := at["announce"]; len(at["advert"]) != 5 || len(an) != 2 || an[0] != start || an[1] != start+3*second {
		t.Errorf("%d adverts, announcements %v; want 5, at once and with the second advert after", len(at["advert"]), an)
	}
}

// A master that wakes more than two intervals after its last advert must not go on: others have taken over, or are about to.
func TestLateMaster(t *testing.T) {
	for _, c := range []struct {
		late Instant
		want State
	}{{0, Master}, {second, Master}, {second + 1, Backup}, {3600 * second, Backup}} {
		h := newMaster(t, "")
		h.now = h.e.Deadline() + c.late
		h.step(&Tick{})
		if got := h.state("carp0"); got != c.want {
			t.Errorf("%d ns late: %s, want %s", c.late, got, c.want)
		}
	}
}

// Whatever the event is that a master wakes to, it gives way before it advertises or announces.
func TestLateMasterIsSilent(t *testing.T) {
	em1 := em0(2)
	em1.Index, em1.Name = 3, "em1"
	down := em1
	down.Running = false
	events := map[string]func(*host){
		"a tick": func(h *host) { h.step(&Tick{}) },
		"demoted by hand": func(h *host) {
			if err := h.demote(config.Demote, 1); err != nil {
				t.Fatal(err)
			}
		},
		"an address":                  func(h *host) { h.must("carp0 alias 192.168.1.11/24") },
		"another carpdev's lost link": func(h *host) { h.setLinks(em0(1), down) },
	}
	for name, event := range events {
		h := newMaster(t, "")
		h.setLinks(em0(1), em1)
		h.must("carp1 create carpdev em1 vhid 2 alias 192.168.1.20/24")
		h.wait(10 * second)
		h.now += 10 * second // it sleeps
		event(h)
		h.want("carp0", Backup)
		for _, f := range h.last {
			switch f := f.(type) {
			case *SendAdvert, *Announce:
				t.Errorf("%s: %T", name, f)
			}
		}
	}
}

// A backup whose timer runs late has slept: it gives the master as much time again to be heard, at most an interval, and once.
func TestLateBackup(t *testing.T) {
	const interval = second
	for _, c := range []struct{ late, more Instant }{
		{tolerance, 0},
		{tolerance + 1, tolerance + 1},
		{interval / 2, interval / 2},
		{3600 * second, interval},
	} {
		h := newBackup(t, "")
		h.now = h.e.Deadline() + c.late
		h.step(&Tick{})
		if c.more > 0 {
			h.want("carp0", Backup)
			h.now += c.more - 1
			h.step(&Tick{})
			h.want("carp0", Backup)
			h.now += tolerance + 2 // late again: whose timers always are takes over all the same
			h.step(&Tick{})
		}
		h.want("carp0", Master)
	}

	h := newBackup(t, "")
	h.now = h.e.Deadline() + second
	h.hear(peer{base: 1}) // it was in the queue
	h.wait(3*interval - 1)
	h.want("carp0", Backup)
	h.now += second
	h.step(&Tick{})
	h.want("carp0", Backup) // late, for the first time since a master was heard
	h.wait(interval)
	h.want("carp0", Master)
}

func TestOddTimer(t *testing.T) {
	h := newBackup(t, "")
	h.must("carp0 down")
	h.log = nil
	n := h.e.carps["carp0"].nodes[0]
	h.e.effects = nil
	h.e.feed(n, timer, h.now, "")
	if len(h.e.effects) != 1 || h.e.effects[0].(*Log).Text != "carp0: master_down event in INIT state" {
		t.Errorf("effects %v", h.e.effects)
	}
}
