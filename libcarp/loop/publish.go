package loop

import (
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// publishAll tells everything there is to see, at the start.
func (l *Loop) publishAll() {
	for _, name := range l.engine.Names() {
		l.publish(name)
	}
	l.publishGroups()
	l.publishSysctl()
	l.server.PublishStats(l.stats)
	l.publishStats()
}

// publishStats writes all counters down. Those of the carps are told to who asks then, too: there may be a thousand.
func (l *Loop) publishStats() {
	carps := map[string]config.Stats{}
	for _, name := range l.engine.Names() {
		if v, ok := l.engine.View(name); ok {
			carps[name] = v.Stats
		}
	}
	l.server.PublishCarpStats(carps)
	l.Store.Status("stats", statedir.FormatStats(l.stats, carps))
}

// publish tells what can be seen of a carp now, once the hands have made it true.
func (l *Loop) publish(name string) {
	v, ok := l.engine.View(name)
	l.hurry(name, ok && v.Running && intervalOf(v.Interface) < urgentBelow)
	if !ok {
		delete(l.last, name)
		if l.record != nil {
			l.record.Forget(name)
		}
		l.hands.ask(func() {
			l.server.RemoveInterface(name)
			l.Store.Status(name, nil)
		})
		return
	}
	s := statedir.StatusOf(v.Interface.Clone())
	s.MTU, s.Running = v.MTU, v.Running
	if !v.Attached {
		s.Carpdev, s.Lladdr = "", v.Interface.MAC
	}
	if v.LinkLocal.IsValid() && v.LinkLocal != s.Lladdr.LinkLocal() {
		s.LinkLocal = v.LinkLocal
	}
	for n, state := range v.States {
		s.Nodes[n].State = state.String()
	}
	for _, p := range v.Peers {
		s.Heard = append(s.Heard, statedir.Heard{
			Addr: p.Addr.WithZone(""), Advbase: int(p.Advbase), Advskew: int(p.Advskew), Demote: int(p.Demote),
		})
	}
	if e, ok := l.last[name]; ok {
		s.Since, s.Reason = e.Time, e.Reason
	}
	l.hands.ask(func() {
		s.Index = l.hands.index[name]
		l.server.PublishInterface(s)
		l.Store.Status(name, s.Format())
	})
}

func (l *Loop) publishGroups() {
	demotion := map[string]int{}
	for _, name := range l.engine.Machine().GroupNames() {
		demotion[name] = l.engine.GroupDemotion(name)
	}
	holders := statedir.HoldersOf(l.engine.Machine())
	for name := range demotion {
		if holders[name] == nil {
			holders[name] = map[string]int{}
		}
		for cause, n := range l.engine.Causes(name) {
			holders[name][cause] += n
		}
	}
	l.server.PublishGroups(demotion, holders)
	l.Store.Status("groups", statedir.FormatGroups(demotion, holders))
}

// tellTied names the holders that an engine before has tied to connections.
func (l *Loop) tellTied() {
	for name, g := range l.engine.Machine().Groups {
		for holder := range g.Tied {
			l.server.Tied(name, holder)
		}
	}
}

func (l *Loop) publishSysctl() {
	s := l.engine.Machine().Sysctl
	l.server.PublishSysctl(s)
	l.Store.Status("sysctl", statedir.FormatSysctl(s))
}
