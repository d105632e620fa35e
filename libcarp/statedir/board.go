package statedir

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"carp/libcarp/config"
)

// A board is what displays are answered from. The loop writes on it without ever waiting for a client: what is published is
// shared, not copied, and becomes text in the goroutine of who asks.
type board struct {
	mu         sync.Mutex
	interfaces map[string]Status
	groups     map[string]int
	holders    Holders
	sysctl     config.Sysctl
	stats      config.Stats
	carpStats  map[string]config.Stats
	event      int // number of the last
	waiters    map[*waiter]bool
}

func newBoard() *board {
	return &board{interfaces: map[string]Status{}, sysctl: config.DefaultSysctl(), waiters: map[*waiter]bool{}}
}

// A waiter is a client that waits for an interface to be in one of the states, or for the number of an event to be passed.
// It is answered from within the publishing, so that it does not miss a state that lasts for a moment.
type waiter struct {
	object string
	name   string
	states []string
	after  int
	answer chan answer // has room for the one
}

type answer struct {
	payload []byte
	err     error
}

// tell answers the waiters that test picks, with mu held.
func (b *board) tell(test func(*waiter) bool, a answer) {
	for w := range b.waiters {
		if test(w) {
			w.answer <- a
			delete(b.waiters, w)
		}
	}
}

func (b *board) publishInterface(st Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interfaces[st.Name] = st
	state := st.State()
	b.tell(func(w *waiter) bool { return w.isFor(st.Name) && slices.Contains(w.states, state) }, stateAnswer(state))
}

func (b *board) removeInterface(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.interfaces, name)
	b.tell(func(w *waiter) bool { return w.isFor(name) }, answer{err: noInterface})
}

func (b *board) publishEvent(number int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.event = number
	b.tell(func(w *waiter) bool { return w.object == objEvent && number > w.after }, eventAnswer(number))
}

var noInterface = &config.Error{Errno: config.ENXIO}

func stateAnswer(state string) answer { return answer{payload: []byte("state " + state + "\n")} }

func eventAnswer(number int) answer {
	return answer{payload: []byte(fmt.Sprintf("event %d\n", number))}
}

func (w *waiter) isFor(name string) bool { return w.object == objInterface && w.name == name }

// wait enters a waiter, or answers it at once.
func (b *board) wait(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st, exists := b.interfaces[w.name]
	switch {
	case w.object == objEvent && b.event > w.after:
		w.answer <- eventAnswer(b.event)
	case w.object == objInterface && !exists:
		w.answer <- answer{err: noInterface}
	case w.object == objInterface && slices.Contains(w.states, st.State()):
		w.answer <- stateAnswer(st.State())
	default:
		b.waiters[w] = true
	}
}

// forget takes out a waiter whose client has gone.
func (b *board) forget(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiters, w)
}

// show answers a display.
func (b *board) show(object, name string) ([]byte, error) {
	b.mu.Lock()
	one, exists := b.interfaces[name]
	var all []Status
	if object == objInterfaces {
		for _, st := range b.interfaces {
			all = append(all, st)
		}
	}
	holders := b.holders
	groups, sysctl, stats, carpStats := b.groups, b.sysctl, b.stats, b.carpStats
	b.mu.Unlock()

	switch object {
	case objInterface:
		if !exists {
			return nil, noInterface
		}
		return one.Format(), nil
	case objInterfaces:
		sortStatuses(all)
		var text []byte
		for n := range all {
			text = append(text, all[n].Format()...)
		}
		return text, nil
	case objGroups:
		return FormatGroups(groups, holders), nil
	case objSysctl:
		return FormatSysctl(sysctl), nil
	default:
		return FormatStats(stats, carpStats), nil
	}
}

// sortStatuses puts interfaces in the order of their creation.
func sortStatuses(all []Status) {
	slices.SortFunc(all, func(a, b Status) int {
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.Name, b.Name)
	})
}
