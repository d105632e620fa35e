package loop

import (
	"time"

	"carp/libcarp/engine"
)

// A Clock tells the time to the loop; tests have their own.
type Clock interface {
	Now() engine.Instant // monotonic, also while the machine is suspended
	Wall() int64         // milliseconds of Unix time
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Wall returns the wall clock's time.
func (SystemClock) Wall() int64 { return time.Now().UnixMilli() }
