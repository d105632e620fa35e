package sysctl

import (
	"fmt"
	"slices"
	"strings"

	"carp/libcarp/config"
)

// branch is the way down to the variables, with what sysctl.c calls each level.
var branch = []struct{ level, name string }{{"top", "net"}, {"second", "inet"}, {"third", "carp"}}

// stats is a variable of OpenBSD's that only netstat(1) can show.
const stats = "stats"

// resolve finds what a name stands for: a variable, or with v nil the whole list. The error is what sysctl says of a name that
// it does not know (sysctl.c: findname, sysctl_inet, parse).
func resolve(name string) (v *config.Variable, err error) {
	parts := strings.Split(name, ".")
	for _, b := range branch {
		if len(parts) == 0 {
			return nil, nil
		}
		if parts[0] != b.name {
			return nil, fmt.Errorf("%s level name %s in %s is invalid", b.level, parts[0], name)
		}
		parts = parts[1:]
	}
	if len(parts) == 0 {
		return nil, nil
	}
	if parts[0] == stats {
		return nil, fmt.Errorf("use netstat to view %s information", name)
	}
	all := config.Variables()
	i := slices.IndexFunc(all, func(v config.Variable) bool { return v.Name == parts[0] })
	if i < 0 {
		return nil, fmt.Errorf("fourth level name %s in %s is invalid", parts[0], name)
	}
	if len(parts) > 1 {
		return nil, fmt.Errorf("name %s in %s is unknown", strings.Join(parts[1:], "."), name)
	}
	return &all[i], nil
}

// fullName is a variable's name from the top.
func fullName(v config.Variable) string { return "net.inet.carp." + v.Name }
