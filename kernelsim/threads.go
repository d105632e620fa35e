package main

import (
	"runtime"
	"sync"
)

// How many threads each process has from its beginning on, and how many of them at most run Go at a time. All others wait in system calls, of which
// a process of 255 carps under load has ten at once, or are kept: for signals, for a cell.
const (
	threadsMade = 24
	threadsBusy = 4
)

// makeThreads makes them: the Go runtime lets none of them go, unless a goroutine ends that has locked its own, and would end the process when it needs
// one more that cannot be made, as where a cgroup has its limit of processes.
func makeThreads() {
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), threadsBusy))
	var met, unlocked sync.WaitGroup
	met.Add(threadsMade)
	unlocked.Add(threadsMade)
	for range threadsMade {
		go func() {
			defer unlocked.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			met.Done()
			met.Wait()
		}()
	}
	unlocked.Wait()
}
