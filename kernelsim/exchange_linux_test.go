package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket that is handed down stays non-blocking for the process that accepts from it.
func TestShare(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "ctl"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := share(l)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("true")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
	})
	if again, err := net.FileListener(f); err != nil {
		t.Errorf("it is no listening socket: %v", err)
	} else {
		again.Close()
	}
}

// The program is found by its path, by its name in PATH, and, started under another name, as the file that runs.
func TestProgramOf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kernelsim")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for argv0, want := range map[string]string{path: path, "kernelsim": path, "another name": self} {
		if got, err := programOf(argv0); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", argv0, got, err, want)
		}
	}
}
