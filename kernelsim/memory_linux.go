package main

import "golang.org/x/sys/unix"

// lockMemory keeps the memory of this process from being swapped out: an engine that waits for a disk answers too late, and its pass phrases would be
// on that. What was never touched takes no memory. The error is EPERM where it may not be.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return err
	}
	if limit.Cur != unix.RLIM_INFINITY { // an engine inherits that it was raised
		// What the runtime asks for later would come up against a limit, and that ends the process.
		none := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &none); err != nil {
			return err
		}
	}
	return unix.Mlockall(lockAll)
}

const lockAll = unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT

// checkMemory says why memory cannot be locked here, and leaves it as it was.
func checkMemory() error {
	if err := lockMemory(); err != nil {
		return err
	}
	return unix.Munlockall()
}
