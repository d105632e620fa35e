//go:build !linux

package loop

import (
	"time"

	"carp/libcarp/engine"
)

var began = time.Now()

// Now counts from the start of the process.
func (SystemClock) Now() engine.Instant { return engine.Instant(time.Since(began)) + 1 }
