package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// setPriority lets every thread of a process run before all that has no real-time priority, or among the others again. Not one thread alone:
// what wakes the loop of an engine comes by way of the Go runtime's other threads, and the loop waits for locks that they have.
func setPriority(pid int, urgent bool) error {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}
	if urgent {
		attr.Policy, attr.Priority = unix.SCHED_RR, 1 // in turns with other engines
	}
	for done, more := map[int]bool{}, true; more; { // a thread that is made meanwhile has it from the one that makes it, or comes in the next list
		more = false
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil || done[tid] {
				continue
			}
			if err := unix.SchedSetAttr(tid, attr, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			done[tid], more = true, true
		}
	}
	return nil
}
