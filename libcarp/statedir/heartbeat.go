package statedir

import (
	"fmt"
	"os"
	"time"
)

// A heartbeat is status/alive. Its age is that of the file: the kernel stamps it with the clock that it also tells the
// reader, and if that clock is set, a second later the file is right again. The time inside is for people. The file is overwritten
// in place with as many bytes as it had, so that a full disk, which would keep it from being replaced, does not stop it.
type heartbeat struct{ file *os.File }

// openHeartbeat opens the file and leaves its age alone: until the first beat nobody believes what a predecessor has left.
func openHeartbeat(d Dir) (*heartbeat, error) {
	f, err := os.OpenFile(d.alive(), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return nil, err
	}
	return &heartbeat{f}, nil
}

func (h *heartbeat) beat(now time.Time) error {
	text := fmt.Sprintf("carp-alive 1\ntime %s\n", now.UTC().Format(timeFormat))
	_, err := h.file.WriteAt([]byte(text), 0)
	return err
}

func (h *heartbeat) close() { h.file.Close() }
