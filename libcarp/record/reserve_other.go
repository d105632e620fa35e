//go:build !linux

package record

import "os"

// reserve gives a part of the file, which was never used, its memory, or fails.
func reserve(f *os.File, at, n int64) error {
	_, err := f.WriteAt(make([]byte, n), at)
	return err
}
