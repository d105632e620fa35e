package sysctl

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// do shows what one word of ours names, or sets it. What is wrong with the word is warned of; the error is for what makes going on useless.
func (p *program) do(word string) error {
	name, value, set := strings.Cut(word, "=")
	found, many, err := p.resolve(name)
	switch {
	case err != nil:
		if !p.ignore {
			p.warn("%v", err)
		}
		return nil
	case set && !many: // a value given to a branch does not count
		return p.set(found[0], strings.TrimLeft(value, " \t\n\v\f\r"))
	}
	return p.show(many, found...)
}

// list shows what a branch has.
func (p *program) list(branch string) error {
	found, _, err := p.resolve(branch)
	if err != nil {
		return err
	}
	return p.show(true, found...)
}

// show shows variables. A list passes over what this machine has no value of, as OpenBSD's does.
func (p *program) show(list bool, vs ...variable) error {
	var values *config.Sysctl
	for _, v := range vs {
		switch {
		case v.carp == nil:
			value, err := v.get()
			switch {
			case err == nil:
				p.print(v, value)
			case !list:
				p.warn("%s: %s", v.name, reason(err))
			}
			continue
		case values == nil:
			all, remark, err := p.carp.Sysctl()
			if err != nil {
				return err
			}
			p.remark(string(remark))
			values = &all
		}
		p.print(v, strconv.Itoa(*values.At(v.carp.Name)))
	}
	return nil
}

// print shows a variable in the form that was asked for.
func (p *program) print(v variable, value string) {
	switch {
	case p.json:
		p.shown.add(v.name, value, v.isNumber())
	case p.names:
		fmt.Fprintln(p.stdout, v.name)
	case p.joined:
		fmt.Fprint(p.stdout, value)
	case p.bare:
		fmt.Fprintln(p.stdout, value)
	default:
		fmt.Fprintf(p.stdout, "%s=%s\n", v.name, value)
	}
}

// isNumber reports whether the value is an integer, rather than a text.
func (v variable) isNumber() bool { return v.carp != nil || v.number }

// set gives a variable a value, and shows both.
func (p *program) set(v variable, value string) error {
	if v.isNumber() && value != "" {
		n, reason := config.ParseNumber(value, math.MinInt32, math.MaxInt32)
		if reason != "" {
			p.warn("%s: value is %s: %s", v.name, reason, value)
			return nil
		}
		value = strconv.FormatInt(n, 10)
	}
	change := p.setTranslated
	if v.carp != nil {
		change = p.setCarp
	}
	old, ok, err := change(v, value)
	switch {
	case err != nil || !ok || p.quiet:
	case p.json, p.names, p.joined, p.bare:
		p.print(v, value)
	default:
		fmt.Fprintf(p.stdout, "%s: %s -> %s\n", v.name, old, value)
	}
	return err
}

// setCarp sets one of kernelsim's. ok is false when it was refused, which is warned of.
func (p *program) setCarp(v variable, value string) (old string, ok bool, err error) {
	change := config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: v.carp.Name}}}
	if value == "" { // sysctl(2) gets no bytes to set; who may set nothing is told that first
		_, err := p.carp.Check(change)
		if err == nil {
			err = &config.Error{Errno: config.EINVAL}
		}
		return "", false, p.refused(v.name, err)
	}
	change.Clauses[0].N, _ = strconv.Atoi(value)
	send := p.carp.Change
	if p.dry {
		send = p.carp.Check
	}
	r, err := send(change)
	if err != nil {
		return "", false, p.refused(v.name, err)
	}
	if r.Remark != "" && !p.dry {
		p.remark(string(r.Remark) + "; configuration stored")
	}
	return strconv.Itoa(r.Old), true, nil
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

// setTranslated sets one of the system's.
func (p *program) setTranslated(v variable, value string) (old string, ok bool, err error) {
	old, err = v.get()
	switch {
	case err != nil:
	case v.put == nil:
		err = config.EPERM
	case value == "" || !v.accepts(value):
		err = config.EINVAL
	case !p.dry && (old != value || os.Geteuid() != 0): // who may not set it is told so, also where nothing would change
		err = v.put(value)
	}
	if err != nil {
		p.warn("%s: %s", v.name, reason(err))
		return "", false, nil
	}
	return old, true, nil
}

// reason is what sysctl(8) says of an error of sysctl(2): of one it has words of its own.
func reason(err error) string {
	errno := statedir.ErrnoOf(err)
	if errno == config.EOPNOTSUPP {
		return "value is not available"
	}
	return errno.Error()
}
