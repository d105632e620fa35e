package ifconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// noInterface is the error of a name that nothing has. It is the one message without the program's name before it.
type noInterface string

func (n noInterface) Error() string { return string(n) + ": no such interface" }

// show prints the interfaces that the command line names.
func (p *program) show(cmd Command) error {
	found, remark, err := p.find(cmd)
	if err != nil && !errors.Is(err, config.ENXIO) {
		return err
	}
	p.remark(remark)
	if err != nil {
		return noInterface(cmd.Name)
	}
	for _, s := range found {
		printStatus(p.stdout, s, cmd.Family, cmd.Primary)
	}
	return nil
}

// find returns the interfaces; the error is config.ENXIO when none has the name.
func (p *program) find(cmd Command) ([]statedir.Status, statedir.Remark, error) {
	if endsInDigit(cmd.Name) {
		s, remark, err := p.carp.Interface(cmd.Name)
		return []statedir.Status{s}, remark, err
	}
	all, remark, err := p.carp.Interfaces()
	if err != nil || cmd.All {
		return all, remark, err
	}
	found, ok := members(all, cmd.Name)
	if !ok {
		err = config.ENXIO
	}
	return found, remark, err
}

// members returns the interfaces of a group in the order in which they came to it, or else those whose name is the given one
// with a number (ifconfig.c: printif). The group carp exists also when it is empty.
func members(all []statedir.Status, name string) (found []statedir.Status, ok bool) {
	for _, s := range all {
		if name == "all" || slices.Contains(s.Groups, name) {
			found = append(found, s)
		}
	}
	if len(found) > 0 || name == "carp" || name == "all" {
		return found, true
	}
	for _, s := range all {
		if unit, ok := strings.CutPrefix(s.Name, name); ok && unit != "" && isDigit(unit[0]) {
			found = append(found, s)
		}
	}
	return found, len(found) > 0
}

// owner prints the name of the interface that has the link-level address. The spelling must be ifconfig's own; when several
// have it, there is no owner.
func (p *program) owner(lladdr string) error {
	all, remark, err := p.carp.Interfaces()
	if err != nil {
		return err
	}
	p.remark(remark)
	var owners []string
	for _, s := range all {
		if s.Lladdr.String() == lladdr {
			owners = append(owners, s.Name)
		}
	}
	switch len(owners) {
	case 0:
		return nil
	case 1:
		fmt.Fprintln(p.stdout, owners[0])
		return nil
	}
	return errSilent
}
