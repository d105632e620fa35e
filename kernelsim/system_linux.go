package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/host/linux"
	"carp/libcarp/host/linux/gate"
	"carp/libcarp/statedir"
)

// supported reports whether there is a back end for this system.
func supported() error { return nil }

// self is the program that runs, even when another one has its place on disk by now.
func self() string { return "/proc/self/exe" }

// isTerminal reports whether somebody may look at what is written there.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// spinMax is for how long at most an engine with a real-time priority computes without a pause, in microseconds.
const spinMax = 5e6

// confine keeps the pass phrases out of core dumps, and other users' debuggers away. And it lets the kernel end this process when it has a real-time
// priority and computes for ever: see [supervisor.hurry].
func confine() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("failed to forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("failed to forbid core dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: spinMax, Max: spinMax}); err != nil {
		return fmt.Errorf("failed to limit the time of computing: %w", err)
	}
	return nil
}

// newMemory makes a file in memory, in which an engine leaves what the next one needs.
func newMemory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("failed to make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openParting opens what the supervisor bows out with.
func openParting(dir statedir.Dir) (parting, error) { return linux.OpenParting(string(dir)) }

func inheritParting(dir statedir.Dir, fd int) parting {
	unix.CloseOnExec(fd)
	return linux.InheritParting(fd, string(dir))
}

// newGate makes the gate.
func newGate(dir statedir.Dir) (shutter, error) { return gate.New(string(dir)) }

// inheritGate opens the gate of the program that this one replaces.
func inheritGate(dir statedir.Dir, fds []int64) (shutter, error) {
	var all []int
	for _, fd := range fds {
		unix.CloseOnExec(int(fd))
		all = append(all, int(fd))
	}
	return gate.Open(string(dir), all)
}

// openHost opens the data plane, with the gate if it was inherited. The function that it returns silences what a dead engine left, except what
// goes on, and takes away what is not wanted any more.
func openHost(dir statedir.Dir, record *os.File, m *config.Machine, gated bool, debug, warn func(string, ...any)) (host.Host, func() error, error) {
	o := linux.Options{Mark: string(dir), Record: linux.NewRecord(record), Logf: debug, Warnf: warn}
	o.Kept = dir.Carpdevs()
	if gated {
		var fds []int
		for n := range gate.FileCount {
			fds = append(fds, fdGate+n)
		}
		var err error
		if o.Gate, err = gate.Open(string(dir), fds); err != nil {
			return nil, nil, err
		}
	}
	h, err := linux.Open(o)
	if err != nil {
		return nil, nil, err
	}
	keep := map[string]bool{}
	for name := range m.Interfaces {
		keep[name] = true
	}
	return h, func() error { return h.Adopt(keep) }, nil
}

// checkAll says for each thing that kernelsim needs whether it is here; it returns the exit code.
func checkAll(dir statedir.Dir, w io.Writer) int {
	code := 0
	say := func(what string, err error) {
		if err == nil {
			fmt.Fprintf(w, "ok\t%s\n", what)
			return
		}
		why := strings.ReplaceAll(err.Error(), "\n", "; ") // several files may be damaged
		fmt.Fprintf(w, "no\t%s: %s\n", what, why)
		code = 1
	}
	m, err := dir.LoadMachine()
	say(fmt.Sprintf("configuration in %s", dir), err)
	if m != nil {
		for _, i := range m.Sorted() {
			if i.Carpdev != "" {
				say(fmt.Sprintf("%s: carpdev %s", i.Name, i.Carpdev), linux.FindCarpdev(i.Carpdev))
			}
		}
	}
	names, untold := managersTold("/")
	if len(names) == 0 {
		names = []string{"none"}
	}
	more := []linux.Check{
		{What: "memory that is not swapped out (RLIMIT_MEMLOCK)", Err: checkMemory(), Spared: true},
		{What: "confinement of the engine process", Err: checkCell(), Spared: true},
		{What: "network manager (" + strings.Join(names, ", ") + ")", Err: untold, Spared: true},
	}
	for _, c := range append(linux.Checks(), more...) {
		before := code
		say(c.What, c.Err)
		if c.Spared {
			code = before
		}
	}
	return code
}
