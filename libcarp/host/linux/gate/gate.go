//go:build linux

package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// How many slots and shared addresses there can be.
const (
	slotMax = 16384
	addrMax = 16384
)

// A Gate is the filters of one state directory in one network namespace, that of the thread that made it. Its methods may be called from any goroutine
// in that namespace.
type Gate struct {
	mark string // the state directory: by it our filters are known from those of others
	maps maps

	mu     sync.Mutex // held for moments: renewing must not wait for the kernel
	memory []byte     // slots, as the kernel sees it
	table  table

	editing sync.Mutex // the maps
	hints   []byte     // as the kernel sees it
	hooking sync.Mutex // the filters
	netlink *netlink.Handle
	progs   programs
	hooks   map[int]*hook // by index of the interface
}

// New makes a gate with maps of its own. It needs CAP_BPF and CAP_NET_ADMIN; the error says what is missing.
func New(mark string) (*Gate, error) {
	m, err := newMaps()
	if err != nil {
		return nil, err
	}
	g, err := build(mark, m)
	if err != nil {
		return nil, err
	}
	if err := g.probe(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Open returns the gate whose [Gate.Files] were inherited, as descriptors of this process, which it takes over. Its leases, and which slot is which
// carp's, are what they were; SetAddrs has to be told every carp's addresses before anything else, at once.
func Open(mark string, fds []int) (*Gate, error) {
	m, err := openMaps(fds)
	if err != nil {
		return nil, err
	}
	g, err := build(mark, m)
	if err != nil {
		return nil, err
	}
	if err := g.inherit(); err != nil {
		g.Close()
		return nil, fmt.Errorf("failed to read the gate: %w", err)
	}
	return g, nil
}

func build(mark string, m maps) (*Gate, error) {
	g := &Gate{mark: mark, maps: m, hooks: map[int]*hook{}, progs: programs{maps: m, others: map[other]*ebpf.Program{}}}
	var err error
	if g.memory, err = unix.Mmap(m.slots.FD(), 0, slotMax*leaseSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		g.Close()
		return nil, fmt.Errorf("failed to map the slots: %w", err)
	}
	g.table = newTable(unsafe.Slice((*int64)(unsafe.Pointer(&g.memory[0])), slotMax))
	if g.hints, err = unix.Mmap(m.hints.FD(), 0, hintsSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		g.Close()
		return nil, fmt.Errorf("failed to map the hints: %w", err)
	}
	if g.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		g.Close()
		return nil, fmt.Errorf("failed to open netlink: %w", err)
	}
	return g, nil
}

// inherit reads what an earlier process has put into the maps.
func (g *Gate) inherit() error {
	carps, addrs := map[string]int{}, map[Addr]int{}
	err := g.maps.carps.each(func(name, slot []byte) {
		carps[unix.ByteSliceToString(name)] = int(binary.NativeEndian.Uint32(slot) % slotMax)
	})
	if err != nil {
		return err
	}
	err = g.maps.addrs.each(func(key, slot []byte) {
		addrs[addrOf([keySize]byte(key))] = int(binary.NativeEndian.Uint32(slot) % slotMax)
	})
	if err != nil {
		return err
	}
	g.table.inherit(carps, addrs)
	return nil
}

// Files returns the descriptors that another process needs to [Open] this gate: duplicates, which the caller closes.
func (g *Gate) Files() ([]*os.File, error) {
	var files []*os.File
	for _, m := range g.maps.all() {
		fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("failed to duplicate the gate's descriptors: %w", err)
		}
		files = append(files, os.NewFile(uintptr(fd), "gate"))
	}
	return files, nil
}

// Close lets go of the gate. The filters stay and go on; see [Gate.DetachAll].
func (g *Gate) Close() error {
	g.hooking.Lock()
	defer g.hooking.Unlock()
	g.progs.close()
	if g.netlink != nil {
		g.netlink.Close()
	}
	var err error
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.memory != nil {
		g.table.leases = nil
		err = unix.Munmap(g.memory)
		g.memory = nil
	}
	if g.hints != nil {
		err = errors.Join(err, unix.Munmap(g.hints))
		g.hints = nil
	}
	return errors.Join(err, g.maps.close())
}

// Add returns the carp's slot, which is shut when it is new. The error is ENOSPC when there are too many carps.
func (g *Gate) Add(carp string) (int, error) {
	g.editing.Lock()
	defer g.editing.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if slot, ok := g.table.carps[carp]; ok {
		return slot, nil
	}
	slot, err := g.table.take()
	if err != nil {
		return 0, err
	}
	if err := g.maps.carps.put(nameOf(carp), slotBytes(slot)); err != nil {
		g.table.free(slot)
		return 0, fmt.Errorf("failed to put %s into the gate: %w", carp, err)
	}
	g.table.carps[carp] = slot
	return slot, nil
}

// Carps returns the names of the carps that were added, also by a process before this one.
func (g *Gate) Carps() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.table.carps))
	for name := range g.table.carps {
		names = append(names, name)
	}
	return names
}

// Remove shuts and forgets a carp. Its link must be gone, or its filters: another carp may have its slot next.
func (g *Gate) Remove(carp string) error {
	g.mu.Lock()
	slot, ok := g.table.carps[carp]
	g.mu.Unlock()
	if !ok {
		return nil
	}
	g.Shut(slot)
	if err := g.SetAddrs(map[string][]Addr{carp: nil}); err != nil {
		return err
	}
	g.editing.Lock()
	defer g.editing.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.maps.carps.remove(nameOf(carp)); err != nil {
		return fmt.Errorf("failed to take %s out of the gate: %w", carp, err)
	}
	delete(g.table.carps, carp)
	g.table.free(slot)
	return nil
}

// An Addr is a shared address and where it is one: a link-local address on a carpdev, another one in a VRF.
type Addr struct {
	Domain int // see [Domain]
	Addr   netip.Addr
}

// Domain returns the domain of an address on a carpdev that is in a VRF, 0: in none. Both are indexes of interfaces.
func Domain(a netip.Addr, carpdev, vrf int) int {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return carpdev
	}
	return vrf
}

// key returns what addrs has the address under.
func (a Addr) key() (k [keySize]byte) {
	binary.NativeEndian.PutUint32(k[:], uint32(a.Domain))
	addr := a.Addr.As16()
	copy(k[4:], addr[:])
	return k
}

func addrOf(k [keySize]byte) Addr {
	return Addr{int(binary.NativeEndian.Uint32(k[:])), netip.AddrFrom16([16]byte(k[4:])).Unmap()}
}

// nameOf returns what the map of carps has a carp under.
func nameOf(carp string) []byte {
	k := make([]byte, unix.IFNAMSIZ)
	copy(k[:len(k)-1], carp)
	return k
}

func slotBytes(slot int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(slot)) }

// SetAddrs makes these the addresses of those carps, which were added. An address that is on several carps is answered for while any of their leases
// is fresh. The error is E2BIG or ENOSPC when there are too many; then some of the addresses may be set, and the others are tried again the next time.
func (g *Gate) SetAddrs(want map[string][]Addr) error {
	g.editing.Lock()
	defer g.editing.Unlock()
	g.mu.Lock()
	edits, err := g.table.set(want)
	g.mu.Unlock()
	if err != nil {
		return fmt.Errorf("failed to set addresses: %w", err)
	}
	var errs []error
	for _, e := range edits {
		if err := g.edit(e); err != nil {
			errs = append(errs, err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table.settle(edits, len(errs) > 0)
	if len(errs) == 0 {
		g.clearHints(edits)
	}
	return errors.Join(errs...)
}

// end returns where the hint for an address stands.
func (a Addr) end() uint16 {
	k := a.key()
	return binary.NativeEndian.Uint16(k[keySize-2:])
}

// clearHints takes back those for addresses that have gone, where no other ends in the same way.
func (g *Gate) clearHints(edits []edit) {
	gone := map[uint16]bool{}
	for _, e := range edits {
		if e.slot < 0 {
			gone[e.addr.end()] = true
		}
	}
	if len(gone) == 0 {
		return
	}
	for a := range g.table.addrs {
		delete(gone, a.end())
	}
	for end := range gone {
		g.hints[end] = 0
	}
}

// edit writes one change to addrs.
func (g *Gate) edit(e edit) error {
	key := e.addr.key()
	if e.slot < 0 {
		if err := g.maps.addrs.remove(key[:]); err != nil {
			return fmt.Errorf("failed to take %s out of the gate: %w", e.addr.Addr, err)
		}
		return nil
	}
	g.hints[e.addr.end()] = 1 // first: what has none passes
	if err := g.maps.addrs.put(key[:], slotBytes(e.slot)); err != nil {
		return fmt.Errorf("failed to put %s into the gate: %w", e.addr.Addr, err)
	}
	return nil
}

// Renew lets the carp of the slot answer until then, in nanoseconds of CLOCK_BOOTTIME. It takes no system call.
func (g *Gate) Renew(slot int, until int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table.renew(slot, until)
}

// Shut silences the carp of the slot.
func (g *Gate) Shut(slot int) { g.Renew(slot, 0) }

// ShutAll silences every carp.
func (g *Gate) ShutAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table.shutAll()
}
