package statedir

import (
	"errors"
	"sync"
	"testing"
	"time"

	"carp/libcarp/config"
)

// holds waits until the group carp has that holder, or none.
func holds(t *testing.T, d Dir, name string, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		h, _, err := d.Holders()
		if err == nil && h["carp"][name] == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v, %v; want %s %d", h, err, name, n)
		}
	}
}

func TestHold(t *testing.T) {
	d := newDir(t)
	if _, err := d.Hold("carp", "backup", 20); !errors.Is(err, config.EAGAIN) {
		t.Errorf("without kernelsim: %v", err)
	}
	stop, _ := start(t, d)
	defer stop()
	h, err := d.Hold("carp", "backup", 20)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, d, "backup", 20)
	if _, err := d.Hold("carp", "backup", 30); !errors.Is(err, config.EBUSY) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := d.Hold("web", "backup", 1); !errors.Is(err, config.ENOENT) {
		t.Errorf("no such group: %v", err)
	}
	h.Release()
	if got, _, err := d.Holders(); err != nil || got["carp"]["backup"] != 0 {
		t.Errorf("after Release: %v, %v", got, err)
	}
	again, err := d.Hold("carp", "backup", 30)
	if err != nil {
		t.Fatal(err)
	}
	again.mu.Lock()
	again.conn.Close() // as when the process is killed; but this one lives, and asks again
	again.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	holds(t, d, "backup", 30)
	again.Release()
	holds(t, d, "backup", 0)
}

// What an engine before has tied is kept for a while, and then only for whom claims it.
func TestTied(t *testing.T) {
	set(t, &tiedPatience, 300*time.Millisecond)
	d := newDir(t)
	stop, l := start(t, d)
	defer stop()
	for _, name := range []string{"lost", "claimed", "set"} {
		change := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{
			{Word: config.Holder, Text: name, N: 5}, {Word: config.Tied, Text: name},
		}}
		if r := l.Change(Request{Change: change, Root: true}); r.Err != nil {
			t.Fatal(r.Err)
		}
		l.server.Tied("carp", name)
	}
	stranger := make(chan error)
	go func() {
		h, err := d.Hold("carp", "claimed", 7)
		if err == nil {
			h.Release()
		}
		stranger <- err
	}()
	time.Sleep(50 * time.Millisecond)
	holds(t, d, "claimed", 5)
	h := &Hold{dir: d, ended: make(chan struct{}), request: holdRequest("carp", "claimed", 5)}
	h.request.again = true
	r, err := h.ask(time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	go h.keep(r)
	defer h.Release()
	if err := <-stranger; !errors.Is(err, config.EBUSY) {
		t.Errorf("a stranger: %v", err)
	}
	for n := 0; n < 2; n++ { // the second one does nothing
		ch := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Holder, Text: "set", N: 7}}}
		if _, err := d.Change(ch); err != nil {
			t.Fatal(err)
		}
	}
	next, err := d.Hold("carp", "lost", 6) // waits for the one who does not come
	if err != nil {
		t.Fatal(err)
	}
	holds(t, d, "lost", 6)
	next.Release()
	holds(t, d, "lost", 0)
	time.Sleep(100 * time.Millisecond)
	holds(t, d, "claimed", 5)
	holds(t, d, "set", 7)
}

// Another user claims nothing, however he asks: the name stays free for root, and what an engine before has tied is still taken away.
func TestHoldOfAnotherUser(t *testing.T) {
	set(t, &tiedPatience, time.Second)
	d := newDir(t)
	uids, l := startAs(t, d)
	l.publish()
	ask := func(uid int, again bool) error {
		h := &Hold{dir: d, request: holdRequest("carp", "tied", 5)}
		h.request.again = again
		uids <- uid
		_, err := h.ask(time.Now().Add(5 * time.Second))
		return err
	}
	change := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{
		{Word: config.Holder, Text: "tied", N: 5}, {Word: config.Tied, Text: "tied"},
	}}
	if r := l.Change(Request{Change: change, Root: true}); r.Err != nil {
		t.Fatal(r.Err)
	}
	l.server.Tied("carp", "tied")
	at := time.Now()
	refused(t, ask(1000, true), config.EPERM)
	refused(t, ask(1000, false), config.EPERM)
	if waited := time.Since(at); waited > tiedPatience/2 {
		t.Errorf("another user waits %v for a name", waited)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		left := l.machine.Groups["carp"].Holders["tied"]
		l.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("another user keeps what was tied")
		}
	}

	entered, goOn := make(chan struct{}), make(chan struct{})
	l.before = sync.OnceFunc(func() { close(entered); <-goOn })
	other := make(chan error, 1)
	go func() { other <- ask(1000, false) }()
	<-entered // he is being refused
	root := make(chan error, 1)
	go func() { root <- ask(0, false) }()
	select {
	case err := <-root:
		t.Errorf("root, while another user is refused: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	refused(t, <-other, config.EPERM)
	if err := <-root; err != nil {
		t.Error(err)
	}
}
