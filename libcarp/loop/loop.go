package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/host"
	"carp/libcarp/record"
	"carp/libcarp/statedir"
)

// retryEvery is how often a link that could not be made is tried again, and how often status/stats is written.
const retryEvery = time.Second

// Options are what a loop joins.
type Options struct {
	Machine *config.Machine
	Host    host.Host
	Store   *statedir.Store
	Clock   Clock                                        // nil: the system's
	Random  engine.Random                                // of the counters; has to be unpredictable
	Memory  func(carp string, vhid uint8) *engine.Memory // see [engine.New]
	Record  *record.Record                               // keeps what the next engine needs; nil: nothing is kept
	// Adopt takes over what an engine before has left, except what goes on. It is called once adverts are sent; nil when all is taken over already.
	Adopt func() error
	// Resumed is called when the leases and adverts of an engine before go on; it may be nil.
	Resumed func()
	// Working is called by another goroutine each time that something is done, of what is to be done before Run serves; it may be nil.
	Working func()
	// HandOver, when it is closed, lets Run return with everything as it is, for another engine to go on.
	HandOver <-chan struct{}
	// Leaving is called then, by another goroutine, while the adverts go on; Run returns some time after it has. It may be nil.
	Leaving func()
	Log     func(level engine.Level, text string)
	Urgent  func(bool) // told when the loop must not wait for other processes, and when it may again; must not wait; may be nil
	Verbose bool       // the engine logs everything
}

// A Loop runs one engine.
type Loop struct {
	Options
	engine *engine.Engine
	server *statedir.Server
	hands  *hands

	requests chan *request
	posted   chan func() // what hands and store have to tell, run by the loop
	ended    chan struct{}

	packet  engine.Packet // the events that come often are used again
	tick    engine.Tick
	outcome []engine.Sent
	stats   config.Stats

	current *request // the change that is being carried out
	waiting []*request
	failure error           // of the current change
	undoing bool            // it was refused: what fails from now on is news
	broken  map[string]bool // carps whose link could not be made; true: that is logged
	gen     int
	last    map[string]statedir.Event // of each carp
	ending  bool                      // no link is made or changed any more

	record   *record.Writer
	full     bool // it is logged that the record has no room
	leaving  bool // to be handed over
	draining bool // only what is under way is still done
	left     bool // nothing is under way any more
	fatal    error

	leases  map[string]*lease // of the masters
	renewAt engine.Instant    // the first of them; 0: none

	fast   map[string]bool // carps with a short interval that run
	urgent bool            // as Urgent was told
}

// New returns a loop. Give it to [statedir.NewServer] as the handler of changes, then call Run.
func New(o Options) *Loop {
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	e := engine.New(o.Machine, o.Random, o.Memory)
	e.Verbose = o.Verbose
	return &Loop{
		Options: o, engine: e, hands: newHands(o.Host),
		requests: make(chan *request), posted: make(chan func()), ended: make(chan struct{}), broken: map[string]bool{},
		leases: map[string]*lease{}, fast: map[string]bool{}, last: map[string]statedir.Event{},
	}
}

// Run works until ctx is done: then every master bows out, the links go, and the status says INIT. It also returns after HandOver, with everything
// as it is, and with an error when the host fails. It starts the server, which shows what there is to see, and then calls serving.
func (l *Loop) Run(ctx context.Context, server *statedir.Server, serving func()) error {
	l.server = server
	l.hands.did = l.Working
	handsDone := make(chan struct{})
	go func() { l.hands.work(); close(handsDone) }()
	defer close(l.ended)

	// Clients are answered once what they will see is true.
	l.last = l.Store.LastEvents()
	l.Store.OnEvent(server.PublishEvent)
	l.begins(ctx)
	l.tellTied()
	l.hands.ask(func() {
		l.hands.did = nil
		server.Start()
		serving()
	})

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	second := time.NewTicker(retryEvery)
	defer second.Stop()
	for {
		l.renew()
		l.beat()
		l.arm(timer)
		select {
		case links, ok := <-l.Host.Links():
			if !ok {
				return errors.New("the host tells nothing of its interfaces any more")
			}
			l.step(&engine.Links{Clock: l.wall(), Links: links})
		case p, ok := <-l.Host.Packets():
			if !ok {
				return errors.New("the host delivers no packets any more")
			}
			l.receive(p)
		case name := <-l.Host.Amiss():
			l.mend(name)
		case <-timer.C:
			l.tick.Clock = l.wall()
			l.step(&l.tick)
		case r := <-l.requests:
			l.begin(r)
		case f := <-l.posted:
			f()
		case <-second.C:
			l.eachSecond()
		case <-l.HandOver:
			l.HandOver = nil
			l.leave()
		case <-ctx.Done():
			return l.shutdown(handsDone)
		}
		if l.left || l.fatal != nil {
			return l.fatal
		}
	}
}

// receive gives a packet to the engine.
func (l *Loop) receive(p host.Packet) {
	if p.Claim.VHID != 0 {
		l.step(&engine.Claimed{Clock: l.wall(), Carpdev: p.Carpdev, VHID: p.Claim.VHID, From: p.Claim.From})
		return
	}
	if d := p.Duplicate; d.Addr.IsValid() {
		l.step(&engine.Duplicate{Clock: l.wall(), Carpdev: p.Carpdev, Addr: d.Addr, MAC: d.MAC})
		return
	}
	l.packet = engine.Packet{Clock: l.wall(), Carpdev: p.Carpdev, Src: p.Src, Dst: p.Dst, TTL: p.TTL, Payload: p.Payload}
	l.step(&l.packet)
}

func (l *Loop) wall() engine.Clock { return engine.Clock{Wall: l.Clock.Wall()} }

// arm sets the timer to the engine's deadline, or to when a lease has to be renewed. A tick too many does no harm.
func (l *Loop) arm(timer *time.Timer) {
	deadline := l.engine.Deadline()
	if l.renewAt != 0 && (deadline == 0 || l.renewAt < deadline) {
		deadline = l.renewAt
	}
	d := beatEvery
	if deadline != 0 {
		d = min(max(time.Duration(deadline-l.Clock.Now()), 0), beatEvery)
	}
	timer.Reset(d)
}

// step tells the engine what happened and does what it asks for. How sends ended is told when all of that is under way.
func (l *Loop) step(ev engine.Event) {
	for {
		effects := l.engine.Step(l.Clock.Now(), ev)
		if _, first := ev.(*engine.Resume); first {
			l.takeOver(effects)
		}
		l.keepOthers()
		for _, f := range effects {
			l.do(f)
		}
		l.keepMasters()
		l.keepCounters()
		if len(l.outcome) == 0 {
			break
		}
		sent := l.outcome[0]
		l.outcome = append(l.outcome[:0], l.outcome[1:]...)
		ev = &sent
	}
	if s := l.engine.Stats(); s != l.stats {
		l.stats = s
		l.server.PublishStats(s)
	}
}

// do carries out one effect.
func (l *Loop) do(f engine.Effect) {
	switch f := f.(type) {
	case *engine.SendAdvert:
		l.send(f)
	case *engine.Probe:
		l.outcome = append(l.outcome, engine.Sent{Carp: f.Carp, IPv6: f.IPv6, Errno: statedir.ErrnoOf(l.Host.Probe(f.Carpdev, f.IPv6))})
	case *engine.Ensure, *engine.Remove, *engine.Announce, *engine.Claim:
		if !l.ending {
			l.link(f)
		}
	case *engine.Transition:
		e := statedir.Event{Time: time.UnixMilli(l.Clock.Wall()), Carp: f.Carp, From: f.From.String(), To: f.To.String(), Reason: f.Reason}
		l.last[f.Carp] = e
		l.hands.ask(func() { l.Store.Event(e) })
	case *engine.Publish:
		l.publish(f.Carp)
	case *engine.PublishGroups:
		l.publishGroups()
	case *engine.Persist:
		if v, ok := l.engine.View(f.Carp); ok {
			l.Store.Want(config.ForInterface, f.Carp, config.FormatWant(v.Interface.Clauses()), l.logError)
		}
	case *engine.PersistGroups:
		l.Store.Want(config.ForGroup, "", config.FormatWant(l.engine.Machine().GroupClauses()), l.logError)
	case *engine.Log:
		l.Log(f.Level, f.Text)
	default:
		panic(fmt.Sprintf("loop: unknown effect %T", f))
	}
}

// link carries out an effect on a carp's link.
func (l *Loop) link(f engine.Effect) {
	switch f := f.(type) {
	case *engine.Ensure:
		c := carpOf(f)
		if !f.Master {
			l.endLease(f.Carp)
		}
		l.hands.ask(func() { l.ensure(c) })
	case *engine.Remove:
		l.endLease(f.Carp)
		name := f.Carp // the effect is valid until the next step
		l.hands.ask(func() { l.warn(name, l.hands.remove(name)) })
	case *engine.Claim:
		c := *f
		l.hands.ask(func() { l.warn(c.Carp, l.Host.Claim(c.Carpdev, c.VHID, c.Addr)) })
	case *engine.Announce:
		c := host.Carp{Name: f.Carp, Carpdev: f.Carpdev, MAC: f.MAC, Master: true}
		l.hands.ask(func() {
			err := l.hands.announce(c, f.Addrs)
			if err == nil || carpdevGone(err) {
				return
			}
			l.post(func() {
				if l.leases[c.Name] != nil { // else it is no master any more, and the gate lets nothing out
					l.Log(engine.Warning, fmt.Sprintf("%s: %v", c.Name, err))
				}
			})
		})
	}
}

// warn logs that the hands' work for a carp has failed, unless the carpdev is gone. It runs as part of the work.
func (l *Loop) warn(what string, err error) {
	if err != nil && !carpdevGone(err) {
		l.post(func() { l.Log(engine.Warning, fmt.Sprintf("%s: %v", what, err)) })
	}
}

// logError logs that a file could not be written.
func (l *Loop) logError(err error) {
	if err != nil {
		l.post(func() { l.Log(engine.Err, err.Error()) })
	}
}

// send puts an advert on the wire at once. A bow-out waits for the hands: the link must be silent before a peer takes over.
func (l *Loop) send(f *engine.SendAdvert) {
	a := host.Advert{Carpdev: f.Carpdev, From: f.From, Dst: f.Dst, Packet: f.Packet}
	if f.BowOut {
		a.Packet = slices.Clone(a.Packet)
		what := f.Carp + ": bow-out" // the effect, too, is another advert's by the time that the hands come to it
		l.hands.ask(func() { l.warn(what, l.Host.Send(a)) })
		return
	}
	err := l.Host.Send(a)
	if errno := statedir.ErrnoOf(err); errno == config.OK || errno == config.EHOSTDOWN { // a peer that is down is no reason to be silent
		l.advertised(f)
	}
	l.outcome = append(l.outcome, engine.Sent{Carp: f.Carp, IPv6: f.Dst.Is6(), Errno: statedir.ErrnoOf(err)})
}

// post hands something to the loop. After its end nobody listens.
func (l *Loop) post(f func()) {
	select {
	case l.posted <- f:
	case <-l.ended:
	}
}

// ensure makes a link, as part of the hands' work, and tells the loop when that begins or ceases to fail.
func (l *Loop) ensure(c host.Carp) {
	err := l.hands.ensure(c)
	l.post(func() { l.ensured(c.Name, err) })
}

// ensured tells the engine whether a link stands. A link that the change under way has asked for makes that change fail instead.
func (l *Loop) ensured(name string, err error) {
	if err != nil && !l.undoing && l.current != nil && l.current.change.Kind == config.ForInterface && l.current.change.Name == name {
		l.failure = err
		return
	}
	failed := err != nil
	switch {
	case !failed:
		delete(l.broken, name)
		l.repeatLease(name)
	case carpdevGone(err):
		l.broken[name] = false
	case !l.broken[name]:
		l.Log(engine.Err, fmt.Sprintf("%s: %v", name, err))
		l.broken[name] = true
	}
	l.step(&engine.LinkMade{Clock: l.wall(), Carp: name, Failed: failed})
}

// carpdevGone reports whether something failed because the carpdev has just gone, or gone down: the host is about to tell, and the state will say so.
func carpdevGone(err error) bool {
	return errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENETDOWN)
}

// eachSecond tries again what failed, and writes the counters down.
func (l *Loop) eachSecond() {
	if l.draining {
		return
	}
	l.hands.ask(func() {
		if f := l.Host.Foreign(); f != (host.Foreign{}) {
			l.post(func() { l.step(&engine.Foreign{Clock: l.wall(), IPv4: f.IPv4, IPv6: f.IPv6}) })
		}
	})
	l.publishStats()
	for name := range l.broken {
		l.hands.ask(func() {
			if c, ok := l.hands.carps[name]; ok {
				l.ensure(c)
				return
			}
			l.post(func() { delete(l.broken, name) })
		})
	}
}

// mend makes a link again that somebody else has changed. One that cannot be mended is one that cannot be made.
func (l *Loop) mend(name string) {
	if l.draining { // the next engine looks at everything
		return
	}
	l.hands.ask(func() {
		if c, ok := l.hands.carps[name]; ok {
			l.ensure(c)
		}
	})
}

// shutdown leaves nothing behind: no master, no link, no state but INIT.
func (l *Loop) shutdown(handsDone <-chan struct{}) error {
	for carp := range l.leases {
		l.endLease(carp)
	}
	l.ending = true
	l.hands.ask(func() { // before the bow-outs, of which there may be hundreds
		if err := l.Host.Silence(); err != nil {
			l.post(func() { l.Log(engine.Warning, err.Error()) })
		}
	})
	l.step(&engine.Shutdown{Clock: l.wall()})
	l.hands.end()
	for {
		select {
		case f := <-l.posted:
			f()
			continue
		case <-handsDone:
		}
		break
	}
	err := l.Host.Close()
	l.publishStats()
	return err
}
