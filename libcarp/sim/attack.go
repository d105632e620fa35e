package sim

import (
	"net/netip"

	"carp/libcarp/wire"
)

// Somebody without the key, who hears everything and sends what he recorded, with what the HMAC does not cover as he likes.

// What an attack does besides sending what was recorded, in a fault's N.
const (
	Alters     = 1 << iota // everything outside the HMAC
	Interferes             // delays and drops live packets
	Late                   // hears nothing before the attack begins
	Flattens               // what he alters says advbase, advskew and demote 0: nobody is faster
)

// A tape is what the attacker recorded: the first packets, and the last.
type tape struct {
	first, last []recording
	n           int
	sent        uint64 // by the attacker
}

type recording struct {
	packet [96]byte
	size   int
	lan    int
	at     int64
}

// tapeMax is how many of each there are.
const tapeMax = 128

func (t *tape) record(now int64, lan int, packet []byte) {
	var r recording
	r.size, r.lan, r.at = copy(r.packet[:], packet), lan, now
	switch {
	case len(t.first) < tapeMax:
		t.first = append(t.first, r)
	case len(t.last) < tapeMax:
		t.last = append(t.last, r)
	default:
		t.last[t.n%tapeMax] = r
		t.n++
	}
}

// attackPeriod is the least time between two packets of an attack of that length: a thousand a second, and not more than 400 in all.
func (f *Fault) attackPeriod() int64 { return max(f.For/400, millisecond) }

// harmless reports whether an attack must not change anything: the hosts are judged together while it lasts.
//
// It must not with net.inet.carp.replay 1 while he sends what he recorded, and with 2 whatever he sends, if the hosts have heard what he has. An attacker
// who hears what they do not (a partition, a host that was down) can pass on what is new to them; what he delays or drops is his to keep.
func (s *Scenario) harmless(f *Fault) bool {
	return s.Attentive && f.N&Interferes == 0 && (s.Judged || s.Replay == 2 || s.Replay == 1 && f.N&Alters == 0)
}

// attack sends one packet and waits for the next time.
func (w *World) attack(n int) {
	f := &w.scenario.Faults[n]
	if w.now >= f.At+f.For {
		return
	}
	period := f.attackPeriod()
	w.push(w.now+period+w.random.below(period*w.random.below(4)+1), attackGoesOn, int32(n), 0, 0)

	t := &w.tape
	var r *recording
	switch from := t.last; {
	case len(t.first) == 0:
		return
	case len(from) == 0 || w.random.chance(20):
		r = &t.first[w.random.below(int64(len(t.first)))]
	case w.random.chance(30):
		r = &from[(t.n+tapeMax-1)%len(from)]
	default:
		r = &from[w.random.below(int64(len(from)))]
	}
	// Whoever delays nothing lets every host hear the packet before his copy of it.
	if f.N&Late != 0 && r.at < f.At || f.N&Interferes == 0 && w.now-r.at <= 60*millisecond {
		return
	}
	lan := r.lan
	if w.random.chance(20) {
		lan = int(w.random.below(int64(len(w.lans))))
	}
	i := w.newFrame(lan, r.packet[:r.size])
	g := &w.frames[i]
	g.from, g.sent, g.step, g.damaged, g.attack = -1, w.now, 0, false, true
	if w.random.chance(50) {
		w.disguise(g, r)
	}
	if f.N&Alters != 0 {
		w.alter(g, f.N&Flattens != 0)
	}
	t.sent++
	w.Events++
	for _, to := range w.lans[lan].members {
		w.hold(i)
		w.push(w.now+leastDelay+w.random.below(w.lans[lan].delay), deliver, to, i, 0)
	}
	w.release(i)
}

// disguise gives a packet another source address: a station's, the highest, or any.
func (w *World) disguise(f *frame, r *recording) {
	at, size := 12, 4
	if f.six() {
		at, size = 8, 16
	}
	src := f.buf[at : at+size]
	switch w.random.below(3) {
	case 0:
		h := &w.scenario.Hosts[w.random.below(int64(len(w.scenario.Hosts)))]
		a := netip.AddrFrom4([4]byte{10, byte(r.lan), h.Addr[2], h.Addr[3]})
		if f.six() {
			a = linkLocal(h.Addr)
		}
		copy(src, a.AsSlice())
	case 1:
		src[size-1], src[size-2] = 254, 255
	default:
		src[size-1] = byte(w.random.below(256))
	}
}

// alter changes what the HMAC does not cover, and makes the checksum right.
func (w *World) alter(f *frame, flat bool) {
	b := f.buf[f.size-wire.Size : f.size]
	fields := w.random.below(64)
	if flat {
		b[2], b[4], b[5], fields = 0, 0, 0, 0
	}
	for n, at := range []int{2, 4, 5, 3} { // advskew, demote, advbase, authlen
		if fields>>n&1 != 0 {
			b[at] = byte(pick(w.random, 0, 0, 1, 255, w.random.below(256)))
		}
	}
	if fields>>4 == 3 { // the type
		b[0] = b[0]&0xf0 | byte(w.random.below(16))
	}
	b[6], b[7] = 0, 0
	sum := wire.Checksum(b)
	b[6], b[7] = byte(sum>>8), byte(sum)
}

// interfered reports what the attacker does to a live packet: drop it, or let it come at another time.
func (w *World) interfered(l *lan, to, i int32) bool {
	switch {
	case l.interferes == 0:
		return false
	case w.random.chance(50): // dropped
	case w.random.chance(50):
		w.hold(i)
		w.push(min(w.now+w.random.below(3*second), l.interferes-1), deliver, to, i, 0)
	default:
		return false
	}
	return true
}

// attacked looks at a packet of the attacker that was accepted.
func (h *host) attacked(c *carp, counter uint64, sealed bool) {
	_, known := c.all[counter]
	switch replay := h.w.scenario.Replay; {
	case replay >= 1 && sealed && known:
		h.w.fail("a recorded advert is refused", "host %d %s: %#x was heard before", h.id, c.name, counter)
	case replay == 2 && !sealed:
		h.w.fail("an altered advert is refused", "host %d %s: %#x", h.id, c.name, counter)
	case h.w.scenario.Attentive && replay >= 1 && sealed:
		h.w.fail("a recorded advert is refused", "host %d %s: %#x was never heard", h.id, c.name, counter)
	}
}
