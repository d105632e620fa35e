package statedir

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// killHolders kills every process but this one that has the lock file open. Since nobody else opens it, they are the engine that
// does not end, and at most a supervisor that lost its socket.
func killHolders(lock *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(lock.Fd()), &st); err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := killHolder(pid, &st); err == nil {
			killed++
		} else if !errors.Is(err, errNoHolder) {
			return fmt.Errorf("failed to kill process %d, which holds it: %w", pid, err)
		}
	}
	if killed == 0 {
		return errors.New("a process that cannot be seen from here holds it")
	}
	return nil
}

var errNoHolder = errors.New("does not have the lock open")

// killHolder takes a handle of the process first and looks then: should the process end and its number go to another between
// any two steps, the signal still goes to the one that was looked at, or to nobody.
func killHolder(pid int, lock *unix.Stat_t) error {
	handle, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer unix.Close(handle)
	}
	switch {
	case err == unix.ESRCH, !hasOpen(pid, lock):
		return errNoHolder
	case err != nil:
		return err
	}
	if err := unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

// listenerLives reports whether the process that made ctl still holds the directory. A connection knows it (unix(7), SO_PEERCRED: who
// called listen); one of another pid namespace, which it does not, counts as alive.
func (d Dir) listenerLives(c *net.UnixConn) bool {
	pid, err := withFD(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return 0, err
		}
		return int(cred.Pid), nil
	})
	var lock unix.Stat_t
	if err != nil || pid == 0 || unix.Stat(d.lock(), &lock) != nil {
		return true
	}
	return hasOpen(pid, &lock)
}

// hasOpen reports whether the process has the file open.
func hasOpen(pid int, file *unix.Stat_t) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		// Only what has the name is worth a stat, which could hang on a dead network file system.
		link, err := os.Readlink(path)
		if err != nil || filepath.Base(link) != "lock" {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Dev == file.Dev && st.Ino == file.Ino {
			return true
		}
	}
	return false
}
