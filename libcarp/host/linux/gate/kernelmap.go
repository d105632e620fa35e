//go:build linux

package gate

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A kernelMap is a map by its descriptor alone (bpf(2)). The ebpf package's own reads /proc/self/fdinfo to take over a descriptor, which a process that may
// see no files but its own cannot.
type kernelMap struct {
	file *os.File
	spec *ebpf.MapSpec
}

// newMap makes a map.
func newMap(spec *ebpf.MapSpec) (*kernelMap, error) {
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &kernelMap{os.NewFile(uintptr(fd), spec.Name), spec}, nil
}

// openMap takes a descriptor over, also when it is not that of such a map.
func openMap(fd int, spec *ebpf.MapSpec) (*kernelMap, error) {
	unix.CloseOnExec(fd)
	m := &kernelMap{os.NewFile(uintptr(fd), spec.Name), spec}
	var info struct{ kind, id, keySize, valueSize, maxEntries uint32 } // linux/bpf.h: struct bpf_map_info
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&info)
	attr := struct {
		fd, size uint32
		info     uint64
	}{uint32(fd), uint32(unsafe.Sizeof(info)), address(&info)}
	err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch {
	case err != nil:
		err = fmt.Errorf("descriptor %d: %w", fd, err)
	case info.kind != uint32(spec.Type) || info.keySize != spec.KeySize || info.valueSize != spec.ValueSize || info.maxEntries != spec.MaxEntries:
		err = fmt.Errorf("descriptor %d is not %s", fd, spec.Name)
	default:
		return m, nil
	}
	m.Close()
	return nil, err
}

// FD returns the descriptor.
func (m *kernelMap) FD() int { return int(m.file.Fd()) }

func (m *kernelMap) Close() error { return m.file.Close() }

// lookup reads the value of a key; the error is ENOENT when there is none.
func (m *kernelMap) lookup(key, value []byte) error {
	return m.element(unix.BPF_MAP_LOOKUP_ELEM, key, value)
}

// put sets the value of a key.
func (m *kernelMap) put(key, value []byte) error {
	return m.element(unix.BPF_MAP_UPDATE_ELEM, key, value)
}

// remove deletes a key, which may be missing.
func (m *kernelMap) remove(key []byte) error {
	err := m.element(unix.BPF_MAP_DELETE_ELEM, key, nil)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// each calls f with every key and its value, while nobody changes the map. They are the same memory each time.
func (m *kernelMap) each(f func(key, value []byte)) error {
	var last []byte
	key, value := make([]byte, m.spec.KeySize), make([]byte, m.spec.ValueSize)
	for {
		err := m.element(unix.BPF_MAP_GET_NEXT_KEY, last, key)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err == nil {
			err = m.lookup(key, value)
		}
		if err != nil {
			return err
		}
		f(key, value)
		last = append(last[:0], key...)
	}
}

// element carries out a command on an element: what the kernel calls the value is the next key in one case.
func (m *kernelMap) element(cmd uintptr, key, value []byte) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	attr := struct { // linux/bpf.h: union bpf_attr
		fd                uint32
		_                 uint32
		key, value, flags uint64
	}{fd: uint32(m.FD())}
	if len(key) > 0 {
		pin.Pin(&key[0])
		attr.key = address(&key[0])
	}
	if len(value) > 0 {
		pin.Pin(&value[0])
		attr.value = address(&value[0])
	}
	return bpf(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

func address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size); errno != 0 {
		return errno
	}
	return nil
}
