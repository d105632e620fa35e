package sim

import (
	"fmt"

	"carp/libcarp/config"
)

// A FaultKind is one way in which things go wrong, or are changed.
type FaultKind uint8

// The faults. Those with a duration are undone after it.
const (
	SetAdvskew   FaultKind = iota // of Host's carp Carp to N
	SetAdvbase                    // of the same to N
	SetPreempt                    // of Host to N
	SetState                      // by hand: N 0 backup, 1 master
	Down                          // and up again
	OtherPass                     // another pass phrase for a while
	OtherAddrs                    // one more address for a while
	Crash                         // of the process; N 1: of the host
	Restart                       // with bow-outs
	CarrierLost                   // of one of the carpdevs
	CarpdevGone                   // and back
	Renumber                      // the carpdev has another address
	SendFails                     // N odd: probes fail too; N/2 0: over both families, 1: IPv4, 2: IPv6
	SendFlaky                     // every other time, by chance
	NoLink                        // the carp's link cannot be made
	Deaf                          // net.inet.carp.allow=0
	Demotion                      // by N, by hand
	Sleep                         // N 1: what arrives meanwhile waits
	LateTimers                    // by up to N ns
	WallStep                      // by N ms
	Snapshot                      // of a virtual machine: at the end the host is what it was at the beginning
	Succeeded                     // the engine dies, or hands over, and another one goes on
	Loss                          // N percent
	OneWay                        // nothing goes from Host to N
	Partition                     // the stations whose bit is set in N from the others
	Twice                         // N percent arrive twice
	Mixed                         // frames overtake each other
	Slow                          // the delay is up to N ns
	Corrupt                       // N percent
	Echo                          // N percent come back to their sender
	Attack                        // by somebody without the key; N: see Alters
	PeerCrash                     // N 1: politely
	PeerDemotion                  // by N
	faultKinds
)

var faultNames = [faultKinds]string{"advskew", "advbase", "preempt", "state", "down", "other pass phrase", "other addresses", "crash", "restart",
	"carrier lost", "carpdev gone", "renumber", "send fails", "send fails by chance", "no link", "deaf", "demotion", "sleep", "late timers", "wall clock step", "snapshot restored", "succeeded", "loss", "one-way cut",
	"partition", "twice", "mixed", "slow", "corrupt", "echo", "attack", "peer crash", "peer demotion"}

func (k FaultKind) String() string { return faultNames[k] }

// noisy: while it lasts it is a matter of chance, or of who is asked, who hears whom. The hosts cannot be judged together then, each alone still.
func (k FaultKind) noisy() bool {
	switch k {
	case OtherAddrs, SendFlaky, Deaf, LateTimers, Loss, OneWay, Corrupt:
		return true
	}
	return false
}

// heard: whoever lives goes on hearing what the attacker hears.
func (k FaultKind) heard() bool {
	switch k {
	case SetAdvskew, SetPreempt, SetState, Crash, Restart, Renumber, SendFails, Demotion, LateTimers, WallStep, Twice, Mixed, Slow, Attack:
		return true
	}
	return false
}

// mayStay reports whether the fault may last for ever: then the cluster has to live with it.
func (k FaultKind) mayStay() bool {
	switch k {
	case Down, OtherPass, Crash, CarrierLost, CarpdevGone, Demotion, Partition, PeerCrash:
		return true
	}
	return false
}

// forever is the duration of a fault that is never undone.
const forever = 1 << 60

// A Fault is one of a scenario's list. Removing one leaves the others as they are.
type Fault struct {
	At, For int64 // nanoseconds; For 0: it is a change that stays
	Kind    FaultKind
	Host    int // station
	Carp    int // of the host
	LAN     int
	N       int64

	off bool
}

func (f Fault) String() string {
	how := "for good"
	if f.For > 0 && f.For < forever {
		how = fmt.Sprintf("for %d ms", f.For/millisecond)
	}
	return fmt.Sprintf("%d ms, %s: %v host %d carp %d LAN %d n %d", f.At/millisecond, how, f.Kind, f.Host, f.Carp, f.LAN, f.N)
}

// pickFaults picks which kinds there are at all, and then when they come.
func (s *Scenario) pickFaults(r random, shortest, longest int64, uneven bool) {
	var enabled []FaultKind
	share := pick[int64](r, 10, 30, 60)
	for k := range faultKinds {
		if s.Attentive && k != Attack && (!k.heard() || !r.chance(70)) {
			continue
		}
		if r.chance(share) || k == Attack && s.Attentive || k == SetAdvbase && uneven {
			enabled = append(enabled, k)
		}
	}
	start := 5*second + 6*longest
	length := longest * r.between(10, 200)
	s.Calm = start
	if len(enabled) == 0 || len(s.Hosts) == 0 {
		return
	}
	for range r.between(1, 40) {
		f := Fault{Kind: pick(r, enabled...), At: start + r.below(length), LAN: int(r.below(int64(s.LANs)))}
		f.Host = int(r.below(int64(len(s.Hosts))))
		if carps := len(s.Hosts[f.Host].Carps); carps > 0 {
			f.Carp = int(r.below(int64(carps)))
		} else {
			continue
		}
		f.For = 1 + pick(r, r.below(longest), r.below(4*longest), r.below(20*longest))
		if !s.suit(r, &f, shortest, uneven) {
			continue
		}
		if s.Attentive && (f.Kind == Crash || f.Kind == Restart) {
			f.N, f.For = 0, forever // nobody misses what the attacker hears and comes back
			s.Calm = max(s.Calm, f.At)
		} else if f.Kind.mayStay() && r.chance(10) {
			f.For = forever
			s.Calm = max(s.Calm, f.At)
		} else {
			s.Calm = max(s.Calm, f.At+f.For)
		}
		s.Faults = append(s.Faults, f)
	}
}

// suit picks the rest of a fault; false: there is none of its kind here.
func (s *Scenario) suit(r random, f *Fault, shortest int64, uneven bool) bool {
	vhost := &s.VHosts[s.Hosts[f.Host].Carps[f.Carp].VHost]
	stations := int64(len(s.Hosts) + len(s.Peers))
	switch f.Kind {
	case SetAdvskew:
		f.For, f.N = 0, r.below(255)
		if vhost.Advbase == 0 {
			f.N = max(f.N, shortest*256/second) // the delay has to stay below a third of an interval
		}
	case SetAdvbase:
		if vhost.Advbase == 0 || !uneven {
			return false
		}
		f.For, f.N = 0, int64(vhost.Advbase)+r.below(6)
	case SetPreempt, SetState:
		f.For, f.N = 0, r.below(2)
	case Crash, Sleep, PeerCrash:
		f.N = r.below(2)
	case Attack:
		f.At += 2 * second
		if f.N = r.below(16); s.Attentive {
			f.N &^= Interferes
		}
	case SendFails:
		f.N = r.below(6)
	case Demotion:
		f.N = r.between(1, 3)
	case LateTimers:
		f.N = r.below(shortest * 4)
	case WallStep:
		f.For, f.N = 0, r.between(-400*86400*1000, 400*86400*1000)
	case Succeeded:
		f.For = 1 + r.below(min(shortest, 200*millisecond))
	case Loss:
		f.N = r.between(1, 30)
	case Twice, Corrupt, Echo:
		f.N = r.between(1, 50)
	case OneWay:
		f.N = r.below(stations)
		return f.N != int64(f.Host)
	case Partition:
		f.N = r.below(1 << stations)
	case Slow:
		f.N = r.below(min(50*millisecond, shortest/3))
	}
	if f.Kind == PeerCrash || f.Kind == PeerDemotion {
		if len(s.Peers) == 0 {
			return false
		}
		f.Host = len(s.Hosts) + int(r.below(int64(len(s.Peers))))
		if f.Kind == PeerDemotion {
			f.N = 1
		}
	}
	return true
}

func (w *World) begin(n int) {
	f := &w.scenario.Faults[n]
	w.tracef("fault %d begins: %v", n, f)
	if f.For > 0 {
		w.active = append(w.active, n)
	}
	w.inflict(f, 1)
}

func (w *World) end(n int) {
	f := &w.scenario.Faults[n]
	w.tracef("fault %d ends: %v", n, f)
	for i, a := range w.active {
		if a == n {
			w.active = append(w.active[:i], w.active[i+1:]...)
			break
		}
	}
	w.inflict(f, -1)
}

// inflict begins (by 1) or ends (by -1) a fault.
func (w *World) inflict(f *Fault, by int) {
	if f.Kind.noisy() || f.Kind == Attack && !w.scenario.harmless(f) {
		w.noise += by
	}
	w.quietSince = w.now
	w.lastFault = w.now
	for id := range w.stations {
		if h := w.stations[id].host; h != nil {
			for n := range h.carps {
				h.carps[n].flaps = 0
			}
		}
	}
	switch {
	case f.Kind >= PeerCrash:
		w.inflictPeer(w.stations[f.Host].peer, f, by)
	case f.Kind == Attack:
		w.network()
		if by > 0 {
			w.attack(w.active[len(w.active)-1])
		}
	case f.Kind >= Loss:
		w.network()
	default:
		w.inflictHost(w.stations[f.Host].host, f, by)
	}
	w.disturbed()
}

func (w *World) inflictPeer(p *peer, f *Fault, by int) {
	if f.Kind == PeerDemotion {
		p.demote(f.N * int64(by))
		return
	}
	if p.downs += by; by > 0 {
		p.stop(f.N > 0)
	} else {
		p.start()
	}
}

// network computes anew what is wrong with the LANs.
func (w *World) network() {
	for n := range w.lans {
		l := &w.lans[n]
		l.loss, l.twice, l.corrupt, l.echo, l.mixed, l.delay, l.interferes = 0, 0, 0, 0, false, l.usual, 0
		clear(l.side)
		clear(l.cut)
	}
	for i, n := range w.active {
		f := &w.scenario.Faults[n]
		l := &w.lans[f.LAN]
		switch f.Kind {
		case Loss:
			l.loss = max(l.loss, f.N)
		case Twice:
			l.twice = max(l.twice, f.N)
		case Corrupt:
			l.corrupt = max(l.corrupt, f.N)
		case Echo:
			l.echo = max(l.echo, f.N)
		case Mixed:
			l.mixed = true
		case Slow:
			l.delay = f.N
		case Attack:
			if f.N&Interferes != 0 {
				l.interferes = max(l.interferes, f.At+f.For)
			}
		case OneWay:
			l.cut[f.Host*len(w.stations)+int(f.N)] = 1
		case Partition:
			for id := range l.side {
				if f.N>>id&1 != 0 {
					l.side[id] |= 1 << (i & 31)
				}
			}
		}
	}
}

// inflictHost begins (by 1) or ends (by -1) a fault of one host.
func (w *World) inflictHost(h *host, f *Fault, by int) {
	c := &h.carps[f.Carp]
	vhost := &w.scenario.VHosts[c.vhost]
	configure := func(format string, args ...any) func() {
		return func() { h.configure(f.Carp, fmt.Sprintf(format, args...)) }
	}
	sysctl := func(name string, value int) func() { return func() { h.sysctl(name, value) } }
	switch f.Kind {
	case SetAdvskew:
		h.do(func() { c.skew = uint8(f.N); configure("advskew %d", f.N)() })
	case SetAdvbase:
		h.do(func() { c.base = uint8(f.N); configure("advbase %d", f.N)() })
	case SetPreempt:
		h.do(sysctl("preempt", int(f.N)))
	case SetState:
		h.do(configure("state %s", [...]string{"backup", "master"}[f.N]))
	case Down:
		h.overlap(&c.downs, by, configure("down"), configure("up"))
	case OtherPass:
		h.overlap(&c.strangers, by, configure("pass %q", fmt.Sprint("of host ", h.id)), configure("pass %q", vhost.Pass))
	case OtherAddrs:
		h.overlap(&c.extra, by, configure("alias %v", vhost.Extra), configure("-alias %v", vhost.Extra))
	case Deaf:
		h.overlap(&h.deaf, by, sysctl("allow", 0), sysctl("allow", 1))
	case Demotion:
		h.do(func() { h.demoteByHand(int(f.N) * by) })
	case CarrierLost:
		h.linkDown += by
		h.relink()
	case CarpdevGone:
		h.linkGone += by
		h.relink()
	case Renumber:
		h.renumbered += by
		h.relink()
	case NoLink:
		h.noLinks += by
		h.do(func() { h.remake(by > 0) })
	case SendFails:
		h.failSending(f, by)
	case SendFlaky:
		h.flaky += by
	case LateTimers:
		if h.late += f.N * int64(by); by < 0 && h.up {
			h.woken = h.local() // a timer that should have rung long ago rings now
			h.rearm()
		}
	case WallStep:
		h.do(func() {
			if h.wall += f.N; f.N < 0 {
				h.track.step++ // harmless while the process lives; the next one begins at the wall clock
			}
		})
	case Crash, Restart:
		h.stop(f, by)
	case Snapshot:
		h.goBack(f, by)
	case Sleep, Succeeded:
		h.pause(f, by)
	}
}

// overlap counts the faults of one kind that there are at the same time: with the first it begins, with the last it ends.
func (h *host) overlap(count *int, by int, begin, end func()) {
	if *count += by; by > 0 && *count == 1 {
		h.do(begin)
	} else if *count == 0 {
		h.do(end)
	}
}

func (h *host) demoteByHand(by int) {
	h.manual += by
	if by < 0 {
		h.demote(config.Undemote, -by)
	} else {
		h.demote(config.Demote, by)
	}
}

// remake lets the host tell of its carps' links: of all, or of those that could not be made.
func (h *host) remake(all bool) {
	for n := range h.carps {
		if h.up && (all || h.broken[n]) {
			h.made(n)
		}
	}
}

func (h *host) failSending(f *Fault, by int) {
	for family := range h.sendFails {
		if f.N>>1 != int64(2-family) { // 0: over both, 1: IPv4, 2: IPv6
			h.sendFails[family] += by
			h.probeFails[family] += by * int(f.N&1)
		}
	}
}

// pause lets a host sleep (by 1), or wakes it (by -1), maybe with another engine.
func (h *host) pause(f *Fault, by int) {
	if by > 0 {
		h.sleep(f.Kind == Sleep && f.N == 1)
		return
	}
	if f.Kind == Succeeded && h.up && h.asleep == 1 { // else it is a sleep alone
		h.succeed()
	}
	h.wake()
}

// goBack takes a snapshot of a host (by 1), or restores it (by -1). A host that is down or asleep then is as it was all the same; it comes back later.
func (h *host) goBack(f *Fault, by int) {
	if by > 0 {
		if h.saved == nil {
			h.saved = map[*Fault]snapshot{}
		}
		h.saved[f] = h.snapshot()
		return
	}
	h.do(func() {
		was := h.up
		if was {
			h.crash()
		}
		h.restore(h.saved[f])
		if was {
			h.boot(false)
		}
	})
}

// stop crashes or ends a host's process, and starts it again.
func (h *host) stop(f *Fault, by int) {
	h.downs += by
	switch {
	case by > 0 && h.downs == 1 && h.up:
		if f.Kind == Restart && h.asleep == 0 {
			h.shutdown()
		}
		h.crash()
	case h.downs == 0:
		if f.Kind == Crash && f.N == 1 {
			h.reboot()
		}
		h.do(func() {
			if !h.up && h.downs == 0 {
				h.boot(h.engine == nil)
			}
		})
	}
}
