package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carp/libcarp/config"
)

// A logBook collects what is logged.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBook) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logBook) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func openStore(t *testing.T, d Dir) (*Store, *logBook) {
	t.Helper()
	log := &logBook{}
	m, err := d.LoadMachine()
	if err != nil {
		t.Fatal(err)
	}
	s := OpenStore(d, m, log.printf)
	return s, log
}

func contentOf(path string) string {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "(none)"
	}
	return string(data)
}

func TestStoreWritesInOrder(t *testing.T) {
	d := prepared(t)
	s, log := openStore(t, d)
	var order []string
	did := func(what string) func(error) {
		return func(err error) { order = append(order, fmt.Sprint(what, err)) }
	}
	synced := make(chan struct{})
	s.Want(config.ForInterface, "carp0", []byte("one"), did("carp0 "))
	s.Want(config.ForGroup, "carp", []byte("two"), did("group "))
	s.Want(config.ForSysctl, "", []byte("three"), did("sysctl "))
	s.Want(config.ForInterface, "carp1", []byte("x"), nil)
	s.Want(config.ForInterface, "carp1", nil, did("carp1 "))
	s.Want(config.ForInterface, "carp2", nil, did("never was "))
	s.Status("carp0", []byte("four"))
	s.Sync(func() { close(synced) })
	within(t, "to sync", func() { <-synced })
	if got := strings.Join(order, ", "); got != "carp0 <nil>, group <nil>, sysctl <nil>, carp1 <nil>, never was <nil>" {
		t.Error(got)
	}
	for path, want := range map[string]string{
		d.want("carp0"): "one", d.want("groups"): "two", d.want("sysctl"): "three", d.want("carp1"): "(none)", d.status("carp0"): "four",
	} {
		if got := contentOf(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]fs.FileMode{
		d.want("carp0"): 0o600, d.status("carp0"): 0o644, d.events(): 0o644, d.alive(): 0o644,
	} {
		if got := modeOf(t, path); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
	s.Status("carp0", nil)
	if err := s.Close(); err != nil { // and what is still to be done
		t.Error(err)
	}
	if got := contentOf(d.status("carp0")); got != "(none)" {
		t.Errorf("%q", got)
	}
	if lines := log.all(); lines != nil {
		t.Error(lines)
	}
}

func TestStatusCoalesces(t *testing.T) {
	d := prepared(t)
	s, _ := openStore(t, d)
	defer s.Close()
	gate := make(chan struct{})
	s.Sync(func() { <-gate })
	for n := range 1000 {
		s.Status("carp0", []byte(fmt.Sprint(n)))
	}
	var atSync string
	synced := make(chan struct{})
	s.Sync(func() { atSync = contentOf(d.status("carp0")); close(synced) })
	s.Status("carp0", []byte("last"))
	s.mu.Lock()
	waiting := len(s.queue)
	s.mu.Unlock()
	if waiting > 3 {
		t.Errorf("%d jobs wait", waiting)
	}
	close(gate)
	within(t, "to sync", func() { <-synced })
	if atSync != "last" {
		t.Errorf("%q", atSync)
	}
}

func TestStoreOnAFullDisk(t *testing.T) {
	set(t, &beatEvery, 20*time.Millisecond)
	d := Dir(fullDisk(t) + "/carp")
	if err := d.Prepare(); err != nil {
		t.Fatal(err)
	}
	s, log := openStore(t, d)
	defer s.Close()
	s.Status("carp0", []byte("MASTER"))
	s.Event(Event{Carp: "carp0", From: "BACKUP", To: "MASTER", Reason: "before"})
	within(t, "the first beat", func() {
		for contentOf(d.alive()) == "" {
			time.Sleep(time.Millisecond)
		}
	})
	ballast := filepath.Join(filepath.Dir(string(d)), "ballast")
	os.WriteFile(ballast, make([]byte, 1<<20), 0o600) // as much of it as there is room for

	wanted := make(chan error, 1)
	s.Want(config.ForInterface, "carp0", make([]byte, 8192), func(err error) { wanted <- err })
	if err := <-wanted; ErrnoOf(err) != config.ENOSPC {
		t.Errorf("%v", err)
	}
	var number atomic.Int64
	s.OnEvent(func(n int) { number.Store(int64(n)) })
	s.Status("carp0", []byte("BACKUP"))
	for range 100 { // more than the rest of the file's last page holds
		s.Event(Event{Carp: "carp0", From: "MASTER", To: "BACKUP", Reason: strings.Repeat("while full ", 10)})
	}
	beat := contentOf(d.alive())
	within(t, "a beat on the full disk", func() {
		for contentOf(d.alive()) == beat {
			time.Sleep(time.Millisecond)
		}
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	within(t, "the status to be tried again", func() {
		for contentOf(d.status("carp0")) != "BACKUP" {
			time.Sleep(time.Millisecond)
		}
	})
	s.Event(Event{Carp: "carp0", From: "BACKUP", To: "INIT", Reason: "after"})
	synced := make(chan struct{})
	s.Sync(func() { close(synced) })
	<-synced
	all, err := d.Events(0)
	if err != nil || number.Load() != 102 || all[len(all)-1].Number != 102 || all[len(all)-1].Reason != "after" || len(all) >= 102 {
		t.Errorf("%d events up to %d, %v", len(all), number.Load(), err)
	}
	if text := contentOf(d.events()); strings.Count(text, "\n") != len(all) || !strings.HasSuffix(text, "\n") {
		t.Errorf("torn lines in %q", text)
	}
	if lines := log.all(); len(lines) != 1 || !strings.Contains(lines[0], "no space left") {
		t.Errorf("%q", lines)
	}
}

func TestEventsGoOn(t *testing.T) {
	d := prepared(t)
	when := time.Date(2026, 1, 31, 13, 0, 0, 123456789, time.FixedZone("", 3600))
	for round := range 3 {
		s, _ := openStore(t, d)
		s.Event(Event{Time: when, Carp: "carp0", From: "BACKUP", To: "MASTER", Reason: "master timed out"})
		s.Close()
		line := fmt.Sprintf("%d 2026-01-31T12:00:00.123Z carp0 BACKUP MASTER master timed out\n", round+1)
		if text := contentOf(d.events()); !strings.HasSuffix(text, line) {
			t.Errorf("%q does not end in %q", text, line)
		}
	}
}

func TestEventsAfterDamage(t *testing.T) {
	const good = "41 2026-01-31T12:00:00.123Z carp0 BACKUP MASTER x\n"
	for what, c := range map[string]struct {
		events, old string
		next        int
	}{
		"nothing":         {"(none)", "(none)", 1},
		"empty":           {"", "(none)", 1},
		"just rotated":    {"(none)", good, 42},
		"rotated, empty":  {"", good, 42},
		"torn line":       {good + "42 2026-01-31T12", "(none)", 42},
		"only a torn one": {"42 2026-", good, 42},
		"zeros":           {good + strings.Repeat("\x00", 100) + "\n", "(none)", 42},
		"nonsense":        {"nonsense\n" + good, "nonsense\n", 42},
	} {
		d := prepared(t)
		for path, text := range map[string]string{d.events(): c.events, d.oldEvents(): c.old} {
			if text != "(none)" {
				os.WriteFile(path, []byte(text), 0o644)
			}
		}
		s, _ := openStore(t, d)
		told := make(chan int, 2)
		s.OnEvent(func(n int) { told <- n })
		s.Event(Event{Carp: "carp0", From: "MASTER", To: "BACKUP", Reason: "new"})
		s.Close()
		if last, n := <-told, <-told; last != c.next-1 || n != c.next {
			t.Errorf("%s: told %d, then %d, want %d", what, last, n, c.next)
		}
		text := contentOf(d.events())
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if e, err := ParseEvent(lines[len(lines)-1]); err != nil || e.Number != c.next || e.Reason != "new" || time.Since(e.Time) > time.Minute {
			t.Errorf("%s: %q", what, text)
		}
	}
}

func TestEventsRotate(t *testing.T) {
	set(t, &eventsMax, 1000)
	d := prepared(t)
	s, _ := openStore(t, d)
	const many = 100
	for range many {
		s.Event(Event{Carp: "carp0", From: "MASTER", To: "BACKUP", Reason: "again"})
	}
	s.Close()
	all, err := d.Events(0)
	if err != nil || len(all) < 20 || all[len(all)-1].Number != many {
		t.Fatalf("%d events, %v", len(all), err)
	}
	for n, e := range all {
		if e.Number != many-len(all)+n+1 {
			t.Errorf("event %d after %d", e.Number, n)
		}
	}
	for _, path := range []string{d.events(), d.oldEvents()} {
		if info, err := os.Stat(path); err != nil || info.Size() > eventsMax+100 || info.Mode().Perm() != 0o644 {
			t.Errorf("%v, %v", info, err)
		}
	}
	if some, err := d.Events(many - 3); err != nil || len(some) != 3 {
		t.Errorf("%v, %v", some, err)
	}
}

func TestAlive(t *testing.T) {
	set(t, &beatEvery, 20*time.Millisecond)
	d := prepared(t)
	os.WriteFile(d.alive(), []byte("of before"), 0o600)
	old := time.Now().Add(-time.Hour)
	os.Chtimes(d.alive(), old, old)
	s, _ := openStore(t, d)
	age := func() time.Duration {
		info, err := os.Stat(d.alive())
		if err != nil {
			t.Fatal(err)
		}
		return time.Since(info.ModTime())
	}
	within(t, "a beat", func() {
		for age() > time.Minute {
			time.Sleep(time.Millisecond)
		}
	})
	if text := contentOf(d.alive()); !strings.HasPrefix(text, "carp-alive 1\ntime 2") || strings.Count(text, "\n") != 2 {
		t.Errorf("%q", text)
	}
	s.Close()
	os.Chtimes(d.alive(), old, old)
	time.Sleep(3 * beatEvery)
	if age() < time.Minute {
		t.Error("it beats after the end")
	}
}

func TestOpenStoreSweeps(t *testing.T) {
	d := prepared(t)
	os.WriteFile(d.status("carp9"), nil, 0o644)
	s, _ := openStore(t, d)
	s.Close()
	if got := contentOf(d.status("carp9")); got != "(none)" {
		t.Errorf("%q", got)
	}
}
