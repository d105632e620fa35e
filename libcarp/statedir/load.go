package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"carp/libcarp/config"
)

// LoadMachine reads the configuration from want/; what is missing there has its defaults. When files are damaged, it returns
// the machine that the others make, and an error that names each of them and shows nothing of a pass phrase.
func (d Dir) LoadMachine() (*config.Machine, error) {
	m, damaged, err := d.loadMachine()
	errs := []error{err}
	for _, bad := range damaged {
		errs = append(errs, bad)
	}
	return m, errors.Join(errs...)
}

// A damagedFile is a want file that cannot be read or makes no sense.
type damagedFile struct {
	file string // below want/
	path string
	err  error
}

func (e *damagedFile) Error() string { return fmt.Sprintf("%s: %v", e.path, e.err) }
func (e *damagedFile) Unwrap() error { return e.err }

func (d Dir) loadMachine() (m *config.Machine, damaged []*damagedFile, err error) {
	m = config.NewMachine()
	load := func(file string, take func([]config.Clause) error) {
		if err := d.load(file, take); err != nil {
			damaged = append(damaged, &damagedFile{file, d.want(file), err})
		}
	}
	load(sysctlFile, m.LoadSysctl)
	load(groupsFile, m.LoadGroups)
	names, err := carpsIn(d.path("want"))
	for _, name := range names {
		load(name, func(cs []config.Clause) error { return m.LoadInterface(name, cs) })
	}
	return m, damaged, err
}

// load hands the clauses of a want file over, unless there is no such file.
func (d Dir) load(file string, take func([]config.Clause) error) error {
	data, err := os.ReadFile(d.want(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	cs, err := config.ParseWant(data)
	if err != nil {
		return err
	}
	return take(cs)
}

// carpsIn returns the names of the files in a directory that are named after an interface; none when there is no directory.
func carpsIn(path string) (names []string, err error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if config.IsCarpName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// sweep removes the status of interfaces that are not wanted: whoever removed the one was killed before he removed the other.
func (d Dir) sweep() error {
	names, err := carpsIn(d.path("status"))
	for _, name := range names {
		if _, statErr := os.Stat(d.want(name)); errors.Is(statErr, fs.ErrNotExist) {
			err = errors.Join(err, os.Remove(d.status(name)))
		}
	}
	return err
}
