package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrRunning is what [Acquire] returns when another kernelsim has the directory.
var ErrRunning = errors.New("already running")

// A Held is a state directory that belongs to this process, or to the one that handed it down.
type Held struct {
	Dir      Dir               // empty: inherited
	Lock     *os.File          // as long as a copy of this descriptor is open anywhere, nobody else can start
	Listener *net.UnixListener // of ctl; closing it leaves the socket's file
}

// Acquire takes the directory for a kernelsim: its locks, its files (see [Dir.Prepare]) and its socket. It returns ErrRunning
// when there is another. When the lock is held though that one is dead, an engine has outlived it; it gets 5 s to end and is
// killed then, where the system lets us make sure of whom we kill (Linux).
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

// Close gives the directory up. The one who acquired it, or who has executed itself anew and set Dir, removes the socket too.
func (h *Held) Close() error {
	var err error
	if h.Dir != "" { // the socket first: while we hold the lock it cannot be anybody else's
		err = os.Remove(h.Dir.ctl())
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if closeErr := h.Listener.Close(); !errors.Is(closeErr, net.ErrClosed) { // a Server may have closed it
		err = errors.Join(err, closeErr)
	}
	return errors.Join(err, h.Lock.Close())
}

// served reports whether a kernelsim runs: a connection to ctl is taken, be it into a queue that is full for now, and not only because
// an engine has outlived the one who made the socket.
func (d Dir) served() bool {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: d.ctl(), Net: "unix"})
	if err != nil {
		return errors.Is(err, unix.EAGAIN)
	}
	defer c.Close()
	return d.listenerLives(c)
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
