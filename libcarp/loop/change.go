package loop

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"syscall"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/statedir"
)

// A request is a change on its way. One is carried out at a time, in the order in which they came: check, write down, put into force,
// publish, reply. Adverts go on meanwhile.
type request struct {
	statedir.Request
	change config.Change
	plan   config.Plan
	want   []byte
	reply  chan statedir.Reply
}

// Change asks the loop for a change and returns when it is in force and written down, or refused.
func (l *Loop) Change(in statedir.Request) statedir.Reply {
	r := &request{Request: in, change: in.Change, reply: make(chan statedir.Reply, 1)}
	gone := statedir.Reply{Err: statedir.ErrEnding}
	select {
	case l.requests <- r:
	case <-l.ended:
		return gone
	}
	select {
	case reply := <-r.reply:
		return reply
	case <-l.ended:
		return gone
	}
}

// begin takes a request up, or lets it wait for the one before.
func (l *Loop) begin(r *request) {
	if l.current != nil {
		l.waiting = append(l.waiting, r)
		return
	}
	plan, err := l.engine.Plan(r.change)
	if !r.Root {
		err = l.engine.Refuse(r.change)
	}
	if err != nil || r.Check || plan.Done {
		r.reply <- statedir.Reply{Err: err, Gen: l.gen, Old: plan.Old}
		return
	}
	r.plan, r.want = plan, l.wantOf(&plan)
	l.current, l.failure = r, nil
	l.persist(r, r.want, func(err error) { l.persisted(r, err) })
}

// persist writes want/ and then goes on in the loop.
func (l *Loop) persist(r *request, want []byte, then func(error)) {
	l.Store.Want(r.change.Kind, r.change.Name, want, func(err error) { l.post(func() { then(err) }) })
}

// persisted puts the change into force.
func (l *Loop) persisted(r *request, err error) {
	if err != nil {
		l.finish(r, &config.Error{Errno: statedir.ErrnoOf(err), Msg: without(err)})
		return
	}
	// The engine may have chosen a carpdev since: merge again, with what is true now.
	plan, err := l.engine.Plan(r.change)
	if err != nil {
		l.persist(r, l.wantNow(r), func(error) { l.finish(r, err) })
		return
	}
	if want := l.wantOf(&plan); !bytes.Equal(want, r.want) {
		l.Store.Want(r.change.Kind, r.change.Name, want, l.logError)
	}
	r.plan = plan
	l.step(&engine.Configure{Clock: l.wall(), Plan: plan})
	if r.change.Kind == config.ForSysctl {
		l.publishSysctl()
	}
	l.hands.ask(func() { l.post(func() { l.applied(r) }) })
}

// applied ends a change that the host has followed, and undoes one that it has refused.
func (l *Loop) applied(r *request) {
	if l.failure == nil {
		l.finish(r, nil)
		return
	}
	refused := &config.Error{Errno: statedir.ErrnoOf(l.failure), Clause: max(len(r.change.Clauses)-1, 0), Msg: without(l.failure)}
	l.failure, l.undoing = nil, true
	l.step(&engine.Configure{Clock: l.wall(), Plan: r.plan.Undo()})
	l.hands.ask(func() { // also where undoing asks for no link: what stands has to be known
		if c, ok := l.hands.carps[r.change.Name]; ok {
			l.ensure(c)
		}
	})
	l.persist(r, l.wantNow(r), func(error) {
		l.hands.ask(func() { l.post(func() { l.finish(r, refused) }) })
	})
}

// without returns an error's text without that of the system's number at its end, which the reply tells in BSD's words.
func without(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return strings.TrimSuffix(err.Error(), ": "+errno.Error())
	}
	return err.Error()
}

// finish replies once everything before is on disk, and takes up the next request.
func (l *Loop) finish(r *request, err error) {
	l.gen++
	reply := statedir.Reply{Err: err, Gen: l.gen, Old: r.plan.Old}
	l.Store.Sync(func() { r.reply <- reply })
	l.current, l.undoing = nil, false
	for l.current == nil && len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.begin(next)
	}
	if l.leaving && l.current == nil {
		l.drain()
	}
}

// wantOf returns the content of the want/ file with the plan in force; nil when it goes.
func (l *Loop) wantOf(p *config.Plan) []byte {
	switch p.Change.Kind {
	case config.ForInterface:
		if p.Interface == nil {
			return nil
		}
		return config.FormatWant(p.Interface.Clauses())
	case config.ForGroup:
		m := config.Machine{Groups: maps.Clone(l.engine.Machine().Groups)}
		m.Groups[p.Change.Name] = p.Group
		return config.FormatWant(m.GroupClauses())
	default:
		m := config.Machine{Sysctl: *p.Sysctl, SysctlReqs: p.Requests}
		return config.FormatWant(m.SysctlClauses())
	}
}

// wantNow returns the content of the request's want/ file as things are in force.
func (l *Loop) wantNow(r *request) []byte {
	m := l.engine.Machine()
	switch i := m.Interfaces[r.change.Name]; {
	case r.change.Kind == config.ForGroup:
		return config.FormatWant(m.GroupClauses())
	case r.change.Kind == config.ForSysctl:
		return config.FormatWant(m.SysctlClauses())
	case i == nil:
		return nil
	default:
		return config.FormatWant(i.Clauses())
	}
}
