package statedir

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// put makes a thing of some kind at path in the place of what is there; outside holds what it leads to.
func put(t *testing.T, kind, path, outside string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	var err error
	switch kind {
	case "FIFO":
		err = unix.Mkfifo(path, 0o600)
	case "symbolic link":
		err = os.Symlink(filepath.Join(outside, "victim"), path)
	case "dangling link":
		err = os.Symlink(filepath.Join(outside, "made"), path)
	case "hard link":
		err = os.Link(filepath.Join(outside, "victim"), path)
	case "socket":
		var l *net.UnixListener
		if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err == nil {
			l.SetUnlinkOnClose(false)
			l.Close()
		}
	case "directory":
		err = os.MkdirAll(filepath.Join(path, "x"), 0o755)
	case "file without end":
		if err = os.WriteFile(path, nil, 0o600); err == nil {
			err = os.Truncate(path, 1<<40)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever stands under the names of a state directory, nobody waits for it, nothing outside is read, written or made, and what needs none of it is done.
func TestStrangeFiles(t *testing.T) {
	const text = "carp-want 1\ncreate\norder 0\nup\nnot to be cut"
	set(t, &beatEvery, 20*time.Millisecond)
	for _, kind := range []string{"FIFO", "symbolic link", "dangling link", "hard link", "socket", "directory", "file without end"} {
		for _, name := range []string{"version", "lock", "edit", "memory", "events", "events.0", ".new.version", "want/carp0", "want/.new.carp0", "status/carp0",
			"status/.new.carp0", "status/alive", "status/carp7"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				d, outside := newDir(t), t.TempDir()
				if _, err := d.Change(words(t, "carp0", "create", "vhid 1")); err != nil {
					t.Fatal(err)
				}
				victim := filepath.Join(outside, "victim")
				if err := os.WriteFile(victim, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				put(t, kind, d.path(name), outside)
				within(t, "a change, a display and a start", func() {
					d.Change(words(t, "carp0", "vhid 2"))
					d.Interfaces()
					if held, err := Acquire(d); err == nil {
						held.Close()
					}
					d.LoadMachine()
				})
				within(t, "to serve", func() { strangeStore(t, d, kind, name) })
				if got := contentOf(victim); got != text {
					t.Errorf("a file outside is now %.200q", got)
				}
				if left, _ := filepath.Glob(outside + "/*"); len(left) != 1 {
					t.Errorf("outside there is %q", left)
				}
			})
		}
	}
}

// strangeStore writes what an engine writes. Only what has the name of a strange thing that cannot be taken away may fail.
func strangeStore(t *testing.T, d Dir, kind, name string) {
	log := &logBook{}
	s := OpenStore(d, config.NewMachine(), log.printf)
	m, err := OpenMemory(d)
	if err == nil {
		m.Slot("a")
		m.Close()
	}
	strange := kind == "FIFO" || kind == "socket" || strings.HasSuffix(kind, "link")
	if name == "memory" && strange && err == nil {
		t.Error("the memory is outside, or is none")
	}
	for range 2 {
		s.Event(Event{Carp: "carp0", From: "INIT", To: "BACKUP", Reason: "carpdev gone"})
	}
	s.Status("carp0", []byte("x"))
	failed := make(chan error, 1)
	s.Want(config.ForInterface, "carp0", []byte("x"), func(err error) { failed <- err })
	if err := <-failed; err != nil && (strange || kind == "file without end" || !strings.HasPrefix(name, "want/")) {
		t.Error(err)
	}
	alive := func() bool {
		info, err := os.Lstat(d.alive())
		return err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) < time.Second
	}
	if kind != "directory" || name != "status/alive" {
		for !alive() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.Close()
	if kind == "directory" && strings.HasPrefix(name, "events") {
		return // one of the two cannot be renamed
	}
	if last, err := d.lastEvents(); name != "events.0" && (err != nil && name != "events" || last["carp0"].Reason != "carpdev gone") {
		t.Errorf("the last events are %v, %v: %s", last, err, fmt.Sprint(log.all()))
	}
}

// A file that is taken away from under a server is there again with the next beat.
func TestAliveTakenAway(t *testing.T) {
	set(t, &beatEvery, 20*time.Millisecond)
	d := prepared(t)
	s, _ := openStore(t, d)
	defer s.Close()
	there := func() bool { _, err := os.Stat(d.alive()); return err == nil }
	within(t, "to beat", func() {
		for !there() {
			time.Sleep(5 * time.Millisecond)
		}
		os.Remove(d.alive())
		for !there() {
			time.Sleep(5 * time.Millisecond)
		}
	})
}
