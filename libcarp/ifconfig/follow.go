package ifconfig

import (
	"errors"
	"fmt"
	"strconv"

	"carp/libcarp"
	"carp/libcarp/statedir"
)

// parseFollow reads -W [-e N] [carp0].
func parseFollow(args []string) (own, error) {
	values, rest, err := ownOptions(args[1:], "e")
	if err != nil {
		return nil, err
	}
	after := -1 // from now on
	if word, ok := values['e']; ok {
		if after, err = strconv.Atoi(word); err != nil || after < 0 {
			return nil, fmt.Errorf("%s: no number of an event", word)
		}
	}
	name := ""
	switch len(rest) {
	case 0:
	case 1:
		name, err = rest[0], carpName(rest[0])
	default:
		err = errors.New("-W: one interface, or all")
	}
	return func(p *program, c *libcarp.Conn) error { return p.follow(c, name, after) }, err
}

// follow prints a line for each event after the given one.
func (p *program) follow(c *libcarp.Conn, name string, after int) error {
	if after < 0 {
		last, err := c.LastEvent()
		if err != nil {
			return err
		}
		after = last
	}
	return without(c.Follow(after, &follower{p, name}))
}

// A follower prints what it is told of one interface, or of all. What concerns all is said on standard error.
type follower struct {
	*program
	name string
}

func (f *follower) Event(e statedir.Event) error {
	if f.name != "" && f.name != e.Carp {
		return nil
	}
	_, err := fmt.Fprintln(f.stdout, e)
	return err
}

func (f *follower) Lost(first, last int) error {
	f.warn(fmt.Sprintf("events %d to %d are lost", first, last))
	return nil
}

func (f *follower) Anew() error {
	f.warn("the numbers of events begin anew")
	return nil
}

func (f *follower) Away(r statedir.Remark) error {
	f.warn(string(r))
	return nil
}
