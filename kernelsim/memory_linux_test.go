package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Memory is locked where there is no limit, and left alone where one cannot be taken away: beyond it this process would end. With CAP_IPC_LOCK, which
// this test takes, the kernel does what is asked without looking at a limit.
func TestLockMemory(t *testing.T) {
	t.Cleanup(func() { unix.Munlockall() })
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	err := lockMemory()
	if limit.Cur == unix.RLIM_INFINITY && err != nil {
		t.Errorf("no limit: %v", err)
	}
	if n := lockedPages(t); (n > 0) != (err == nil) {
		t.Errorf("error %v, and %d kilobytes are locked", err, n)
	}
	if err := unix.Mlockall(lockAll); err != nil {
		t.Fatal(err)
	}
	if n := lockedPages(t); n == 0 {
		t.Error("nothing is locked")
	}
}

// lockedPages returns how many kilobytes of this process are locked.
func lockedPages(t *testing.T) (n int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "\nVmLck:")
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
