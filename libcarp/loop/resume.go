package loop

import (
	"context"
	"fmt"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/host"
	"carp/libcarp/record"
)

// beatEvery is how long the loop rests at most. A supervisor that sees no beat for much longer ends this process.
const beatEvery = 250 * time.Millisecond

// begins gives the engine its first event: [engine.Links], or [engine.Resume] with what an engine before has kept.
func (l *Loop) begins(ctx context.Context) {
	var kept []*record.Entry
	if l.Record != nil {
		if kept = l.Record.Orphans(); len(kept) == 0 {
			l.write(nil)
		}
	}
	if len(kept) == 0 {
		l.publishAll()
	}
	select {
	case links := <-l.Host.Links():
		if len(kept) == 0 {
			l.step(&engine.Links{Clock: l.wall(), Links: links})
			return
		}
		ev := l.resumes(kept, links)
		l.step(ev)
		l.schedule()
		if l.Resumed != nil {
			l.Resumed()
		}
		l.publishAll()
	case <-ctx.Done():
	}
}

// resumes takes what is kept, where it fits and the lease of a master has not run out. The rest is left for the supervisor, who bows out.
func (l *Loop) resumes(kept []*record.Entry, links []config.Link) *engine.Resume {
	now := l.Clock.Now()
	ev := &engine.Resume{Clock: l.wall(), Links: links}
	var goOn []*record.Entry
	for _, e := range kept {
		if !l.engine.Fits(&e.Kept, links) || e.State == engine.Master && !fresh(e, now) || !l.Record.Take(e.Slot, record.Engine) {
			ev.Ended = append(ev.Ended, e.Kept)
			continue
		}
		goOn = append(goOn, e)
		ev.Nodes = append(ev.Nodes, e.Kept)
		if e.State == engine.Master {
			l.leases[e.Carp] = &lease{sent: e.Sent, interval: e.Interval, until: e.Until, next: now}
		}
	}
	for _, e := range l.Record.GivenUp() {
		ev.Ended = append(ev.Ended, e.Kept)
	}
	l.write(goOn)
	return ev
}

// fresh reports whether a kept lease makes sense, and has not run out. It may end an interval later than the kept advert lets it: that of
// another advert, which was sent just before the engine died and was not kept any more.
func fresh(e *record.Entry, now engine.Instant) bool {
	return e.Sent <= now && now <= e.Until && e.Until <= min(now+leaseMax, e.Sent+3*e.Interval)
}

// takeOver does at once what cannot wait for the links of hundreds of carps: their leases, before adverts.
func (l *Loop) takeOver(effects []engine.Effect) {
	var carps []host.Carp
	masters := map[string]bool{}
	for _, f := range effects {
		if f, ok := f.(*engine.Ensure); ok {
			carps = append(carps, carpOf(f))
			masters[f.Carp] = f.Master
		}
	}
	if err := l.Host.Resume(carps); err != nil {
		l.Log(engine.Err, fmt.Sprintf("kernelsim: failed to go on: %v", err))
	}
	now := l.Clock.Now()
	for carp, s := range l.leases {
		if !masters[carp] {
			l.endLease(carp)
		} else if !s.ranOut(now) {
			l.extend(carp, s, now)
		}
	}
	if l.Adopt != nil {
		l.hands.ask(func() {
			if err := l.Adopt(); err != nil {
				l.post(func() { l.fatal = err })
			}
		})
	}
}

func carpOf(f *engine.Ensure) host.Carp {
	return host.Carp{Name: f.Carp, Carpdev: f.Carpdev, MAC: f.MAC, Own: f.Own, VHIDs: f.VHIDs, Addrs: f.Addrs, Peers: f.Peers, Master: f.Master}
}

// beat tells the supervisor that the loop works.
func (l *Loop) beat() {
	if l.Record != nil {
		l.Record.Beat()
	}
}

// keepOthers keeps the virtual hosts that are not master, before any effect is carried out: if this process is killed on one's way from MASTER,
// the next engine must not take it for a master.
func (l *Loop) keepOthers() { l.keep(func(k *engine.Kept) bool { return k.State != engine.Master }) }

// keepMasters keeps the virtual hosts that are master, once their adverts are sent.
func (l *Loop) keepMasters() { l.keep(func(k *engine.Kept) bool { return k.State == engine.Master }) }

func (l *Loop) keep(which func(*engine.Kept) bool) {
	if l.record == nil {
		return
	}
	l.engine.Changes(func(k *engine.Kept) {
		if which(k) && !l.record.Keep(k) && !l.full {
			l.full = true
			l.Log(engine.Warning, fmt.Sprintf("%s: no room in the record: with this process it is no master any more", k.Carp))
		}
	})
}

// write takes the record over. The counters go on, whatever else does.
func (l *Loop) write(goOn []*record.Entry) {
	l.record = l.Record.Write(goOn)
	machine, carps := l.Record.Counters()
	l.engine.CountOn(machine, carps)
	l.stats = machine
	for name := range carps {
		if _, ok := l.engine.View(name); !ok {
			l.record.Forget(name)
		}
	}
}

// keepCounters keeps what the last Step has counted.
func (l *Loop) keepCounters() {
	if l.record == nil {
		return
	}
	if s := l.engine.Stats(); s != l.stats {
		l.record.CountMachine(&s)
	}
	l.engine.Counted(func(carp string, s *config.Stats) { l.record.Count(carp, s) })
}

// keepSent keeps that an advert got out, with the bow-out that was prepared.
func (l *Loop) keepSent(f *engine.SendAdvert, s *lease) {
	if l.record == nil || f.Prepared == nil {
		return
	}
	family := 0
	if f.Dst.Is6() {
		family = 1
	}
	frame := l.Host.Frame(host.Advert{Carpdev: f.Carpdev, From: f.From, Dst: f.Dst, Packet: f.Prepared})
	l.record.Sent(f.Carp, f.VHID, s.sent, s.interval, family, f.Carpdev, frame)
}

func (l *Loop) keepUntil(carp string, until engine.Instant) {
	if l.record != nil {
		l.record.Until(carp, until)
	}
}

// leave ends this engine's work so that another one can go on: whoever asks is answered, what was asked for is done and written. Adverts go on meanwhile.
func (l *Loop) leave() {
	go func() {
		l.server.Close()
		if l.Leaving != nil {
			l.Leaving()
		}
		l.post(func() {
			l.leaving = true
			if l.current == nil {
				l.drain()
			}
		})
	}()
}

// drain waits for the hands and the files.
func (l *Loop) drain() {
	l.leaving, l.draining = false, true
	l.publishStats()
	l.hands.ask(func() {
		l.Store.Sync(func() { // from now on nobody mends, so this is last
			l.hands.ask(func() {
				l.Host.Leave()
				l.post(l.leftAll)
			})
		})
	})
}

// leftAll gives the next engine as much time as there is.
func (l *Loop) leftAll() {
	now := l.Clock.Now()
	for carp, s := range l.leases {
		if !s.ranOut(now) {
			l.extend(carp, s, now)
		}
	}
	l.left = true
}
