package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRunning is what [Acquire] returns when another kernelsim has the directory.
var ErrRunning = errors.New("already running")

// How long Acquire waits for an engine that has outlived its supervisor to end, and then for it to die.
var (
	dyingPatience  = 5 * time.Second
	killedPatience = 2 * time.Second
)

// A Held is a state directory that belongs to this process, or to the one that handed it down.
type Held struct {
	Dir      Dir
	Lock     *os.File          // as long as a copy of this descriptor is open anywhere, nobody else can start
	Listener *net.UnixListener // of ctl; closing it leaves the socket's file
}

// Acquire takes the directory for a kernelsim: its locks, its files (see [Dir.Prepare]) and its socket. It returns ErrRunning
// when commands can connect to another. When the lock is held but nobody listens, an engine is about to end; it gets 5 s for
// that and is killed then, where the system lets us make sure of whom we kill (Linux).
//
// The order is what keeps commands and starts apart. Under edit, kernelsim takes lock and listens; under edit, a command that
// could not connect takes lock and edits. So a command finds a socket that listens, or edits before kernelsim reads.
func Acquire(d Dir) (*Held, error) {
	if d.served() {
		return nil, ErrRunning
	}
	if err := d.makeTop(); err != nil {
		return nil, err
	}
	edit, err := d.takeEdit()
	if err != nil {
		return nil, err
	}
	defer edit.Close()
	lock, err := d.takeLock()
	if err != nil {
		return nil, err
	}
	if err := d.Prepare(); err != nil {
		lock.Close()
		return nil, err
	}
	l, err := d.listen()
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &Held{Dir: d, Lock: lock, Listener: l}, nil
}

// Inherit takes over the descriptors that a Held's owner passed to this process, and closes them on exec again. It fails when
// the lock is another's or the socket does not listen.
func Inherit(lockFd, listenerFd uintptr) (*Held, error) {
	unix.CloseOnExec(int(lockFd))
	unix.CloseOnExec(int(listenerFd))
	lock := os.NewFile(lockFd, "lock")
	if err := flock(lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("the inherited lock is not ours: %w", err)
	}
	f := os.NewFile(listenerFd, "ctl")
	defer f.Close() // FileListener makes its own copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the inherited ctl does not listen: %w", err)
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("the inherited ctl is a %s socket", l.Addr().Network())
	}
	return &Held{Lock: lock, Listener: ul}, nil
}

// Close removes the socket and gives the directory up. It is for the one who acquired it: who inherited it just ends.
func (h *Held) Close() error {
	// The socket first: while we hold the lock it cannot be anybody else's.
	err := os.Remove(h.Dir.ctl())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if closeErr := h.Listener.Close(); !errors.Is(closeErr, net.ErrClosed) { // a Server may have closed it
		err = errors.Join(err, closeErr)
	}
	return errors.Join(err, h.Lock.Close())
}

// served reports whether a connection to ctl is taken, be it into a queue that is full for now.
func (d Dir) served() bool {
	c, err := net.Dial("unix", d.ctl())
	if err == nil {
		c.Close()
	}
	return err == nil || errors.Is(err, unix.EAGAIN)
}

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
func openLock(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// listen makes ctl. The socket appears under its name when it listens and everybody may connect to it; a stale one goes.
func (d Dir) listen() (*net.UnixListener, error) {
	if len(d.ctl())+1 > socketPathMax {
		return nil, fmt.Errorf("%s: a socket's path has at most %d bytes", d.ctl(), socketPathMax)
	}
	beside := d.path(".ctl")
	if err := os.RemoveAll(beside); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: beside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(beside, 0o666)
	if err == nil {
		err = os.Rename(beside, d.ctl())
	}
	if err != nil {
		l.Close()
		os.Remove(beside)
		return nil, err
	}
	return l, nil
}

// socketPathMax is sizeof(sun_path) less the NUL on a BSD; Linux has 4 bytes more.
const socketPathMax = 103
