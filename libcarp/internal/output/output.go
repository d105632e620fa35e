// Package output is a command's standard output. A script that reads what a command prints must hear of it when something is missing.
package output

import (
	"fmt"
	"io"

	"carp/libcarp/statedir"
)

// A Writer writes, and remembers the first error. After that it writes nothing, so that no gap is hidden by what follows.
type Writer struct {
	to  io.Writer
	err error
}

// New returns a Writer to w.
func New(w io.Writer) *Writer { return &Writer{to: w} }

func (w *Writer) Write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if n, err = w.to.Write(p); err != nil {
		w.err = fmt.Errorf("stdout: %w", statedir.ErrnoOf(err))
	}
	return n, w.err
}

// Err returns why something could not be written, in the words of err(3).
func (w *Writer) Err() error { return w.err }
