package statedir

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/internal/plainfile"
)

// How long Acquire waits for an engine that has outlived its supervisor to end, and then for it to die.
var (
	dyingPatience  = 5 * time.Second
	killedPatience = 2 * time.Second
)

// takeEdit waits for its turn to edit or to start.
func (d Dir) takeEdit() (*os.File, error) {
	f, err := openLock(d.edit())
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to lock %s: %w", d.edit(), err)
	}
	return f, nil
}

// tryLock takes the lock; the error is EWOULDBLOCK when somebody has it.
func (d Dir) tryLock() (*os.File, error) {
	f, err := openLock(d.lock())
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to lock %s: %w", d.lock(), err)
	}
	return f, nil
}

// takeLock takes the lock, by force when nobody serves. It needs edit.
func (d Dir) takeLock() (*os.File, error) {
	f, err := d.tryLock()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return f, err
	}
	if d.served() {
		return nil, ErrRunning
	}
	if f, err = openLock(d.lock()); err != nil {
		return nil, err
	}
	taken := make(chan error, 1)
	go func() { taken <- flock(f, unix.LOCK_EX) }()
	select {
	case err = <-taken:
	case <-time.After(dyingPatience):
		if err = killHolders(f); err != nil {
			break
		}
		select {
		case err = <-taken:
		case <-time.After(killedPatience):
			err = errors.New("its holder was killed and does not die")
		}
	}
	if err != nil {
		f.Close() // what still waits for it loses it with this
		return nil, fmt.Errorf("failed to lock %s: %w", d.lock(), err)
	}
	return f, nil
}

// openLock opens a file to be locked. Nobody but root may: whoever has it open can lock it.
func openLock(path string) (*os.File, error) {
	return plainfile.Open(path, os.O_RDWR|os.O_CREATE, 0o600)
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
