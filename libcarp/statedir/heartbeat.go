package statedir

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"carp/libcarp/internal/plainfile"
)

// A heartbeat is status/alive. Its age is that of the file: the kernel stamps it with the clock that it also tells the
// reader, and if that clock is set, a second later the file is right again. The time inside is for people. The file is overwritten
// in place with as many bytes as it had, so that a full disk, which would keep it from being replaced, does not stop it.
type heartbeat struct {
	path string
	file *os.File
	info fs.FileInfo // of it
}

// beat makes the file anew if somebody has taken it away, or put something else in its place.
func (h *heartbeat) beat(now time.Time) error {
	if there, err := os.Lstat(h.path); h.file == nil || err != nil || !os.SameFile(there, h.info) {
		if err := h.open(); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("carp-alive 1\ntime %s\n", now.UTC().Format(timeFormat))
	_, err := h.file.WriteAt([]byte(text), 0)
	return err
}

// open leaves the file's age alone: until the first beat nobody believes what a predecessor has left.
func (h *heartbeat) open() error {
	h.close()
	const flags = os.O_WRONLY | os.O_CREATE
	f, err := plainfile.Own(h.path, flags, 0o644)
	if err != nil {
		if os.Remove(h.path) != nil {
			return err
		}
		if f, err = plainfile.Own(h.path, flags, 0o644); err != nil {
			return err
		}
	}
	if err = f.Chmod(0o644); err == nil {
		h.info, err = f.Stat()
	}
	if err != nil {
		f.Close()
		return err
	}
	h.file = f
	return nil
}

func (h *heartbeat) close() {
	if h.file != nil {
		h.file.Close()
		h.file = nil
	}
}
