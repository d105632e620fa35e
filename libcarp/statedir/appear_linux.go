package statedir

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// A watch tells that something appeared in a directory, or that it went.
type watch struct{ file *os.File }

func newWatch(dir string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("failed to watch %s: %w", dir, err)
	}
	const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	if _, err := unix.InotifyAddWatch(fd, dir, events); err != nil && !errors.Is(err, unix.ENOENT) {
		unix.Close(fd)
		return nil, fmt.Errorf("failed to watch %s: %w", dir, err)
	}
	return &watch{os.NewFile(uintptr(fd), "inotify")}, nil
}

func (w *watch) wait(deadline time.Time) error {
	w.file.SetReadDeadline(deadline)
	_, err := w.file.Read(make([]byte, 4096))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &config.Error{Errno: config.ETIMEDOUT}
	}
	return err
}

func (w *watch) close() { w.file.Close() }
