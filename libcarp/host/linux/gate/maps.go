//go:build linux

package gate

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// maps are the gate's memory in the kernel. They live as long as a process or a filter has them.
type maps struct {
	addrs *kernelMap // an address leads to a slot; see Addr.key
	slots *kernelMap // when the lease ends
	carps *kernelMap // the name of a carp leads to its slot: for the next process, no program looks here
	hints *kernelMap // one value with a byte for each end of an address, its last 16 bits: 0 where addrs has none that ends so
}

func (m maps) all() []*kernelMap { return []*kernelMap{m.addrs, m.slots, m.carps, m.hints} }

func (m maps) close() error {
	var errs []error
	for _, m := range m.all() {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

// specs say what the maps are, in the order of all.
var specs = []*ebpf.MapSpec{
	{Name: "carp_addrs", Type: ebpf.Hash, KeySize: keySize, ValueSize: slotSize, MaxEntries: addrMax, Flags: unix.BPF_F_NO_PREALLOC},
	{Name: "carp_slots", Type: ebpf.Array, KeySize: slotSize, ValueSize: leaseSize, MaxEntries: slotMax, Flags: unix.BPF_F_MMAPABLE},
	{Name: "carp_carps", Type: ebpf.Hash, KeySize: unix.IFNAMSIZ, ValueSize: slotSize, MaxEntries: slotMax, Flags: unix.BPF_F_NO_PREALLOC},
	{Name: "carp_hints", Type: ebpf.Array, KeySize: slotSize, ValueSize: hintsSize, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE},
}

// FileCount is how many files a gate has.
var FileCount = len(specs)

func newMaps() (m maps, err error) {
	for i, into := range []**kernelMap{&m.addrs, &m.slots, &m.carps, &m.hints} {
		*into, err = newMap(specs[i])
		if errors.Is(err, unix.EPERM) && unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}) == nil {
			*into, err = newMap(specs[i]) // a kernel before 5.11 counts maps as locked memory
		}
		if err != nil {
			m.close()
			return maps{}, fmt.Errorf("failed to make a map (it takes CAP_BPF and Linux 5.8): %w", plain(err))
		}
	}
	return m, nil
}

// plain returns EPERM for an error that begins with it: the ebpf package adds that too little memory may be locked, which kernels before 5.11 alone count.
func plain(err error) error {
	if errors.Is(err, unix.EPERM) {
		return unix.EPERM
	}
	return err
}

// openMaps takes descriptors over, also when it fails.
func openMaps(fds []int) (m maps, err error) {
	into := []**kernelMap{&m.addrs, &m.slots, &m.carps, &m.hints}
	if len(fds) != len(into) {
		err = fmt.Errorf("%d descriptors instead of %d", len(fds), len(into))
	}
	for i, fd := range fds {
		if err != nil {
			unix.Close(fd)
			continue
		}
		*into[i], err = openMap(fd, specs[i])
	}
	if err != nil {
		m.close()
		return maps{}, fmt.Errorf("failed to open the gate's maps: %w", err)
	}
	return m, nil
}
