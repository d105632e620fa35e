package sim

import (
	"fmt"
	"net/netip"

	"carp/libcarp/wire"
)

// Times in a world are nanoseconds since it began.
const (
	microsecond int64 = 1e3
	millisecond int64 = 1e6
	second      int64 = 1e9
)

// A Violation is a rule that was broken.
type Violation struct {
	At   int64 // nanoseconds since the world began
	Rule string
	What string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%d.%06d s: %s: %s", v.At/second, v.At%second/microsecond, v.Rule, v.What)
}

// A World is a scenario that runs.
type World struct {
	Events uint64 // adverts sent and delivered, outcomes of sends, ticks
	Trace  func(at int64, line string)

	scenario *Scenario
	random   random
	now      int64
	seq      uint64
	queue    queue
	hash     uint64
	failure  *Violation

	stations []station
	lans     []lan
	vhosts   []vhost
	frames   []frame
	free     []int32

	active     []int // faults in force, by their place in the scenario's list
	noise      int   // how many of them make what is heard a matter of chance
	quietSince int64 // when anything changed last of what the hosts are judged by
	lastFault  int64 // when the last fault began or ended

	mischief   Mischief
	accepted   uint64 // adverts accepted by our hosts
	refused    uint64 // first-delivered adverts of live hosts that were refused for their clocks
	coincident uint64 // those that had a counter of the receiver's
	crowded    uint64 // those that were refused in a crowd
	tape       tape
	recording  bool // there is an attacker
	agree      bool // the clocks of all hosts are close to each other, and stay so
}

// A station is a host of ours or a peer.
type station struct {
	host *host
	peer *peer
}

// A frame is an IP packet on a LAN. It is shared by those that it reaches.
type frame struct {
	buf  [96]byte
	size int
	lan  int
	refs int

	from    int32 // the station that sent it
	sent    int64
	step    uint32 // of its track
	damaged bool
	attack  bool // sent by the attacker
}

// parts returns what the IP header says, and what follows it.
func (f *frame) parts() (src netip.Addr, ttl int, payload []byte) {
	if f.six() {
		return netip.AddrFrom16([16]byte(f.buf[8:24])), int(f.buf[7]), f.buf[wire.IPv6Header:f.size]
	}
	return netip.AddrFrom4([4]byte(f.buf[12:16])), int(f.buf[8]), f.buf[wire.IPv4Header:f.size]
}

func (f *frame) six() bool { return f.buf[0]>>4 == 6 }

// newWorld makes a world of which nothing has happened yet.
func newWorld(s *Scenario) *World {
	w := &World{scenario: s, random: newRandom(s.Seed, 2), hash: 14695981039346656037, agree: s.agreeing()}
	for n := range s.LANs {
		w.lans = append(w.lans, newLAN(n, len(s.Hosts)+len(s.Peers), s))
	}
	for n := range s.VHosts {
		w.vhosts = append(w.vhosts, newVhost(n, &s.VHosts[n]))
	}
	for n := range s.Hosts {
		w.addHost(&s.Hosts[n])
	}
	for n := range s.Peers {
		w.addPeer(&s.Peers[n])
	}
	for n := range w.vhosts {
		w.vhosts[n].prepare(w)
	}
	for n, f := range s.Faults {
		if !f.off {
			w.recording = w.recording || f.Kind == Attack
			w.push(f.At, faultBegins, int32(n), 0, 0)
			if f.For > 0 && f.For < forever {
				w.push(f.At+f.For, faultEnds, int32(n), 0, 0)
			}
		}
	}
	return w
}

func (w *World) push(at int64, k kind, who, arg int32, gen uint32) {
	w.seq++
	w.queue.push(item{at: max(at, w.now), seq: w.seq, who: who, arg: arg, gen: gen, kind: k})
}

// mix puts a word into the trace hash (FNV-1a, a word at a time).
func (w *World) mix(x uint64) { w.hash = (w.hash ^ x) * 1099511628211 }

// Hash returns the trace hash: everything that happened, in order.
func (w *World) Hash() uint64 { return w.hash }

// Now returns the time.
func (w *World) Now() int64 { return w.now }

func (w *World) fail(rule, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Violation{w.now, rule, fmt.Sprintf(format, args...)}
		w.tracef("VIOLATION %s: %s", rule, w.failure.What)
	}
}

func (w *World) tracef(format string, args ...any) {
	if w.Trace != nil {
		w.Trace(w.now, fmt.Sprintf(format, args...))
	}
}

// run lets time pass until the given time, or until a rule is broken.
func (w *World) run(until int64) {
	for len(w.queue) > 0 && w.queue[0].at <= until && w.failure == nil {
		it := w.queue.pop()
		w.now = it.at
		w.mix(uint64(it.at)<<8 ^ uint64(it.kind)<<4 ^ uint64(it.who))
		w.handle(&it)
	}
	if w.failure == nil {
		w.now = until
	}
}

func (w *World) handle(it *item) {
	switch it.kind {
	case deliver:
		w.Events++
		if s := &w.stations[it.who]; s.host != nil {
			s.host.arrive(it.arg)
		} else {
			s.peer.receive(&w.frames[it.arg])
			w.release(it.arg)
		}
	case tick:
		w.stations[it.who].host.tick(it.gen)
	case peerTimer:
		w.stations[it.who].peer.timer(it.gen)
	case handsWork:
		w.stations[it.who].host.work(it.gen)
	case retryLinks:
		w.stations[it.who].host.retry(it.gen)
	case watch:
		w.stations[it.who].host.watch(it.gen)
	case attackGoesOn:
		w.attack(int(it.who))
	case audit:
		v := &w.vhosts[it.who]
		v.audit(w)
		w.push(w.now+v.every, audit, it.who, 0, 0)
	case faultBegins:
		w.begin(int(it.who))
	case faultEnds:
		w.end(int(it.who))
	case boot, reboot:
		if s := &w.stations[it.who]; s.host != nil {
			s.host.boot(it.kind == boot)
		} else {
			s.peer.start()
		}
	}
}

// disturbed: what the hosts agree upon is judged anew from now on.
func (w *World) disturbed() {
	w.quietSince = w.now
	for n := range w.vhosts {
		w.vhosts[n].forget(w)
	}
}

// newFrame takes a frame for a packet, held once.
func (w *World) newFrame(lan int, packet []byte) int32 {
	var i int32
	if n := len(w.free); n > 0 {
		i, w.free = w.free[n-1], w.free[:n-1]
	} else {
		i = int32(len(w.frames))
		w.frames = append(w.frames, frame{})
	}
	f := &w.frames[i]
	f.size, f.lan, f.refs = copy(f.buf[:], packet), lan, 1
	return i
}

func (w *World) hold(i int32) { w.frames[i].refs++ }

func (w *World) release(i int32) {
	if f := &w.frames[i]; f.refs == 1 {
		f.refs = 0
		w.free = append(w.free, i)
	} else {
		f.refs--
	}
}

// A lan carries frames between its stations.
type lan struct {
	n       int
	members []int32
	delay   int64 // the longest, besides a little that there always is
	usual   int64

	// what is wrong with it, in percent
	loss, twice, corrupt, echo int64
	mixed                      bool  // frames may overtake each other
	interferes                 int64 // until when the attacker delays and drops; 0: he does not

	side    []uint64 // which sides of the partitions each station is on
	cut     []int8   // [from·stations+to] one-way cuts
	arrival []int64  // [from·stations+to] of the last frame
}

func newLAN(n, stations int, s *Scenario) lan {
	return lan{n: n, usual: s.Delay, delay: s.Delay, side: make([]uint64, stations), cut: make([]int8, stations*stations), arrival: make([]int64, stations*stations)}
}

const leastDelay = 20 * microsecond

// transmit carries an advert to all other stations of the LAN.
func (w *World) transmit(from int32, l *lan, packet []byte) {
	w.Events++
	w.mix(uint64(packet[len(packet)-wire.Size+2])<<16 | uint64(packet[len(packet)-wire.Size+4])<<8 | uint64(packet[len(packet)-1]))
	i := w.newFrame(l.n, packet)
	w.sign(i, from)
	if w.recording {
		w.tape.record(w.now, l.n, packet)
	}
	for _, to := range l.members {
		if to == from {
			if w.random.chance(l.echo) && w.stations[to].host != nil {
				w.carry(from, to, l, i)
			}
			continue
		}
		if l.side[from] != l.side[to] || l.cut[int(from)*len(w.stations)+int(to)] > 0 || w.random.chance(l.loss) {
			continue
		}
		if w.interfered(l, to, i) {
			continue
		}
		if w.random.chance(l.corrupt) {
			j := w.newFrame(l.n, packet)
			w.sign(j, from)
			w.damage(&w.frames[j])
			w.carry(from, to, l, j)
			w.release(j)
			continue
		}
		w.carry(from, to, l, i)
		if w.random.chance(l.twice) {
			w.carry(from, to, l, i)
		}
	}
	w.release(i)
}

// sign takes note of whose frame it is.
func (w *World) sign(i, from int32) {
	f := &w.frames[i]
	f.from, f.sent, f.step, f.damaged, f.attack = from, w.now, 0, false, false
	if h := w.stations[from].host; h != nil {
		f.step = h.track.step
	}
}

func (w *World) carry(from, to int32, l *lan, i int32) {
	at := w.now + leastDelay + w.random.below(l.delay)
	if last := &l.arrival[int(from)*len(w.stations)+int(to)]; !l.mixed {
		at = max(at, *last)
		*last = at
	}
	w.hold(i)
	w.push(at, deliver, to, i, 0)
}

// damage flips a bit or a few of the advert, cuts it short, or lowers its TTL.
func (w *World) damage(f *frame) {
	f.damaged = true
	advert := f.buf[f.size-wire.Size : f.size]
	switch w.random.below(8) {
	case 0:
		f.size -= int(1 + w.random.below(wire.Size))
	case 1:
		at := 8 // TTL
		if f.six() {
			at = 7
		}
		f.buf[at]--
	default:
		for range 1 + w.random.below(3) {
			advert[w.random.below(wire.Size)] ^= 1 << w.random.below(8)
		}
	}
}
