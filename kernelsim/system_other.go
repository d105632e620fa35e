//go:build !linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/statedir"
)

// supported reports whether there is a back end for this system.
func supported() error { return fmt.Errorf("no back end for %s yet", runtime.GOOS) }

func self() string { return os.Args[0] }

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TIOCGETA)
	return err == nil
}

func confine() error { return supported() }

func lockMemory() error { return supported() }

type cell struct{}

func newCell(statedir.Dir, string) (*cell, error) { return new(cell), supported() }

func (*cell) start(*exec.Cmd) error { return supported() }

func (*cell) close() {}

func setPriority(int, bool) error { return supported() }

func keepCaps() error { return supported() }

func newMemory(string) (*os.File, error) { return nil, supported() }

func openParting(statedir.Dir) (parting, error) { return nil, supported() }

func inheritParting(statedir.Dir, int) parting { return nil }

func inheritGate(statedir.Dir, []int64) (shutter, error) { return nil, supported() }

func newGate(statedir.Dir) (shutter, error) { return nil, supported() }

func openHost(statedir.Dir, *os.File, *config.Machine, bool, func(string, ...any), func(string, ...any)) (host.Host, func() error, error) {
	return nil, nil, supported()
}

func checkAll(statedir.Dir, io.Writer) int { return 1 }
