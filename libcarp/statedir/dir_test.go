package statedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestPrepareModes(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		d := newDir(t)
		old := unix.Umask(umask)
		err := d.Prepare()
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]fs.FileMode{
			string(d): fs.ModeDir | 0o755, d.path("want"): fs.ModeDir | 0o700, d.path("status"): fs.ModeDir | 0o755, d.version(): 0o444,
		} {
			if got := modeOf(t, path); got != want {
				t.Errorf("umask %03o: %s has mode %v, want %v", umask, path, got, want)
			}
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	t.Run("newer layout", func(t *testing.T) {
		d := prepared(t)
		os.Remove(d.version())
		os.WriteFile(d.version(), []byte("carp-state 2\nfuture words\n"), 0o444)
		refused(t, d.Prepare(), config.EPROGMISMATCH)
		_, _, err := d.Interfaces()
		refused(t, err, config.EPROGMISMATCH)
		_, err = Acquire(d)
		refused(t, err, config.EPROGMISMATCH)
	})
	t.Run("no version at all in it", func(t *testing.T) {
		d := prepared(t)
		os.Remove(d.version())
		os.WriteFile(d.version(), []byte("\x00\x00"), 0o444)
		if err := d.Prepare(); err == nil || !strings.Contains(err.Error(), d.version()) {
			t.Error(err)
		}
	})
	t.Run("others can write", func(t *testing.T) {
		d := newDir(t)
		os.Mkdir(string(d), 0o755)
		os.Chmod(string(d), 0o1777)
		if err := d.Prepare(); err == nil || !strings.Contains(err.Error(), "others") {
			t.Error(err)
		}
	})
	t.Run("another's", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Fatal("needs root")
		}
		d := newDir(t)
		os.Mkdir(string(d), 0o755)
		os.Chown(string(d), 12345, 12345)
		if err := d.Prepare(); err == nil || !strings.Contains(err.Error(), "others") {
			t.Error(err)
		}
	})
	t.Run("want is a link to elsewhere", func(t *testing.T) {
		d := newDir(t)
		os.Mkdir(string(d), 0o755)
		os.Symlink("/tmp", d.path("want"))
		if err := d.Prepare(); !errors.Is(err, unix.ENOTDIR) {
			t.Error(err)
		}
	})
}

func TestAnotherBootIsDiscarded(t *testing.T) {
	d := prepared(t)
	if bootID() == "" {
		mustBeElsewhere(t)
		t.Skip("this system does not tell its boots apart")
	}
	if _, err := d.Change(words(t, "carp0", "need", "vhid 1")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(d.events(), []byte("7 2026-01-31T12:00:00.123Z carp0 BACKUP MASTER x\n"), 0o644)
	os.Remove(d.version())
	os.WriteFile(d.version(), (version{layout: 1, boot: "another"}).format(), 0o444)

	if all, remark, err := d.Interfaces(); err != nil || len(all) != 0 || remark != NotRunning {
		t.Errorf("shown before it is discarded: %v, %q, %v", all, remark, err)
	}
	if err := d.Prepare(); err != nil {
		t.Fatal(err)
	}
	m, err := d.LoadMachine()
	if err != nil || len(m.Interfaces) != 0 {
		t.Errorf("%v, %v", m.Interfaces, err)
	}
	if _, err := os.Stat(d.events()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("events: %v", err)
	}
	if v, err := d.readVersion(); err != nil || v.boot != bootID() {
		t.Errorf("version %+v, %v", v, err)
	}
}

func TestUnknownBootDiscardsNothing(t *testing.T) {
	for _, c := range []struct {
		left, now string
		other     bool
	}{{"a", "a", false}, {"a", "b", true}, {"", "b", false}, {"a", "", false}, {"", "", false}} {
		if got := (&version{boot: c.left}).ofOtherBoot(c.now); got != c.other {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestPublish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, content := range []string{"one", "two, longer", ""} {
		if err := publish(path, []byte(content), 0o444); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content || modeOf(t, path) != 0o444 {
			t.Errorf("%q, %v, %v", got, err, modeOf(t, path))
		}
	}
	if err := publishOrRemove(path, nil, 0o444); err != nil {
		t.Error(err)
	}
	if err := publishOrRemove(path, nil, 0o444); err != nil {
		t.Errorf("gone already: %v", err)
	}
}

// fullDisk mounts a file system with room for a few pages.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := mountTiny(dir); err != nil {
		t.Fatalf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
	return dir
}

func TestPublishOnAFullDisk(t *testing.T) {
	dir := fullDisk(t)
	path := filepath.Join(dir, "x")
	if err := publish(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := publish(path, make([]byte, 1<<20), 0o644)
	if ErrnoOf(err) != config.ENOSPC {
		t.Errorf("%v", err)
	}
	entries, _ := os.ReadDir(dir)
	if got, _ := os.ReadFile(path); string(got) != "old" || len(entries) != 1 {
		t.Errorf("%q, %v", got, entries)
	}
}
