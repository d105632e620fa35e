package output

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"carp/libcarp/config"
)

// full takes nothing more.
type full struct{}

func (full) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

func TestWriter(t *testing.T) {
	w := New(full{})
	if w.Err() != nil {
		t.Error(w.Err())
	}
	fmt.Fprintln(w, "lost")
	if err := w.Err(); !errors.Is(err, config.ENOSPC) || err.Error() != "stdout: No space left on device" {
		t.Errorf("%v", err)
	}
	var late strings.Builder
	w.to = &late // has room, but what came before is missing
	if n, err := fmt.Fprintln(w, "out of place"); n != 0 || late.Len() != 0 || !errors.Is(err, config.ENOSPC) {
		t.Errorf("%d, %q, %v", n, late.String(), err)
	}
}
