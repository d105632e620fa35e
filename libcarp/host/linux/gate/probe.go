//go:build linux

package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// clockTolerance is by how much BPF's clock may differ from ours. The kernel reads it in a way that can be a little off.
const clockTolerance = time.Millisecond

// ErrClock: this process is in a time namespace whose CLOCK_BOOTTIME is not the kernel's own, which eBPF goes by.
var ErrClock = errors.New("the boottime clock of this time namespace is not that of eBPF")

// Probe says what keeps a gate from working here: no eBPF, one of a kernel that is too old, no CAP_BPF, or another clock.
func Probe() error {
	g, err := New("")
	if err != nil {
		return err
	}
	return g.Close()
}

// probe loads each program once, and compares clocks.
func (g *Gate) probe() error {
	for _, egress := range []bool{false, true} {
		prog, err := g.progs.carp(egress, 0)
		if err != nil {
			return fmt.Errorf("%w (Linux 5.8)", err)
		}
		prog.Close()
		if _, err := g.progs.other(other{egress: egress}); err != nil {
			return fmt.Errorf("%w (Linux 5.8)", err)
		}
	}
	return compareClocks()
}

func compareClocks() error {
	prog, err := load("carp_clock", clockCode())
	if err != nil {
		return err
	}
	defer prog.Close()
	for try := 0; ; try++ {
		before, err := boottime()
		if err != nil {
			return err
		}
		theirs, err := kernelBoottime(prog)
		if err != nil {
			return err
		}
		after, err := boottime()
		if err != nil {
			return err
		}
		if theirs >= before-int64(clockTolerance) && theirs <= after+int64(clockTolerance) {
			return nil
		}
		if try == 2 {
			return fmt.Errorf("%w: by %v", ErrClock, time.Duration(theirs-before))
		}
	}
}

func kernelBoottime(prog *ebpf.Program) (int64, error) {
	_, out, err := prog.Test(make([]byte, 64))
	if err != nil {
		return 0, fmt.Errorf("failed to run a program: %w", err)
	}
	if len(out) < 8 {
		return 0, fmt.Errorf("a program has left %d bytes", len(out))
	}
	return int64(binary.NativeEndian.Uint64(out)), nil
}

func boottime() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("failed to read CLOCK_BOOTTIME: %w", err)
	}
	return ts.Nano(), nil
}
