package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"carp/libcarp/internal/plainfile"
)

// The file `memory` is an array of slots: a key in slotKey bytes, padded with zeros, and what belongs to it. It grows by chunks, which are
// a whole number of pages on every machine.
const (
	slotSize  = 1024
	slotKey   = 32
	chunkSize = 64 << 10
	slotsMax  = 4096
)

// SlotSize is how many bytes a slot holds, from a multiple of eight on.
const SlotSize = slotSize - slotKey

// A Memory keeps what must outlive the processes of kernelsim: the file is mapped, so that what an engine stores is there for the next
// one, however the first ended. It is not safe for concurrent use.
type Memory struct {
	file   *os.File
	chunks [][]byte // as mapped
	slots  [][]byte
	taken  map[int]bool // asked for since it was opened
}

// OpenMemory opens the memory of a prepared directory.
func OpenMemory(d Dir) (*Memory, error) {
	f, err := plainfile.Own(d.memory(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m := &Memory{file: f, taken: map[int]bool{}}
	size, err := f.Seek(0, io.SeekEnd)
	for n := int64(0); err == nil && n < min(size/slotSize, slotsMax); n += chunkSize / slotSize {
		err = m.grow()
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", d.memory(), err)
	}
	return m, nil
}

// grow maps one more chunk. Its bytes are written first where they are not there yet: a hole that the disk has no room to fill would
// kill whoever stores into it.
func (m *Memory) grow() error {
	offset := int64(len(m.slots)) * slotSize
	have, err := m.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if missing := offset + chunkSize - have; missing > 0 {
		if _, err := m.file.WriteAt(make([]byte, missing), offset+chunkSize-missing); err != nil {
			return errors.Join(err, m.file.Truncate(have))
		}
	}
	chunk, err := unix.Mmap(int(m.file.Fd()), offset, chunkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	m.chunks = append(m.chunks, chunk)
	for ; len(chunk) > 0; chunk = chunk[slotSize:] {
		m.slots = append(m.slots, chunk[:slotSize:slotSize])
	}
	return nil
}

// Slot returns the SlotSize bytes that belong to a key of 1 to 32 bytes: as they were left, or zeros. They stay where they are until Close. When all places
// are taken, that of a key goes that was not asked for since the memory was opened.
func (m *Memory) Slot(key string) ([]byte, error) {
	if key == "" || len(key) > slotKey {
		return nil, fmt.Errorf("memory: key of %d bytes", len(key))
	}
	padded := make([]byte, slotKey)
	copy(padded, key)
	free, old := -1, -1
	for n, s := range m.slots {
		switch {
		case bytes.Equal(s[:slotKey], padded):
			m.taken[n] = true
			return s[slotKey:], nil
		case s[0] == 0 && free < 0:
			free = n
		case !m.taken[n] && old < 0:
			old = n
		}
	}
	switch {
	case free >= 0:
	case len(m.slots) < slotsMax:
		free = len(m.slots)
		if err := m.grow(); err != nil {
			return nil, fmt.Errorf("memory: %w", err)
		}
	case old >= 0:
		free = old
	default:
		return nil, fmt.Errorf("memory: all %d places are taken", slotsMax)
	}
	s := m.slots[free]
	clear(s[slotKey:]) // first: killed in between, nobody finds his key with what was another's
	copy(s, padded)
	m.taken[free] = true
	return s[slotKey:], nil
}

// Close unmaps the slots. Who stores into one afterwards is killed.
func (m *Memory) Close() error {
	var errs []error
	for _, c := range m.chunks {
		errs = append(errs, unix.Munmap(c))
	}
	m.chunks, m.slots = nil, nil
	return errors.Join(append(errs, m.file.Close())...)
}
