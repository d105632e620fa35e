package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/internal/plainfile"
)

// isRoot reports whether this process may edit; tests are somebody else.
var isRoot = func() bool { return os.Geteuid() == 0 }

// changeOffline stores a change for kernelsim's start, by the code that kernelsim uses, or checks it, and then leaves no trace. The error is
// EWOULDBLOCK when kernelsim runs after all: it or its engine has the lock.
func (d Dir) changeOffline(v verb, ch config.Change) (Answer, error) {
	if !isRoot() {
		return Answer{Remark: NotRunning}, d.refuseOffline(ch)
	}
	if v == verbCheck {
		return d.checkOffline(ch)
	}
	if err := d.makeTop(); err != nil {
		return Answer{}, failed(err)
	}
	edit, err := d.takeEdit()
	if err != nil {
		return Answer{}, failed(err)
	}
	defer edit.Close()
	lock, err := d.tryLock()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return Answer{}, err
	}
	if err != nil {
		return Answer{}, failed(err)
	}
	defer lock.Close()

	if err := d.Prepare(); err != nil {
		return Answer{}, failed(err)
	}
	m, err := d.LoadMachine()
	if err != nil && len(m.Damaged) == 0 {
		return Answer{}, failed(err)
	}
	plan, err := m.Plan(ch, nil)
	if err != nil {
		return Answer{Remark: NotRunning}, err
	}
	a := Answer{Old: plan.Old, Remark: NotRunning}
	if plan.Done {
		return a, nil
	}
	groups := m.GroupNames()
	m.Commit(plan)
	if err := d.write(m, ch.Kind, ch.Name); err != nil {
		return Answer{}, failed(err)
	}
	if !slices.Equal(groups, m.GroupNames()) { // one came with its first member, or went with its last
		if err := d.write(m, config.ForGroup, ""); err != nil {
			return Answer{}, failed(err)
		}
	}
	return a, nil
}

// checkOffline tells what changeOffline would answer.
func (d Dir) checkOffline(ch config.Change) (Answer, error) {
	m, err := d.peek()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return Answer{}, err
	}
	if err != nil && (m == nil || len(m.Damaged) == 0) {
		return Answer{}, failed(err)
	}
	plan, err := m.Plan(ch, nil)
	return Answer{Old: plan.Old, Remark: NotRunning}, err
}

// peek is LoadMachine after Prepare, but makes nothing and removes nothing. There is nothing where there is no directory, or one of another boot.
func (d Dir) peek() (*config.Machine, error) {
	info, err := d.stat()
	if errors.Is(err, fs.ErrNotExist) {
		return config.NewMachine(), nil
	}
	if err == nil {
		err = d.usable(info)
	}
	if err != nil {
		return nil, err
	}
	for _, path := range []string{d.edit(), d.lock()} {
		how := unix.LOCK_EX
		if path == d.lock() {
			how |= unix.LOCK_NB
		}
		f, err := plainfile.Open(path, os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := flock(f, how); err != nil {
			return nil, fmt.Errorf("failed to lock %s: %w", path, err)
		}
	}
	left, err := d.readVersion()
	if err != nil {
		return nil, err
	}
	if left.ofOtherBoot(bootID()) {
		return config.NewMachine(), nil
	}
	return d.LoadMachine()
}

// refuseOffline is what somebody gets who may not edit. He cannot read want/ either, but he sees the status of what is there.
func (d Dir) refuseOffline(ch config.Change) error {
	all, err := d.idleInterfaces()
	if err != nil && len(all) == 0 {
		return failed(err)
	}
	m := config.NewMachine()
	for _, st := range all {
		m.Interfaces[st.Name] = config.NewInterface(st.Name, st.Order)
	}
	return m.Refuse(ch, nil)
}

// write commits what a change of that kind has made of m, then shows it.
func (d Dir) write(m *config.Machine, kind config.Kind, name string) error {
	var want, status []byte
	switch i := m.Interfaces[name]; {
	case kind == config.ForGroup:
		demotion := map[string]int{}
		for _, name := range m.GroupNames() {
			demotion[name] = 0
			if g := m.Groups[name]; g != nil {
				demotion[name] = g.Demotion()
			}
		}
		want, status = config.FormatWant(m.GroupClauses()), FormatGroups(demotion, HoldersOf(m))
	case kind == config.ForSysctl:
		want, status = config.FormatWant(m.SysctlClauses()), FormatSysctl(m.Sysctl)
	case i != nil:
		st := StatusOf(i)
		want, status = config.FormatWant(i.Clauses()), st.Format()
	}
	if err := d.publishWant(kind, name, want); err != nil {
		return err
	}
	if status != nil { // else sweep removes it
		if err := publish(d.status(wantFile(kind, name)), status, 0o644); err != nil {
			return err
		}
	}
	return d.sweep(m)
}

// ShowIdle makes the status files tell what holds while nobody serves, whatever a kernelsim that was killed has left in them. The caller holds the directory.
func (d Dir) ShowIdle(m *config.Machine) error {
	errs := []error{d.write(m, config.ForGroup, ""), d.write(m, config.ForSysctl, "")}
	for _, i := range m.Sorted() {
		errs = append(errs, d.write(m, config.ForInterface, i.Name))
	}
	return errors.Join(errs...)
}

// failed makes a refusal with a number of what went wrong with a file.
func failed(err error) error {
	if refused, ok := err.(*config.Error); ok {
		return refused
	}
	return &config.Error{Errno: ErrnoOf(err), Msg: err.Error()}
}
