package loop

import (
	"fmt"
	"unsafe"

	"carp/libcarp/engine"
	"carp/libcarp/statedir"
	"carp/libcarp/wire"
)

// memoryFormat changes with the layout of engine.Memory: what an older kernelsim left under other keys is not read.
const memoryFormat = 2

// MemoryIn lets virtual hosts remember in the state directory what they must not forget when a process ends. One that finds no room there
// remembers as long as the engine lives; that is logged.
func MemoryIn(m *statedir.Memory, logf func(string, ...any)) func(carp string, vhid uint8) *engine.Memory {
	return func(carp string, vhid uint8) *engine.Memory {
		slot, err := m.Slot(fmt.Sprintf("%d %s %d", memoryFormat, carp, vhid))
		if err != nil {
			logf("%s: vhid %d: %v", carp, vhid, err)
			return new(engine.Memory)
		}
		// The slot is large enough (a test compares the sizes), aligned to eight bytes, and mapped as long as the process lives.
		memory := (*engine.Memory)(unsafe.Pointer(&slot[0]))
		if !plausible(memory) {
			*memory = engine.Memory{}
		}
		return memory
	}
}

// plausible reports whether times are such as can be sent. No value can do harm beyond refusing adverts, but these would refuse all.
func plausible(m *engine.Memory) bool {
	return 0 <= m.Newest && m.Newest < wire.SealMax && 0 <= m.Floor && m.Floor <= m.Newest
}
