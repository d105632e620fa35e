package ifconfig

import (
	"errors"
	"fmt"

	"carp/libcarp/config"
)

// parseDemotion reads what follows -g and the group: [-]carpdemote and by how much. The number is read first, as in
// ifconfig.c's setgroupattribs; words after it do not count.
func parseDemotion(group string, words []string) ([]config.Clause, error) {
	by := int64(1)
	if len(words) > 1 {
		var reason string
		if by, reason = config.ParseNumber(words[1], 0, 128); reason != "" {
			return nil, fmt.Errorf("%s: invalid carp demotion: %s", group, reason)
		}
	}
	switch words[0] {
	case "carpdemote":
		return []config.Clause{{Word: config.Demote, N: int(by)}}, nil
	case "-carpdemote":
		return []config.Clause{{Word: config.Undemote, N: int(by)}}, nil
	}
	return nil, errUsage
}

// setGroup changes the demotion of a group.
func (p *program) setGroup(cmd Command) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	send := p.carp.Change
	if cmd.Check {
		send = p.carp.Check
	}
	r, err := send(config.Change{Kind: config.ForGroup, Name: cmd.Name, Clauses: cmd.Steps})
	if err == nil {
		if !cmd.Check {
			p.stored(r.Remark)
		}
		return nil
	}
	var refused *config.Error
	if !errors.As(err, &refused) || refused.Msg != "" {
		return err
	}
	return fmt.Errorf("%s: SIOCSIFGATTR: %w", cmd.Name, refused.Errno)
}

// showGroup prints the demotion of a group.
func (p *program) showGroup(name string) error {
	n, err := p.demotion(name)
	if err == nil {
		fmt.Fprintf(p.stdout, "%s: carp demote count %d\n", name, n)
	}
	return err
}

// demotion returns the demotion of a group, 0 of one that has no carps in it.
func (p *program) demotion(group string) (int, error) {
	groups, remark, err := p.carp.Groups()
	if err != nil {
		return 0, err
	}
	p.remark(remark)
	n, ok := groups[group]
	if !ok && !p.hasGroup(group) {
		return 0, fmt.Errorf("%s: SIOCGIFGATTR: %w", group, config.ENOENT)
	}
	return n, nil
}
