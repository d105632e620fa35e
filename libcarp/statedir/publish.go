package statedir

import (
	"errors"
	"io/fs"
	"os"

	"carp/libcarp/config"
	"carp/libcarp/internal/plainfile"
)

// publish makes content that of the file.
func publish(path string, content []byte, mode fs.FileMode) error {
	return plainfile.Replace(path, content, mode)
}

// publishWant publishes or removes the want/ file of what a change is for. A change may be for something that no carp interface
// can be, and does nothing then; its name is no file's.
func (d Dir) publishWant(kind config.Kind, name string, content []byte) error {
	if kind == config.ForInterface && !config.IsCarpName(name) {
		return nil
	}
	return publishOrRemove(d.want(wantFile(kind, name)), content, 0o600)
}

// publishOrRemove is publish; nil content removes the file.
func publishOrRemove(path string, content []byte, mode fs.FileMode) error {
	if content != nil {
		return publish(path, content, mode)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
