package ifconfig

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// parseVerbose reads -v and a carp or a group of carps. Any other name, and none, is the system's ifconfig's, which has such an option; do is nil then.
func parseVerbose(args []string, c *libcarp.Conn) (do own) {
	if len(args) != 2 {
		return nil
	}
	found, remark, err := pick(c, args[1])
	if err == nil && len(found) == 0 && args[1] != "carp" {
		return nil
	}
	return func(p *program, _ *libcarp.Conn) error {
		if err != nil {
			return err
		}
		p.remark(remark)
		for _, s := range found {
			printStatus(p.stdout, s, "", false)
			printVerbose(p.stdout, s)
		}
		return nil
	}
}

// pick returns the carp of that name, or the carps of a group.
func pick(c *libcarp.Conn, name string) (found []statedir.Status, remark statedir.Remark, err error) {
	if config.IsCarpName(name) {
		s, remark, err := c.Interface(name)
		if errors.Is(err, config.ENXIO) {
			err = noInterface(name)
		}
		return []statedir.Status{s}, remark, err
	}
	all, remark, err := c.Interfaces()
	for _, s := range all {
		if slices.Contains(s.Groups, name) {
			found = append(found, s)
		}
	}
	return found, remark, err
}

// timeFormat is that of events.
const timeFormat = "2006-01-02T15:04:05.000Z"

// printVerbose prints what only -v tells.
func printVerbose(w io.Writer, s statedir.Status) {
	for _, h := range s.Heard {
		fmt.Fprintf(w, "\tpeer: %s advbase %d advskew %d demote %d\n", h.Addr, h.Advbase, h.Advskew, h.Demote)
	}
	if !s.Since.IsZero() {
		fmt.Fprintf(w, "\tsince: %s\n\treason: %s\n", formatTime(s.Since), strings.TrimSpace(s.Reason))
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(timeFormat) }
