package sim

import (
	"encoding/binary"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

// What the seal may cost, and what not: a live host of ours is refused only while its clock is behind ours and it has not heard us.

// A track is what the world knows of the running clock of an engine, told a second time (engine/clock.go): where it stands, in milliseconds since
// wire.SealEpoch less the world's own time.
type track struct {
	ahead int64
	step  uint32 // counts when it may have gone back
}

// allowance is how far, in milliseconds, the newest of a host may be ahead of a counter that it accepts, less what the random part of the
// counters and the drift of the clocks take.
const allowance = 900

// wallAhead returns where the wall clock alone would put the running clock, as a track says it; ok is false where it is not believed.
func (h *host) wallAhead() (ahead int64, ok bool) {
	t := h.clock().Wall - wire.SealEpoch
	return t - h.w.now/millisecond, t >= 0 && t <= 27*365*86400*1000
}

// tell raises the track to the wall clock, as every event does with the running clock.
func (h *host) tell() {
	if ahead, ok := h.wallAhead(); ok {
		h.track.ahead = max(h.track.ahead, ahead)
	}
}

// begins is told that the engine is a new one: its running clock begins at the wall clock.
func (h *host) begins() {
	before := h.track.ahead
	h.track.ahead = int64(h.local())/millisecond - h.w.now/millisecond
	h.tell()
	if h.track.ahead < before-100 {
		h.track.step++
	}
}

// A lift tells when a host heard another one since its own clock went back, and how far that raised it: less than the other's clock was ahead, where the
// advert had waited in a queue.
type lift struct {
	known bool
	at    int64
	step  uint32
	ahead int64
}

// hears takes note of an advert of ours that was accepted.
func (h *host) hears(c *carp, f *frame, counter uint64) {
	t := int64(counter >> 24)
	ahead := t - 16 - h.w.now/millisecond
	if t <= 32*365*86400*1000 {
		h.track.ahead = max(h.track.ahead, ahead)
	}
	if f.attack || f.from == h.id || int(f.from) >= len(h.w.scenario.Hosts) {
		return
	}
	for int(f.from) >= len(c.lifts) {
		c.lifts = append(c.lifts, lift{})
	}
	if l := &c.lifts[f.from]; !l.known || l.step != h.track.step || ahead > l.ahead {
		*l = lift{true, h.w.now, h.track.step, ahead}
	}
}

// refuses looks at an advert of a live host with our key that was refused for its counter. That is right when it was delivered before, or was on its
// way for a second, or the attacker kept it back, or when its sender's clock is behind and it has not heard us since; then our next advert lifts it.
// It is wrong otherwise.
//
// A sender that does not hear us, now, is left out: nothing undoes the drift between the clocks, and tells its adverts from a recording. With a vhid of 1/256 s
// beside one of 50/256 s whose adverts do not come out, 125 ms of drift are enough.
//
// And so is one whose sender heard us so long ago that the clocks have drifted apart by a second: backups say nothing. Counterexample (storm 33278): a master
// that was heard for 26 minutes bows out over both families. A backup whose clock has gained 1.1 s on it takes over on the first of the two, with its own time,
// and refuses the second. Whoever goes on hears that backup's advert and is lifted.
//
// And so is an advert in a crowd, which nothing hangs on. Counterexample: sixteen hosts with addresses of both families, all with preempt, hear a slower
// master. Until the fastest is heard everywhere, each takes over and gives way at every advert of another; a hundred adverts and more are under way at
// once, and arrive in any order. A memory of a fixed size forgets some counters before later ones with less time arrive, and such an advert cannot be told
// from a copy of a forgotten one. The engine remembers as many as fit.
//
// Counterexample to "a master that is heard is never refused": host A of 2026 is master and host B of 2030 comes up beside it. B's first advert of
// its own, should A be silent for three intervals, makes what A sends later old for B. A is lifted by B's next advert.
func (h *host) refuses(n int, f *frame, counter uint64) {
	c := &h.carps[n]
	if f.attack || f.damaged || f.from == h.id || c.delivered.has(counter) || h.w.now-f.sent > allowance*millisecond || h.w.lans[c.lan].interferes != 0 {
		return
	}
	if int(f.from) >= len(h.w.scenario.Hosts) {
		h.w.fail("a live peer is not refused", "host %d %s: the advert of %s that was sent at %d", h.id, c.name, h.w.stations[f.from].peer.Name, f.sent)
		return
	}
	s := h.w.stations[f.from].host
	h.w.refused++
	var l lift
	if k := s.byVhost[c.vhost]; k >= 0 && int(h.id) < len(s.carps[k].lifts) {
		l = s.carps[k].lifts[h.id]
	}
	hears := s.machine.Sysctl.Allow != 0 && h.sends(n) && h.w.lans[c.lan].hears(f.from, h.w)
	if c.recent.crowd(h.w.now - h.w.lans[c.lan].delay - crowdTime) {
		h.w.crowded++
		return
	}
	ahead := max(h.track.ahead, h.before[n].Newest-h.w.now/millisecond) // a restored snapshot may have a later newest
	behind := ahead - l.ahead + max(-s.plan.Drift, 0)*((f.sent-l.at)/millisecond)/1e6
	heard := hears && l.known && l.at < f.sent && l.step == f.step && behind <= h.reach(n)
	if heard || h.w.agree {
		h.w.fail("a live peer is not refused", "host %d %s: station %d's advert %#x that was sent at %d; it had heard us %t (%+v), clocks agree %t; newest %d, accepted %d",
			h.id, c.name, f.from, counter, f.sent, heard, l, h.w.agree, h.before[n].Newest, h.before[n].Accepted)
	}
}

// reach is how far, in milliseconds, the sender's clock may be behind for an advert that a carp must not refuse: less where it sends so often that it soon
// forgets its own counters, whose times then are the floor.
func (h *host) reach(n int) int64 {
	families := int64(0)
	for f := range 2 {
		if h.w.scenario.VHosts[h.carps[n].vhost].has(f) {
			families++
		}
	}
	remembered := int64(len(sentCounters{}.ring)) / families * claimOf(&h.nodes[n]).interval()
	return min(allowance, (remembered-h.w.lans[h.carps[n].lan].delay)/millisecond-16)
}

// crowdTime is how long adverts that cross are under way, besides the delay of the LAN: what the clocks of hosts that have heard each other differ by.
const crowdTime = 150 * millisecond

// A recent tells how many adverts a carp accepted, or sent itself, lately: of either a fixed number is remembered.
type recent struct {
	at [64]int64
	n  int
}

func (r *recent) add(now int64) {
	r.at[r.n%len(r.at)] = now
	r.n++
}

// crowd reports whether so many came since then that some may have been forgotten.
func (r *recent) crowd(since int64) bool { return r.n >= len(r.at) && r.at[r.n%len(r.at)] >= since }

// A history is the counters that were delivered last.
type history struct {
	ring [128]uint64
	n    int
}

func (d *history) has(counter uint64) bool {
	for i := range min(d.n, len(d.ring)) {
		if d.ring[i] == counter {
			return true
		}
	}
	return false
}

func (d *history) add(counter uint64) {
	d.ring[d.n%len(d.ring)] = counter
	d.n++
}

// sealed looks at what became of an advert, as far as its counter goes.
func (h *host) sealed(p *engine.Packet, before, after *config.Stats, accepted bool) {
	if len(p.Payload) < wire.Size || h.frame == nil {
		return
	}
	n := h.w.carpFor(h, p.Carpdev-2, p.Payload[1])
	if n < 0 {
		return
	}
	c, counter := &h.carps[n], binary.BigEndian.Uint64(p.Payload[8:16])
	switch {
	case accepted && h.frame.attack:
		h.attacked(c, counter, isSealed(p.Payload))
	case accepted && isSealed(p.Payload):
		c.recent.add(h.w.now)
		h.hears(c, h.frame, counter)
	case before[config.Replayed] != after[config.Replayed], before[config.Altered] != after[config.Altered]:
		h.refuses(n, h.frame, counter)
	}
	if accepted || !h.frame.attack && !h.frame.damaged {
		c.delivered.add(counter)
		if h.w.recording && accepted && isSealed(p.Payload) {
			if c.all == nil {
				c.all = map[uint64]struct{}{}
			}
			c.all[counter] = struct{}{}
		}
	}
}

// isSealed reports whether the counter of an advert carries its own header.
func isSealed(b []byte) bool { return b[13] == b[5] && b[14] == b[2] && b[15] == b[4] }

// agreeing reports whether the clocks of all hosts stay so close to each other that none is ever refused for its clock.
func (s *Scenario) agreeing() bool {
	const close = 400 // ms
	lowest, highest, drift := int64(1<<62), int64(0), int64(0)
	for n := range s.Hosts {
		h := &s.Hosts[n]
		wall := h.Wall + h.Uptime/millisecond - wire.SealEpoch
		if wall < 0 || wall > 26*365*86400*1000 {
			return false
		}
		lowest, highest, drift = min(lowest, wall), max(highest, wall), max(drift, h.Drift, -h.Drift)
	}
	for n := range s.Faults {
		if k := s.Faults[n].Kind; (k == WallStep || k == Snapshot) && !s.Faults[n].off {
			return false
		}
	}
	_, longest := s.intervals()
	length := (s.Calm + 150*longest) / millisecond
	return highest-lowest+2*length/1e6*drift < close
}

// A snapshot is a host as it was: what a virtual machine goes back to.
type snapshot struct {
	local    engine.Instant
	wall     int64
	memories map[memoryKey]engine.Memory
	counters []sentCounters
}

func (h *host) snapshot() snapshot {
	s := snapshot{local: h.local(), wall: h.wall, memories: map[memoryKey]engine.Memory{}}
	for k, m := range h.memories {
		s.memories[k] = *m
	}
	for n := range h.carps {
		s.counters = append(s.counters, h.carps[n].sentCounters)
	}
	return s
}

// restore sets the clocks and the memory back.
func (h *host) restore(s snapshot) {
	h.epoch, h.base, h.wall = h.w.now, s.local, s.wall
	h.forgets()
	for k, m := range s.memories {
		*h.memory(k.carp, k.vhid) = m
	}
	for n := range h.carps {
		h.carps[n].sentCounters = s.counters[n]
	}
}

// forgets loses what outlives the process and not the machine.
func (h *host) forgets() {
	h.memories = nil
	h.track.step++
	for n := range h.carps {
		c := &h.carps[n]
		c.sentCounters, c.delivered, c.all, c.lifts = sentCounters{}, history{}, nil, nil
	}
}

// A sentCounters is the counters that a carp sent last; they are forgotten with the engine's memory of them.
type sentCounters struct {
	ring  [32]uint64
	n     int
	stamp uint64 // the time in the last of them
}

func (s *sentCounters) has(counter uint64) bool {
	for i := range min(s.n, len(s.ring)) {
		if s.ring[i] == counter {
			return true
		}
	}
	return false
}

func (s *sentCounters) add(counter uint64) {
	s.ring[s.n%len(s.ring)] = counter
	s.n++
	s.stamp = counter >> 24
}

// hears reports whether no one-way cut keeps a station from hearing others.
func (l *lan) hears(to int32, w *World) bool {
	for from := range w.stations {
		if l.cut[from*len(w.stations)+int(to)] > 0 {
			return false
		}
	}
	return true
}
