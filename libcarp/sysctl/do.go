package sysctl

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"carp/libcarp/config"
)

// do shows what one word names, or sets it. What is wrong with the word is warned of; the error is for what makes going on useless.
func (p *program) do(word string) error {
	name, value, set := strings.Cut(word, "=")
	v, err := resolve(name)
	switch {
	case err != nil:
		p.warn("%v", err)
		return nil
	case v == nil: // a value given to a branch does not count
		return p.list()
	case set:
		return p.set(name, *v, strings.TrimLeft(value, " \t\n\v\f\r"))
	}
	return p.show(*v)
}

// list shows all variables that OpenBSD has.
func (p *program) list() error {
	var known []config.Variable
	for _, v := range config.Variables() {
		if v.MIB != 0 {
			known = append(known, v)
		}
	}
	return p.show(known...)
}

func (p *program) show(vs ...config.Variable) error {
	values, remark, err := p.carp.Sysctl()
	if err != nil {
		return err
	}
	p.remark(string(remark))
	for _, v := range vs {
		if !p.bare {
			fmt.Fprintf(p.stdout, "%s=", fullName(v))
		}
		fmt.Fprintln(p.stdout, *values.At(v.Name))
	}
	return nil
}

// set gives a variable a value.
func (p *program) set(name string, v config.Variable, value string) error {
	change := config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: v.Name}}}
	if value == "" { // sysctl(2) gets no bytes to set; who may set nothing is told that first
		_, err := p.carp.Check(change)
		if err == nil {
			err = &config.Error{Errno: config.EINVAL}
		}
		return p.refused(name, err)
	}
	n, reason := config.ParseNumber(value, math.MinInt32, math.MaxInt32)
	if reason != "" {
		p.warn("%s: value is %s: %s", name, reason, value)
		return nil
	}
	change.Clauses[0].N = int(n)
	r, err := p.carp.Change(change)
	if err != nil {
		return p.refused(name, err)
	}
	if r.Remark != "" {
		p.remark(string(r.Remark) + "; configuration stored")
	}
	switch {
	case p.quiet:
	case p.bare:
		fmt.Fprintln(p.stdout, n)
	default:
		fmt.Fprintf(p.stdout, "%s: %d -> %d\n", name, r.Old, n)
	}
	return nil
}

// refused warns of a change that was not made. An error with a sentence to it is none that sysctl(2) could give, and comes back.
func (p *program) refused(name string, err error) error {
	var e *config.Error
	if !errors.As(err, &e) || e.Msg != "" {
		return err
	}
	p.warn("%s: %v", name, e.Errno)
	return nil
}
