package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// lockMemory keeps the memory of this process from being swapped out: an engine that waits for a disk answers too late, and its pass phrases would be
// on that. What was never touched takes no memory. The error is EPERM where it may not be.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return err
	}
	none := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if limit.Cur == unix.RLIM_INFINITY || unix.Setrlimit(unix.RLIMIT_MEMLOCK, &none) == nil { // an engine inherits that it was raised
		return unix.Mlockall(lockAll)
	}
	// What the runtime asks for later must not come up against the limit, which would end the process. Only the capability, in the first user namespace,
	// lets one pass that may lock nothing.
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		return err
	}
	return errors.Join(unix.Mlockall(lockAll), unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit))
}

const lockAll = unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT

// checkMemory says why memory cannot be locked here, and leaves it as it was.
func checkMemory() error {
	if err := lockMemory(); err != nil {
		return err
	}
	return unix.Munlockall()
}
