package statedir

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

func preparedDir(t *testing.T) Dir {
	t.Helper()
	d := newDir(t)
	if err := d.Prepare(); err != nil {
		t.Fatal(err)
	}
	return d
}

func openMemory(t *testing.T, d Dir) *Memory {
	t.Helper()
	m, err := OpenMemory(d)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func slot(t *testing.T, m *Memory, key string) []byte {
	t.Helper()
	s, err := m.Slot(key)
	if err != nil {
		t.Fatal(err)
	}
	if len(s) != SlotSize {
		t.Fatalf("%d bytes", len(s))
	}
	return s
}

// What was stored is there for whoever opens the file next, also when nobody closed it; and beyond one chunk.
func TestMemory(t *testing.T) {
	d := preparedDir(t)
	const many = 150
	first := openMemory(t, d)
	for n := range many {
		s := slot(t, first, fmt.Sprint("carp", n))
		if !bytes.Equal(s, make([]byte, SlotSize)) {
			t.Fatalf("slot %d is not empty", n)
		}
		s[0], s[SlotSize-1] = byte(n), byte(n)
	}
	second := openMemory(t, d) // as after kill -9
	defer second.Close()
	for n := many - 1; n >= 0; n-- {
		if s := slot(t, second, fmt.Sprint("carp", n)); s[0] != byte(n) || s[SlotSize-1] != byte(n) {
			t.Fatalf("slot %d: %d, %d", n, s[0], s[SlotSize-1])
		}
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(d.memory()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, key := range []string{"", "123456789012345678901234567890123"} {
		if _, err := second.Slot(key); err == nil {
			t.Errorf("key %q", key)
		}
	}
}

// When there is no room, the place of one goes that nobody has asked for.
func TestMemoryFull(t *testing.T) {
	d := preparedDir(t)
	m := openMemory(t, d)
	for n := range slotsMax {
		slot(t, m, fmt.Sprint("carp", n))[0] = 1
	}
	if _, err := m.Slot("one more"); err == nil {
		t.Fatal("there is no end")
	}
	m.Close()
	m = openMemory(t, d)
	defer m.Close()
	for n := range slotsMax - 1 {
		if slot(t, m, fmt.Sprint("carp", n))[0] != 1 {
			t.Fatal("forgotten")
		}
	}
	if slot(t, m, "one more")[0] != 0 {
		t.Error("with what was another's")
	}
	if _, err := m.Slot(fmt.Sprint("carp", slotsMax-1)); err == nil {
		t.Error("its place was given away, and yet it has one")
	}
}

// A file that another hand has cut or that holds garbage is used all the same.
func TestMemoryDamaged(t *testing.T) {
	d := preparedDir(t)
	if err := os.WriteFile(d.memory(), bytes.Repeat([]byte{0xff}, 1500), 0o600); err != nil {
		t.Fatal(err)
	}
	m := openMemory(t, d)
	defer m.Close()
	if s := slot(t, m, "carp0"); !bytes.Equal(s, make([]byte, SlotSize)) {
		t.Error("a slot with garbage in it")
	}
}
