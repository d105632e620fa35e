package sysctl

import (
	"fmt"
	"slices"
	"strings"

	"carp/libcarp/config"
)

// carpBranch is where kernelsim's variables are.
const carpBranch = "net.inet.carp"

// stats is a variable of OpenBSD's that only netstat(1) can show.
const stats = "stats"

// An owner is who answers for a name.
type owner int

const (
	nobodys owner = iota // no name on either system
	ours                 // one of OpenBSD's: kernelsim's, translated, or said to be invalid
	systems              // the system's command is to be asked
	both                 // a branch that both have
)

// ownerOf tells who answers for a name. A name that neither OpenBSD nor the system has is the system's to complain of.
func (p *program) ownerOf(name string) owner {
	switch top, rest, _ := strings.Cut(name, "."); {
	case name == "" || strings.HasPrefix(name, "-"):
		return nobodys
	case name == "net":
		return both
	case name == carpBranch || strings.HasPrefix(name, carpBranch+"."):
		return ours
	case p.translated == nil: // a BSD, which has the others itself
		if carpBranch == name || strings.HasPrefix(carpBranch, name+".") {
			return both
		}
		return systems
	case slices.ContainsFunc(p.translated, func(t translation) bool { return t.name == name }):
		return ours
	case slices.Contains([]string{"kern", "hw", "machdep", "vfs", "ddb"}, top):
		return ours
	case top == "net":
		second, _, _ := strings.Cut(rest, ".")
		if slices.Contains([]string{"inet", "inet6", "bpf", "link", "mpls", "pflow", "pipex", "route"}, second) {
			return ours
		}
	}
	return systems
}

// A variable is a name, what it stands for, and how to set it.
type variable struct {
	name string
	carp *config.Variable // kernelsim's
	*translation
}

// levels are what sysctl.c calls the parts of a name.
var levels = []string{"top", "second", "third", "fourth"}

// resolve finds what a name stands for: one variable, or with many all that a branch lists. The error is what sysctl says of a name that it does
// not know (sysctl.c: findname, sysctl_inet, parse).
func (p *program) resolve(name string) (found []variable, many bool, err error) {
	if name == carpBranch+"."+stats || strings.HasPrefix(name, carpBranch+"."+stats+".") {
		return nil, false, fmt.Errorf("use netstat to view %s information", name)
	}
	all := p.variables()
	for _, v := range all {
		if v.name == name {
			return []variable{v}, false, nil
		}
	}
	// The lists of what carp is in are carp's alone: the system's own list has the others.
	under := name + "."
	if strings.HasPrefix(carpBranch+".", under) {
		under = carpBranch + "."
	}
	for _, v := range all {
		if strings.HasPrefix(v.name, under) && (v.carp == nil || v.carp.MIB != 0) {
			found = append(found, v)
		}
	}
	if len(found) > 0 {
		return found, true, nil
	}
	return nil, false, unknown(name, all)
}

// unknown says which part of a name is the first that is none.
func unknown(name string, all []variable) error {
	parts := strings.Split(name, ".")
	for n := range parts {
		upTo := strings.Join(parts[:n+1], ".")
		if slices.ContainsFunc(all, func(v variable) bool { return v.name == upTo }) {
			return fmt.Errorf("name %s in %s is unknown", strings.Join(parts[n+1:], "."), name)
		}
		if n == len(levels)-1 || !slices.ContainsFunc(all, func(v variable) bool { return strings.HasPrefix(v.name, upTo+".") }) {
			return fmt.Errorf("%s level name %s in %s is invalid", levels[n], parts[n], name)
		}
	}
	return fmt.Errorf("%s: specification is incomplete", name)
}

// variables are all that a name of ours can stand for.
func (p *program) variables() (all []variable) {
	carp := config.Variables()
	for n := range carp {
		all = append(all, variable{name: carpBranch + "." + carp[n].Name, carp: &carp[n]})
	}
	for n := range p.translated {
		all = append(all, variable{name: p.translated[n].name, translation: &p.translated[n]})
	}
	return all
}
