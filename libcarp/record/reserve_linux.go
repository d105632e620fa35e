package record

import (
	"os"

	"golang.org/x/sys/unix"
)

// reserve gives a part of the file its memory, or fails; what is there stays.
func reserve(f *os.File, at, n int64) error { return unix.Fallocate(int(f.Fd()), 0, at, n) }
