package statedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"carp/libcarp/config"
)

// publish makes content that of the file: written beside it, then renamed, so that a reader finds the old or the new content,
// whole. When it fails, the old content stays and nothing lies beside it. It does not sync: a state directory has to survive
// our processes, not the kernel.
func publish(path string, content []byte, mode fs.FileMode) error {
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

func write(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode&0o600|0o200)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Close()) // what was left by one who was killed has any mode, and there is the umask
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
