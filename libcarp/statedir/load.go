package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"carp/libcarp/config"
	"carp/libcarp/internal/plainfile"
)

// LoadMachine reads the configuration from want/; what is missing there has its defaults. When files are damaged, it returns
// the machine that the others make, which knows what is damaged, and an error that names each of them and shows nothing of a pass phrase.
func (d Dir) LoadMachine() (*config.Machine, error) {
	m := config.NewMachine()
	damaged := map[config.Target]*config.Error{}
	names, err := carpsIn(d.path("want"))
	errs := []error{err}
	load := func(file string, take func([]config.Clause) error, targets ...config.Target) {
		err := d.load(file, take)
		if err == nil {
			return
		}
		err = fmt.Errorf("%s: %w", d.want(file), err)
		errs = append(errs, err)
		for _, t := range targets {
			damaged[t] = &config.Error{Errno: ErrnoOf(err), Msg: err.Error() + "; remove the file, and restart kernelsim if it runs, to start anew"}
		}
	}
	load(sysctlFile, m.LoadSysctl, config.Target{Kind: config.ForSysctl})
	for _, name := range names {
		load(name, func(cs []config.Clause) error { return m.LoadInterface(name, cs) }, config.Target{Kind: config.ForInterface, Name: name})
	}
	var groups []config.Target
	for _, name := range m.GroupNames() {
		groups = append(groups, config.Target{Kind: config.ForGroup, Name: name})
	}
	load(groupsFile, m.LoadGroups, groups...)
	m.Damaged = damaged
	return m, errors.Join(errs...)
}

// load hands the clauses of a want file over, unless there is no such file.
func (d Dir) load(file string, take func([]config.Clause) error) error {
	data, err := plainfile.Read(d.want(file))
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

// sweep removes the status of interfaces that are not there: whoever removed one was killed before he removed its status, or what was wanted
// cannot be read any more, and nobody may go on to believe in a MASTER.
func (d Dir) sweep(m *config.Machine) error {
	names, err := carpsIn(d.path("status"))
	for _, name := range names {
		if m.Interfaces[name] == nil {
			err = errors.Join(err, os.Remove(d.status(name)))
		}
	}
	return err
}
