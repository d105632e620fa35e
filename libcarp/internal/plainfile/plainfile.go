// Package plainfile opens, reads and replaces files in a directory of ours, whatever stands under their names there: a FIFO would keep us waiting for ever,
// a link would lead us to a file of somebody else's, and a file without end would take all memory.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Max is how long a file may be that is read.
const Max = 16 << 20

// Open is os.OpenFile of what is a file and nothing else. It never waits, and follows no symbolic link at the end of the path.
func Open(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, _, err := open(path, flags, mode)
	return f, err
}

// Own is [Open] of a file that is to be changed in its place. It refuses one that has another name, too, under which it may be somebody else's.
func Own(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, st, err := open(path, flags, mode)
	if err == nil && st.Nlink > 1 {
		f.Close()
		return nil, &wrong{path + " has another name, too", unix.EEXIST}
	}
	return f, err
}

func open(path string, flags int, mode fs.FileMode) (f *os.File, st unix.Stat_t, err error) {
	f, err = os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, st, &wrong{path + " is a symbolic link", unix.EINVAL}
	case errors.Is(err, unix.ENXIO): // a socket, or a FIFO that nobody reads
		return nil, st, &wrong{path + " is no file", unix.EINVAL}
	case err != nil:
		return nil, st, err
	}
	err = unix.Fstat(int(f.Fd()), &st)
	if kind := st.Mode & unix.S_IFMT; err == nil && kind != unix.S_IFREG {
		err = &wrong{path + " is no file", unix.EINVAL}
	}
	if err != nil {
		f.Close()
		return nil, st, err
	}
	return f, st, nil
}

// wrong is an error whose text says more than that of its number.
type wrong struct {
	text  string
	errno error
}

func (w *wrong) Error() string { return w.text }
func (w *wrong) Unwrap() error { return w.errno }

// Read is os.ReadFile of what [Open] opens, up to Max bytes.
func Read(path string) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, Max+1))
	if err == nil && len(data) > Max {
		return nil, &wrong{fmt.Sprintf("%s has more than %d bytes", path, Max), unix.EINVAL}
	}
	return data, err
}

// Replace makes content that of the file: written beside it, then renamed, so that a reader finds the old or the new content, whole. When it fails, the old
// content stays and nothing lies beside it. It does not sync: a state directory has to survive our processes, not the kernel.
func Replace(path string, content []byte, mode fs.FileMode) error {
	beside := filepath.Join(filepath.Dir(path), ".new."+filepath.Base(path))
	if err := write(beside, content, mode); err != nil {
		os.Remove(beside)
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		os.Remove(beside)
		return err
	}
	return nil
}

// write makes a new file. What one who was killed has left there goes, and so does anything else of that name.
func write(path string, content []byte, mode fs.FileMode) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(path, flags, mode&0o600|0o200)
	if errors.Is(err, fs.ErrExist) {
		if err = os.Remove(path); err == nil {
			f, err = os.OpenFile(path, flags, mode&0o600|0o200)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Close()) // there is the umask
}
