//go:build !linux

package statedir

import (
	"time"

	"carp/libcarp/config"
)

// A watch looks again each second; kqueue(2) tells of a directory that was written to, and not of the ones below it that came.
type watch struct{}

func newWatch(string) (*watch, error) { return &watch{}, nil }

func (*watch) wait(deadline time.Time) error {
	rest := time.Until(deadline)
	if rest <= 0 {
		return &config.Error{Errno: config.ETIMEDOUT}
	}
	time.Sleep(min(rest, time.Second))
	return nil
}

func (*watch) close() {}
