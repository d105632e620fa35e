package loop

import (
	"net/netip"
	"sync"

	"carp/libcarp/host"
)

// hands is a queue of things to do, done by one goroutine in the order in which they were asked for: the address before its
// announcement, the announcement before the event. Asking never waits.
type hands struct {
	mu    sync.Mutex
	more  *sync.Cond
	queue []func()
	ended bool

	host host.Host
	did  func() // called after each thing; nil: nobody wants to know
	// What the work itself needs to remember; only the work touches it.
	index  map[string]int       // of the links
	carps  map[string]host.Carp // as last ensured, for trying again
	failed map[string]bool      // those of which that has failed
}

func newHands(h host.Host) *hands {
	w := &hands{host: h, index: map[string]int{}, carps: map[string]host.Carp{}, failed: map[string]bool{}}
	w.more = sync.NewCond(&w.mu)
	return w
}

// ask adds something to do.
func (w *hands) ask(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, f)
	w.more.Signal()
}

// work does what is asked, until end.
func (w *hands) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.queue) == 0 {
			if w.ended {
				return
			}
			w.more.Wait()
		}
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, f := range queue {
			f()
			if w.did != nil {
				w.did()
			}
		}
		w.mu.Lock()
	}
}

// end lets work return once everything that was asked is done.
func (w *hands) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.more.Signal()
}

// ensure makes a link. It runs as part of the work.
func (w *hands) ensure(c host.Carp) error {
	w.carps[c.Name] = c
	index, err := w.host.Ensure(c)
	if err != nil {
		w.failed[c.Name] = true
		return err
	}
	delete(w.failed, c.Name)
	w.index[c.Name] = index
	return nil
}

// announce tells the network of addresses, unless the link could not be made: what is not here is not told of. It runs as part of the work.
func (w *hands) announce(c host.Carp, addrs []netip.Addr) error {
	if w.failed[c.Name] {
		return nil
	}
	return w.host.Announce(c, addrs)
}

// remove takes a link away. It runs as part of the work.
func (w *hands) remove(name string) error {
	delete(w.carps, name)
	delete(w.index, name)
	delete(w.failed, name)
	return w.host.Remove(name)
}
