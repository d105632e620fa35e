package loop

import (
	"testing"
	"unsafe"

	"carp/libcarp/engine"
	"carp/libcarp/statedir"
	"carp/libcarp/wire"
)

func TestMemoryIn(t *testing.T) {
	if size := unsafe.Sizeof(engine.Memory{}); size > statedir.SlotSize {
		t.Fatalf("%d bytes in a slot of %d", size, statedir.SlotSize)
	}
	dir := statedir.Dir(t.TempDir())
	fail := func(format string, args ...any) { t.Errorf(format, args...) }
	open := func() func(string, uint8) *engine.Memory {
		m, err := statedir.OpenMemory(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return MemoryIn(m, fail)
	}
	first := open()
	*first("carp0", 1) = engine.Memory{Newest: 7, Floor: 6, SentTotal: 5}
	first("carp0", 2).Newest = 8
	first("carp1", 1).Newest = wire.SealMax

	second := open()
	if got := *second("carp0", 1); got.Newest != 7 || got.Floor != 6 || got.SentTotal != 5 {
		t.Errorf("%+v", got)
	}
	if got := second("carp0", 2).Newest; got != 8 {
		t.Error(got)
	}
	if got := second("carp1", 1).Newest; got != 0 {
		t.Errorf("what nobody can have sent was believed: %d", got)
	}
}

// Without room in the directory a virtual host works all the same.
func TestMemoryWithoutRoom(t *testing.T) {
	m, err := statedir.OpenMemory(statedir.Dir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	said := 0
	memory := MemoryIn(m, func(string, ...any) { said++ })
	if memory("carp0 with a name that is far too long", 1) == nil || said != 1 {
		t.Errorf("said %d times", said)
	}
}
