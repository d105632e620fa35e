//go:build !linux

package loop

import (
	"time"

	"carp/libcarp/engine"
)

var start = time.Now()

// Now counts from the start of the process.
func (SystemClock) Now() engine.Instant { return engine.Instant(time.Since(start)) + 1 }
