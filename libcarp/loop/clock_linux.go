package loop

import (
	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
)

// Now reads CLOCK_BOOTTIME.
func (SystemClock) Now() engine.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // Linux has had it since 2.6.39
	}
	return engine.Instant(ts.Nano())
}
