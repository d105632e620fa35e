package libcarp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A recorder writes down what it is told, one word each.
type recorder struct{ told chan string }

func (r recorder) Event(e statedir.Event) error {
	r.told <- fmt.Sprint(e.Number)
	return nil
}
func (r recorder) Lost(first, last int) error {
	r.told <- fmt.Sprintf("lost %d-%d", first, last)
	return nil
}
func (r recorder) Anew() error                { r.told <- "anew"; return nil }
func (r recorder) Away(statedir.Remark) error { r.told <- "away"; return nil }

func (r recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-r.told:
			if got != w {
				t.Fatalf("told %q, not %q", got, w)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not told %q", w)
		}
	}
}

// events serves a state directory that happens to things.
func events(t *testing.T, dir string) (store *statedir.Store, end func()) {
	t.Helper()
	held, err := statedir.Acquire(statedir.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	store = statedir.OpenStore(statedir.Dir(dir), config.NewMachine(), t.Logf)
	k := &kernel{conf: config.NewMachine()}
	k.server = statedir.NewServer(held.Listener, k)
	store.OnEvent(k.server.PublishEvent)
	k.server.Start()
	return store, func() {
		k.server.Close()
		if err := errors.Join(store.Close(), held.Close()); err != nil {
			t.Error(err)
		}
	}
}

func happen(store *statedir.Store, times int) {
	for i := 0; i < times; i++ {
		store.Event(statedir.Event{Carp: "carp0", From: "BACKUP", To: "MASTER", Reason: "master timed out"})
	}
	done := make(chan struct{})
	store.Sync(func() { close(done) })
	<-done
}

// Every event comes once and in order: those before, those that happen, those after another start, and what fell out of the files as a gap.
func TestFollow(t *testing.T) {
	dir, err := os.MkdirTemp("", "carp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dir = filepath.Join(dir, "not", "there", "yet")
	c, r := Open(dir), recorder{make(chan string, 1<<17)}
	go c.Follow(0, r)
	r.expect(t, "away")
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	store, end := events(t, dir)
	happen(store, 3)
	r.expect(t, "1", "2", "3")
	end()
	r.expect(t, "away")
	store, end = events(t, dir)
	happen(store, 1)
	r.expect(t, "4")
	end()
	r.expect(t, "away")

	late := recorder{make(chan string, 10)}
	go c.Follow(2, late)
	late.expect(t, "3", "4", "away")

	store, end = events(t, dir)
	defer end()
	const many = 2<<20/60 + 1 // lines that fill both files
	go happen(store, many)
	for n := 5; n < 5+many; n++ { // the files are rotated under the reader, who is quick enough, or is told
		got := <-r.told
		var first, last int
		if _, err := fmt.Sscanf(got, "lost %d-%d", &first, &last); err == nil && first == n {
			n = last
			continue
		}
		if got != fmt.Sprint(n) {
			t.Fatalf("told %q, not %d", got, n)
		}
	}

	old := recorder{make(chan string, 1<<17)}
	go c.Follow(1, old)
	var first, last int
	if got := <-old.told; !scan(got, &first, &last) || first != 2 {
		t.Errorf("told %q of events that are in no file any more", got)
	}
	old.expect(t, fmt.Sprint(last+1))
	newer := recorder{make(chan string, 1<<17)}
	go c.Follow(1<<30, newer)
	newer.expect(t, "anew")
}

func scan(text string, first, last *int) bool {
	n, err := fmt.Sscanf(text, "lost %d-%d", first, last)
	return err == nil && n == 2
}

// The error of the one who is told ends it.
func TestFollowEnds(t *testing.T) {
	dir, err := os.MkdirTemp("", "carp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	store, end := events(t, filepath.Join(dir, "carp"))
	defer end()
	happen(store, 2)
	c := Open(filepath.Join(dir, "carp"))
	if last, err := c.LastEvent(); err != nil || last != 2 {
		t.Errorf("%d, %v", last, err)
	}
	if err := c.Follow(0, full{}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

var errFull = errors.New("full")

type full struct{ recorder }

func (full) Event(statedir.Event) error { return errFull }
