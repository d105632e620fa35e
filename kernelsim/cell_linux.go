package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"carp/libcarp/statedir"
)

// engineCaps are the capabilities of an engine process: links, addresses and sysctls, packet sockets, and the gate.
const engineCaps = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_BPF

// supervisorCaps are those of the supervisor: what it hands down, the right to take the rest from the bounding set, and to set another
// process's priority.
const supervisorCaps = engineCaps | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_SYS_NICE

// What Landlock lets an engine process do with files (landlock(7)); all else that the kernel can forbid is forbidden.
const (
	inStateDir = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	inSysctls = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	ofProgram = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE // to become an engine at all
)

// A cell is what the engine processes are started in. They meet what strangers send; whoever takes one over is not to get farther.
type cell struct {
	ruleset int         // of Landlock; -1: none
	sysctls *os.File    // never read: procfs makes a new inode when it has forgotten the old one, which is the one that Landlock knows
	asked   chan func() // what its thread is to do, until this is closed
	spoilt  bool        // the thread has lost privileges, and is of no other use
	locked  bool        // it has lost all that it should
}

// newCell prepares a cell for engines of a program; err says what it cannot keep in, and is no reason not to use it.
func newCell(dir statedir.Dir, program string) (c *cell, err error) {
	c = &cell{ruleset: -1, asked: make(chan func())}
	go onItsOwnThread(func() {
		for f := range c.asked {
			f()
		}
		if !c.spoilt {
			runtime.UnlockOSThread()
		}
	})
	if c.sysctls, err = openPath("/proc/sys/net"); err != nil {
		return c, err
	}
	if err := isStatic(program); err != nil {
		return c, err
	}
	fd, abi, err := newRuleset()
	if err != nil {
		return c, fmt.Errorf("landlock: %w", err)
	}
	for path, access := range map[string]uint64{string(dir): inStateDir, program: ofProgram} {
		if err == nil {
			err = allow(fd, path, access&handled(abi))
		}
	}
	if err == nil {
		err = allowFile(fd, c.sysctls, inSysctls)
	}
	if err != nil {
		unix.Close(fd)
		return c, fmt.Errorf("landlock: %w", err)
	}
	c.ruleset = fd
	return c, nil
}

// checkCell says what a cell could not keep in here, and changes nothing.
func checkCell() error {
	if err := isStatic(self()); err != nil {
		return err
	}
	fd, _, err := newRuleset()
	if err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return unix.Close(fd)
}

// isStatic fails for a program that needs others to be executed: built with cgo, it cannot start in a cell.
func isStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("not built with CGO_ENABLED=0")
		}
	}
	return nil
}

func (c *cell) close() {
	close(c.asked)
	if c.ruleset >= 0 {
		unix.Close(c.ruleset)
	}
	c.sysctls.Close() // of nil: an error that nobody needs
}

// handled are the kinds of access to files that a version of Landlock knows.
func handled(abi int) uint64 {
	switch all := uint64(unix.LANDLOCK_ACCESS_FS_IOCTL_DEV<<1 - 1); {
	case abi < 2:
		return all &^ (unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)
	case abi < 3:
		return all &^ (unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)
	case abi < 5:
		return all &^ unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	default:
		return all
	}
}

// newRuleset makes a ruleset that allows nothing: no file, no TCP, no signal to and no abstract socket of a process outside.
func newRuleset() (fd, abi int, err error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return -1, 0, errno
	}
	abi = int(version)
	attr := unix.LandlockRulesetAttr{Access_fs: handled(abi)}
	size := unsafe.Sizeof(attr.Access_fs)
	if abi >= 4 {
		attr.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.Access_net)
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		size += unsafe.Sizeof(attr.Scoped)
	}
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return -1, abi, errno
	}
	return int(r), abi, nil
}

func openPath(path string) (*os.File, error) { return os.OpenFile(path, unix.O_PATH, 0) }

func allow(ruleset int, path string, access uint64) error {
	f, err := openPath(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return allowFile(ruleset, f, access)
}

// allowFile adds a rule for a file, or for all that is in a directory.
func allowFile(ruleset int, f *os.File, access uint64) error {
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(f.Fd())}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("failed to allow %s: %w", f.Name(), errno)
	}
	return nil
}

// start starts a command in the cell. The cell's thread is locked in and becomes the command's parent, so that all threads of the command are, from the
// first on. It is one for all commands: where no thread can be made any more, one that ends is missed.
func (c *cell) start(cmd *exec.Cmd) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // as exec would, on that thread
	if err != nil {
		return err
	}
	defer null.Close()
	if cmd.Stdin == nil {
		cmd.Stdin = null
	}
	if cmd.Stdout == nil {
		cmd.Stdout = null
	}
	if cmd.Stderr == nil {
		cmd.Stderr = null
	}
	started := make(chan struct{})
	c.asked <- func() {
		defer close(started)
		if err = c.lockIn(); err == nil {
			err = cmd.Start()
		}
	}
	<-started
	return err
}

// onItsOwnThread runs f on a thread that ends with it. The process's first thread cannot end: it is kept busy while another one is found.
func onItsOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			onItsOwnThread(f)
			return
		}
		f()
	}()
	<-done
}

// lockIn takes from this thread what no engine process needs.
func (c *cell) lockIn() error {
	if c.locked {
		return nil
	}
	c.spoilt = true
	if err := dropCaps(engineCaps, thisThread); err != nil {
		return fmt.Errorf("failed to drop capabilities: %w", err)
	}
	if c.ruleset >= 0 {
		if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(c.ruleset), 0, 0); errno != 0 {
			return fmt.Errorf("landlock: %w", errno)
		}
	}
	c.locked = true
	return nil
}

// keepCaps leaves this process, the supervisor, no more capabilities than it needs.
func keepCaps() error {
	err := dropCaps(supervisorCaps, allThreads)
	if err != nil && !errors.Is(err, syscall.ENOTSUP) { // built with cgo, and then not confined either
		return fmt.Errorf("failed to drop capabilities: %w", err)
	}
	return nil
}

// A reach is whom a change of privileges is for.
type reach struct {
	prctl  func(option, a, b uintptr) syscall.Errno
	capset func(*unix.CapUserHeader, *unix.CapUserData) syscall.Errno
}

var thisThread = reach{
	prctl: func(option, a, b uintptr) syscall.Errno {
		_, _, errno := unix.RawSyscall6(unix.SYS_PRCTL, option, a, b, 0, 0, 0)
		return errno
	},
	capset: func(h *unix.CapUserHeader, d *unix.CapUserData) syscall.Errno {
		_, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(h)), uintptr(unsafe.Pointer(d)), 0)
		return errno
	},
}

var allThreads = reach{
	prctl: func(option, a, b uintptr) syscall.Errno {
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, option, a, b, 0, 0, 0)
		return errno
	},
	capset: func(h *unix.CapUserHeader, d *unix.CapUserData) syscall.Errno {
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(h)), uintptr(unsafe.Pointer(d)), 0)
		return errno
	},
}

// dropCaps leaves those capabilities that are there and wanted, and no way to get others: not by executing a program either.
func dropCaps(wanted uint64, of reach) error {
	if errno := of.prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return errno
	}
	for n := uintptr(0); ; n++ {
		has, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, n, 0)
		if errno != 0 {
			break // the kernel has no more
		}
		if has == 0 || wanted&(1<<n) != 0 {
			continue
		}
		if errno := of.prctl(unix.PR_CAPBSET_DROP, n, 0); errno == unix.EPERM {
			break // without CAP_SETPCAP; since there are no new privileges, nothing comes of what is in the bounding set
		} else if errno != 0 {
			return errno
		}
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		return err
	}
	for i := range caps {
		left := caps[i].Permitted & uint32(wanted>>(32*i))
		caps[i] = unix.CapUserData{Effective: left, Permitted: left, Inheritable: left}
	}
	if errno := of.capset(&hdr, &caps[0]); errno != 0 {
		return errno
	}
	// For a user other than root, who would lose them when he executes a program. Where it is not allowed, or the kernel knows no such thing, root
	// goes on.
	for n := uintptr(0); n < 64; n++ {
		if caps[n/32].Permitted&(1<<(n%32)) != 0 {
			of.prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, n)
		}
	}
	return nil
}
