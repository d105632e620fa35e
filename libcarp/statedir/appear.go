package statedir

import (
	"errors"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitServer returns once somebody listens on ctl, or at the deadline with config.ETIMEDOUT. On Linux it does not poll.
func (d Dir) AwaitServer(deadline time.Time) error {
	for {
		w, err := newWatch(d.existing()) // before looking, so that nothing is missed
		if err != nil {
			return err
		}
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: d.ctl(), Net: "unix"})
		switch {
		case err == nil:
			c.Close()
			w.close()
			return nil
		case errors.Is(err, unix.EAGAIN): // it has much to do
			w.close()
			return nil
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED):
			w.close()
			return err
		}
		err = w.wait(deadline)
		w.close()
		if err != nil {
			return err
		}
	}
}

// existing is the directory, or the nearest one above it that exists.
func (d Dir) existing() string {
	path, err := filepath.Abs(string(d))
	if err != nil {
		return "/"
	}
	for unix.Access(path, unix.F_OK) != nil && path != "/" {
		path = filepath.Dir(path)
	}
	return path
}
