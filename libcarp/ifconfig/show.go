package ifconfig

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/statedir"
)

// noInterface is the error of a name that nothing has. It is the one message without the program's name before it.
type noInterface string

func (n noInterface) Error() string { return string(n) + ": no such interface" }

// A shown is an interface to be shown: a carp or one of the host's.
type shown struct {
	name   string
	index  int
	groups []string
	lladdr string
	carp   *statedir.Status
	own    *ordinary.Interface
}

func shownCarp(s statedir.Status) shown {
	return shown{name: s.Name, index: s.Index, groups: s.Groups, lladdr: s.Lladdr.String(), carp: &s}
}

func shownOwn(i ordinary.Interface) shown {
	s := shown{name: i.Name, index: i.Index, groups: i.Groups(), own: &i}
	if i.Ethernet {
		s.lladdr = i.Lladdr.String()
	}
	return s
}

// show prints the interfaces that the command line names.
func (p *program) show(cmd Command) error {
	for _, n := range cmd.Notes {
		p.warn(n.Text)
	}
	found, remark, err := p.find(cmd)
	if err != nil && !errors.Is(err, config.ENXIO) && !cmd.All {
		return err
	}
	if len(found) == 0 || slices.ContainsFunc(found, func(s shown) bool { return s.carp != nil }) || cmd.All {
		p.remark(remark)
	}
	if errors.Is(err, config.ENXIO) {
		return noInterface(cmd.Name)
	}
	w := bufio.NewWriter(p.stdout)
	for _, s := range found {
		if s.own != nil {
			printOrdinary(w, s.own, cmd.Family, cmd.Primary)
			continue
		}
		printStatus(w, *s.carp, cmd.Family, cmd.Primary)
	}
	_ = w.Flush() // its error is p.stdout's
	return err
}

// find returns the interfaces; the error is config.ENXIO when none has the name. A name that is an interface's is that one.
func (p *program) find(cmd Command) ([]shown, statedir.Remark, error) {
	if config.IsCarpName(cmd.Name) || p.host == nil && endsInDigit(cmd.Name) {
		s, remark, err := p.carp.Interface(cmd.Name)
		return []shown{shownCarp(s)}, remark, err
	}
	if p.host != nil && !cmd.All {
		i, err := p.host.Interface(cmd.Name)
		switch {
		case err == nil:
			return []shown{shownOwn(i)}, "", nil
		case !errors.Is(err, config.ENXIO) || endsInDigit(cmd.Name):
			return nil, "", err
		}
	}
	all, remark, err := p.all()
	if err != nil || cmd.All {
		return all, remark, err
	}
	found, ok := members(all, cmd.Name)
	if !ok {
		err = config.ENXIO
	}
	return found, remark, err
}

// all returns all interfaces by index, and carps without a link at the end, in the order of their creation. With an error it returns the host's own:
// they are there, whatever becomes of the carps.
func (p *program) all() (all []shown, remark statedir.Remark, err error) {
	if p.host != nil {
		own, err := p.host.Interfaces()
		if err != nil {
			return nil, "", fmt.Errorf("getifaddrs: %w", errnoOf(err))
		}
		for _, i := range own {
			all = append(all, shownOwn(i))
		}
	}
	carps, remark, err := p.carp.Interfaces()
	if err != nil {
		return all, remark, err
	}
	for _, s := range carps {
		all = append(all, shownCarp(s))
	}
	if p.host != nil {
		slices.SortStableFunc(all, func(a, b shown) int { return cmp.Compare(uint(a.index-1), uint(b.index-1)) })
	}
	return all, remark, nil
}

// hasGroup reports whether one of the host's interfaces is in a group.
func (p *program) hasGroup(name string) bool {
	if name == "all" { // every interface is in it
		return true
	}
	if p.host == nil {
		return false
	}
	own, _ := p.host.Interfaces()
	return slices.ContainsFunc(own, func(i ordinary.Interface) bool { return slices.Contains(i.Groups(), name) })
}

// members returns the interfaces of a group in the order in which they came to it, or else those whose name is the given one
// with a number (ifconfig.c: printif). The group carp exists also when it is empty.
func members(all []shown, name string) (found []shown, ok bool) {
	for _, s := range all {
		if name == "all" || slices.Contains(s.groups, name) {
			found = append(found, s)
		}
	}
	if len(found) > 0 || name == "carp" || name == "all" {
		return found, true
	}
	for _, s := range all {
		if unit, ok := strings.CutPrefix(s.name, name); ok && unit != "" && isDigit(unit[0]) {
			found = append(found, s)
		}
	}
	return found, len(found) > 0
}

// owner prints the name of the interface that has the link-level address. The spelling must be ifconfig's own; when several
// have it, there is no owner. What was created does not count, carps apart (ifconfig.c: findmac).
func (p *program) owner(lladdr string) error {
	all, remark, err := p.all()
	if err != nil {
		return err
	}
	p.remark(remark)
	var owners []string
	for _, s := range all {
		class, _ := ordinary.Unit(s.name)
		if s.lladdr == lladdr && (s.own == nil || s.own.Class != class) {
			owners = append(owners, s.name)
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
