package plainfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyPlainFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	os.WriteFile(in("plain"), []byte("text"), 0o600)
	os.WriteFile(in("twice"), []byte("text"), 0o600)
	os.Link(in("twice"), in("hard link"))
	os.Symlink(in("plain"), in("link"))
	os.Symlink(in("none"), in("dangling"))
	os.Mkdir(in("dir"), 0o700)
	unix.Mkfifo(in("fifo"), 0o600)
	os.WriteFile(in("huge"), nil, 0o600)
	os.Truncate(in("huge"), Max+1)
	for _, c := range []struct{ name, read, write string }{
		{"plain", "", ""}, {"hard link", "", "another name"}, {"link", "symbolic link", "symbolic link"}, {"dangling", "symbolic link", "symbolic link"},
		{"dir", "no file", "is a directory"}, {"fifo", "no file", "no file"}, {"huge", "more than", ""},
	} {
		_, err := Read(in(c.name))
		if c.read == "" && err != nil || c.read != "" && (err == nil || !strings.Contains(err.Error(), c.read)) {
			t.Errorf("reading %s: %v", c.name, err)
		}
		f, err := Own(in(c.name), os.O_WRONLY|os.O_CREATE, 0o600)
		if c.write == "" && err != nil || c.write != "" && (err == nil || !strings.Contains(err.Error(), c.write)) {
			t.Errorf("writing %s: %v", c.name, err)
		}
		f.Close()
	}
	for _, name := range []string{"plain", "twice"} {
		if data, err := os.ReadFile(in(name)); name == "twice" && string(data) != "text" || err != nil {
			t.Errorf("%s holds %q, %v", name, data, err)
		}
	}
	if _, err := os.Lstat(in("none")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a link was followed")
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	victim, path, beside := filepath.Join(dir, "victim"), filepath.Join(dir, "f"), filepath.Join(dir, ".new.f")
	os.WriteFile(victim, []byte("text"), 0o600)
	for _, put := range []func() error{
		func() error { return nil }, func() error { return os.Symlink(victim, beside) }, func() error { return os.Link(victim, beside) },
		func() error { return unix.Mkfifo(beside, 0o600) }, func() error { return os.Mkdir(beside, 0o700) }, func() error { return os.Remove(path) },
		func() error { os.Remove(path); return os.Symlink(victim, path) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, []byte("new"), 0o640); err != nil {
			t.Error(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o640 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if data, _ := os.ReadFile(path); string(data) != "new" {
			t.Errorf("%q", data)
		}
		if data, _ := os.ReadFile(victim); string(data) != "text" {
			t.Errorf("the victim holds %q", data)
		}
	}
	os.MkdirAll(filepath.Join(beside, "x"), 0o700)
	if err := Replace(path, []byte("newer"), 0o600); err == nil {
		t.Error("a directory with something in it went")
	}
	if data, _ := os.ReadFile(path); string(data) != "new" {
		t.Errorf("%q", data)
	}
}
