package statedir

import (
	"errors"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"carp/libcarp/config"
)

// set gives a variable another value for the time of a test.
func set[T any](t *testing.T, v *T, to T) {
	t.Helper()
	old := *v
	*v = to
	t.Cleanup(func() { *v = old })
}

// newDir returns a state directory that does not exist yet.
func newDir(t *testing.T) Dir { return Dir(filepath.Join(t.TempDir(), "carp")) }

// mustBeElsewhere fails a test that could be skipped on other systems alone.
func mustBeElsewhere(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "linux" {
		t.Fatal("on Linux nothing is skipped")
	}
}

// prepared returns a state directory with what Prepare makes.
func prepared(t *testing.T) Dir {
	t.Helper()
	d := newDir(t)
	if err := d.Prepare(); err != nil {
		t.Fatal(err)
	}
	return d
}

// A tinyLoop is a handler as simple as it can be: it commits, writes, publishes.
type tinyLoop struct {
	dir    Dir
	server *Server

	mu      sync.Mutex
	machine *config.Machine
	gen     int
	before  func() // called before each change, if not nil
	after   func(*Reply)
}

func (l *tinyLoop) Change(r Request) (reply Reply) {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.after != nil {
		defer func() { l.after(&reply) }()
	}
	if !r.Root {
		return Reply{Err: l.machine.Refuse(r.Change, nil)}
	}
	plan, err := l.machine.Plan(r.Change, nil)
	if err != nil || r.Check || plan.Done {
		return Reply{Err: err, Old: plan.Old, Gen: l.gen}
	}
	l.machine.Commit(plan)
	l.gen++
	if err := l.dir.write(l.machine, r.Change.Kind, r.Change.Name); err != nil {
		return Reply{Err: err}
	}
	l.publish()
	return Reply{Old: plan.Old, Gen: l.gen}
}

func (l *tinyLoop) publish() {
	for _, i := range l.machine.Sorted() {
		l.server.PublishInterface(StatusOf(i.Clone()))
	}
	demotion := map[string]int{}
	for name, g := range l.machine.Groups {
		demotion[name] = g.Demotion()
	}
	l.server.PublishGroups(demotion, HoldersOf(l.machine))
	l.server.PublishSysctl(l.machine.Sysctl)
}

// start acquires the directory and serves; what it returns first ends the serving and gives the directory up.
func start(t *testing.T, d Dir) (stop func(), l *tinyLoop) {
	t.Helper()
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	l = serve(t, held)
	var once sync.Once
	stop = func() {
		once.Do(func() {
			l.server.Close()
			if err := held.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop, l
}

// serve is what an engine process does with what it has inherited.
func serve(t *testing.T, held *Held) *tinyLoop {
	t.Helper()
	m, err := held.Dir.LoadMachine()
	if err != nil {
		t.Fatal(err)
	}
	l := &tinyLoop{dir: held.Dir, machine: m}
	l.server = NewServer(held.Listener, l)
	l.publish()
	l.server.Start()
	return l
}

// words makes a change of an interface from lines in config's words.
func words(t *testing.T, name string, lines ...string) config.Change {
	t.Helper()
	ch := config.Change{Kind: config.ForInterface, Name: name}
	for _, line := range lines {
		c, err := config.ParseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		ch.Clauses = append(ch.Clauses, c)
	}
	return ch
}

// refused checks that err is a refusal with this number.
func refused(t *testing.T, err error, want config.Errno) *config.Error {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) || e.Errno != want {
		t.Fatalf("error %v, want %v", err, want)
	}
	return e
}

// within fails the test when f has not returned after a time that is long even on a busy machine.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s takes too long", what)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
