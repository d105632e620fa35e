package loop

import "carp/libcarp/engine"

// leaseMax is how long, in nanoseconds, a host goes on to answer at most once its loop stands still.
const leaseMax = engine.Instant(500e6)

// A lease is how long a master answers without the loop having done anything more for it.
type lease struct {
	sent     engine.Instant // when the last advert got out
	interval engine.Instant // how long the next one takes
	until    engine.Instant // when the lease ends, as the host was told
	next     engine.Instant // when to renew it; 0: with the next advert
}

// fresh returns when a lease that is renewed now ends: two intervals after the last advert, since a peer takes over after three.
func (s *lease) fresh(now engine.Instant) engine.Instant {
	return min(now+leaseMax, s.sent+2*s.interval)
}

// ranOut reports whether the carp has fallen silent.
func (s *lease) ranOut(now engine.Instant) bool { return s.until < now }

// advertised takes note of an advert that has got out. It renews the lease, unless that has run out: then a peer may have taken over meanwhile,
// and renew hears what has come in first.
func (l *Loop) advertised(f *engine.SendAdvert) {
	now := l.Clock.Now()
	s := l.leases[f.Carp]
	isNew := s == nil
	if isNew {
		s = &lease{}
		l.leases[f.Carp] = s
	}
	s.sent, s.interval = now, f.Interval
	l.keepSent(f, s)
	if isNew || !s.ranOut(now) {
		l.extend(f.Carp, s, now)
	} else {
		s.next = now
	}
	l.schedule()
}

// extend renews a lease, and has it renewed again after a third of leaseMax, unless only another advert can make it longer.
func (l *Loop) extend(carp string, s *lease, now engine.Instant) {
	s.until, s.next = s.fresh(now), 0
	if s.until == now+leaseMax {
		s.next = now + leaseMax/3
	}
	if !s.ranOut(now) {
		l.Host.Renew(carp, int64(s.until))
	}
	l.keepUntil(carp, s.until)
}

// endLease silences a carp that is not master.
func (l *Loop) endLease(carp string) {
	if _, ok := l.leases[carp]; !ok {
		return
	}
	delete(l.leases, carp)
	l.keepUntil(carp, 0)
	l.Host.Renew(carp, 0)
	l.schedule()
}

// repeatLease tells the host again: it may have made the link anew.
func (l *Loop) repeatLease(carp string) {
	if s := l.leases[carp]; s != nil && !s.ranOut(l.Clock.Now()) {
		l.Host.Renew(carp, int64(s.until))
	}
}

// renew renews the leases that are due. Where one has run out, because this process stood still, what has come in meanwhile is heard first: it may
// be the advert of a peer that has taken over.
func (l *Loop) renew() {
	now := l.Clock.Now()
	if l.renewAt == 0 || now < l.renewAt {
		return
	}
	for _, s := range l.leases {
		if s.next != 0 && s.ranOut(now) {
			l.hear()
			now = l.Clock.Now()
			break
		}
	}
	for carp, s := range l.leases {
		if s.next != 0 && s.next <= now {
			l.extend(carp, s, now)
		}
	}
	l.schedule()
}

// hear takes in the packets that are there, and none that come meanwhile, since a flood has no end; then it lets the engine see how late it is.
func (l *Loop) hear() {
	l.Host.Drain()
	for n := len(l.Host.Packets()); n > 0; n-- {
		l.receive(<-l.Host.Packets())
	}
	l.tick.Clock = l.wall()
	l.step(&l.tick)
}

// schedule finds the first lease to renew.
func (l *Loop) schedule() {
	l.renewAt = 0
	for _, s := range l.leases {
		if s.next != 0 && (l.renewAt == 0 || s.next < l.renewAt) {
			l.renewAt = s.next
		}
	}
}
