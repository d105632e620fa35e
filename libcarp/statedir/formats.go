package statedir

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carp/libcarp/config"
)

// The first lines of status/groups and status/sysctl.
const (
	GroupsTag = "carp-groups 1"
	SysctlTag = "carp-sysctl 1"
)

// FormatGroups prints the demotion of each group as the content of status/groups.
func FormatGroups(demotion map[string]int, holders Holders) []byte {
	names := make([]string, 0, len(demotion))
	for name := range demotion {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	fmt.Fprintln(&b, GroupsTag)
	for _, name := range names {
		fmt.Fprintf(&b, "demote %s %d\n", name, demotion[name])
		for _, h := range holders.Of(name) {
			fmt.Fprintf(&b, "holder %s %s %d\n", name, h, holders[name][h])
		}
	}
	return b.Bytes()
}

// ParseGroups reads what [FormatGroups] printed. Keys that it does not know are ignored.
func ParseGroups(data []byte) (map[string]int, error) {
	demotion := map[string]int{}
	return demotion, eachLine(data, GroupsTag, func(key string, values []string) (err error) {
		if key != "demote" {
			return nil
		}
		if len(values) != 2 {
			return fmt.Errorf("demote: %d values", len(values))
		}
		demotion[values[0]], err = strconv.Atoi(values[1])
		return err
	})
}

// FormatSysctl prints the variables as the content of status/sysctl.
func FormatSysctl(s config.Sysctl) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, SysctlTag)
	for _, v := range config.Variables() {
		fmt.Fprintf(&b, "%s %d\n", v.Name, *s.At(v.Name))
	}
	return b.Bytes()
}

// ParseSysctl reads what [FormatSysctl] printed. Names that it does not know are ignored.
func ParseSysctl(data []byte) (config.Sysctl, error) {
	s := config.DefaultSysctl()
	return s, eachLine(data, SysctlTag, func(key string, values []string) (err error) {
		at := s.At(key)
		if at == nil {
			return nil
		}
		if len(values) != 1 {
			return fmt.Errorf("%s: %d values", key, len(values))
		}
		*at, err = strconv.Atoi(values[0])
		return err
	})
}

// FormatStats prints the counters of the machine, then those of each carp that are not 0, as the content of status/stats. A reader of the
// machine's alone, [config.ParseStats], does not see the others.
func FormatStats(machine config.Stats, carps map[string]config.Stats) []byte {
	names := make([]string, 0, len(carps))
	for name := range carps {
		names = append(names, name)
	}
	slices.Sort(names)
	text := machine.Format()
	for _, name := range names {
		for c, n := range carps[name] {
			if n == 0 {
				continue
			}
			text = append(append(append(text, name...), ' '), config.Counter(c).String()...)
			text = append(strconv.AppendUint(append(text, ' '), n, 10), '\n')
		}
	}
	return text
}

// ParseCarpStats reads the counters of the carps that [FormatStats] printed. Those that are not there are 0; names that it does not know
// are ignored.
func ParseCarpStats(data []byte) (map[string]config.Stats, error) {
	carps := map[string]config.Stats{}
	return carps, eachLine(data, config.StatsTag, func(key string, values []string) error {
		if len(values) != 2 || !config.IsCarpName(key) {
			return nil
		}
		stats := carps[key]
		for c := range stats {
			if config.Counter(c).String() != values[0] {
				continue
			}
			n, err := strconv.ParseUint(values[1], 10, 64)
			if err != nil {
				return err
			}
			stats[c] = n
		}
		carps[key] = stats
		return nil
	})
}

// eachLine hands over the lines that follow the tag, split at blanks.
func eachLine(data []byte, tag string, take func(key string, values []string) error) error {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != tag {
		return fmt.Errorf("no %q in the first line", tag)
	}
	for n, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if err := take(f[0], f[1:]); err != nil {
			return fmt.Errorf("line %d: %w", n+2, err)
		}
	}
	return nil
}
