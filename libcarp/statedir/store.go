package statedir

import (
	"errors"
	"sync"
	"time"

	"carp/libcarp/config"
)

// How often status/alive is overwritten and failed status files are tried again, and how often a failure is logged.
var (
	beatEvery = time.Second
	logEvery  = time.Minute
)

// A Store writes the files of a state directory for the loop, in the order in which it is asked to, from one goroutine. Its
// methods never wait for a disk. What it calls back runs in that goroutine and keeps the next file waiting.
type Store struct {
	dir    Dir
	logf   func(format string, args ...any)
	events *eventLog
	alive  *heartbeat

	mu      sync.Mutex
	queue   []func()
	status  map[string][]byte // what the status jobs in the queue will write: always the latest
	onEvent func(number int)
	wake    chan struct{} // has room for one
	ending  chan struct{}
	ended   chan struct{}

	// Of the goroutine alone.
	failed map[string][]byte // status files that could not be written
	logged time.Time
}

// OpenStore opens the store of a prepared directory, which held the configuration m a moment ago. There may be one at a time. logf, which may not
// wait either, is told of failures, once a minute: nobody loses an address because of a file that only tells of it.
func OpenStore(d Dir, m *config.Machine, logf func(format string, args ...any)) *Store {
	events, eventsErr := openEvents(d)
	alive := &heartbeat{path: d.alive()}
	aliveErr := alive.open()
	s := &Store{
		dir: d, logf: logf, events: events, alive: alive, status: map[string][]byte{}, failed: map[string][]byte{},
		wake: make(chan struct{}, 1), ending: make(chan struct{}), ended: make(chan struct{}),
	}
	s.report(errors.Join(d.sweep(m), eventsErr, aliveErr))
	go s.run()
	return s
}

// Want writes the want/ file of an interface, the groups or the sysctls; nil content removes it. done, which may be nil, is told
// when it is on disk, or why it is not: then the old content is.
func (s *Store) Want(kind config.Kind, name string, content []byte, done func(error)) {
	s.do(func() {
		err := s.dir.publishWant(kind, name, content)
		s.report(err)
		if done != nil {
			done(err)
		}
	})
}

// Status writes a file of status/; nil content removes it. Of several contents that wait for the disk only the last is
// written, where the first would have been. One that cannot be written is tried again each second.
func (s *Store) Status(file string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, waits := s.status[file]
	s.status[file] = content
	if !waits {
		s.add(func() { s.writeStatus(file) })
	}
}

// Event appends a line to events. One without a time happened now; the number is the store's.
func (s *Store) Event(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.do(func() {
		number, err := s.events.append(e)
		s.report(err)
		s.mu.Lock()
		told := s.onEvent
		s.mu.Unlock()
		if told != nil {
			told(number)
		}
	})
}

// OnEvent names who is told the number of each event once its line is written, and that of the last one at once.
func (s *Store) OnEvent(told func(number int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onEvent = told
	s.add(func() { told(s.events.number) })
}

// LastEvents returns the last event of each carp, as far as the files go back. It is for the start.
func (s *Store) LastEvents() map[string]Event {
	last, err := s.dir.lastEvents()
	s.report(err)
	return last
}

// Sync calls done when everything that was asked for before is written, or has failed.
func (s *Store) Sync(done func()) { s.do(done) }

// Close writes what is still to be written and ends the store. What is asked for later is lost. The last beat of status/alive
// stays, to grow old.
func (s *Store) Close() error {
	close(s.ending)
	<-s.ended
	return s.events.close()
}

func (s *Store) do(job func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(job)
}

// add needs mu.
func (s *Store) add(job func()) {
	s.queue = append(s.queue, job)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Store) run() {
	defer close(s.ended)
	defer s.alive.close()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-s.wake:
			s.work()
		case now := <-beat.C:
			s.report(s.alive.beat(now))
			s.tryAgain()
		case <-s.ending:
			s.work()
			return
		}
	}
}

// work does all that is in the queue, and what is added meanwhile.
func (s *Store) work() {
	for {
		s.mu.Lock()
		queue := s.queue
		s.queue = nil
		s.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, job := range queue {
			job()
		}
	}
}

func (s *Store) writeStatus(file string) {
	s.mu.Lock()
	content := s.status[file]
	delete(s.status, file)
	s.mu.Unlock()
	delete(s.failed, file)
	if err := publishOrRemove(s.dir.status(file), content, 0o644); err != nil {
		s.failed[file] = content
		s.report(err)
	}
}

// tryAgain writes the status files that could not be written, lest an old one be believed.
func (s *Store) tryAgain() {
	for file, content := range s.failed {
		s.mu.Lock()
		_, newer := s.status[file]
		s.mu.Unlock()
		if !newer {
			s.Status(file, content)
		}
	}
}

// report logs a failure, unless one was logged a moment ago.
func (s *Store) report(err error) {
	if err == nil || time.Since(s.logged) < logEvery {
		return
	}
	s.logged = time.Now()
	s.logf("state directory: %v", err)
}
