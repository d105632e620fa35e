package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseList reads the list of equivalent mutants. An entry is the identity as a survivor is printed, and the reason, which may go on over
// indented lines; entries are set apart by empty lines, and # begins a remark at the start of a line.
//
//	libcarp/engine/timer.go: (*timers).drop
//	- n.slot >= 0
//	+ n.slot > 0
//	why: ...
func parseList(text string) (map[identity]string, error) {
	known := map[identity]string{}
	for _, block := range strings.Split(text, "\n\n") {
		var lines []string
		for _, l := range strings.Split(strings.TrimSpace(block), "\n") {
			if !strings.HasPrefix(l, "#") && l != "" {
				lines = append(lines, l)
			}
		}
		if len(lines) == 0 {
			continue
		}
		id, why, err := parseEntry(lines)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lines[0], err)
		}
		if _, twice := known[id]; twice {
			return nil, fmt.Errorf("%s: stands there twice", lines[0])
		}
		known[id] = why
	}
	return known, nil
}

func parseEntry(lines []string) (id identity, why string, err error) {
	if len(lines) < 4 {
		return id, "", errors.New("incomplete entry")
	}
	var ok [4]bool
	id.nth = 1
	id.file, id.function, ok[0] = strings.Cut(lines[0], ": ")
	if name, nth, numbered := strings.Cut(id.function, " #"); numbered {
		id.function = name
		if id.nth, err = strconv.Atoi(nth); err != nil {
			return id, "", fmt.Errorf("#%s: not a number", nth)
		}
	}
	id.from, ok[1] = strings.CutPrefix(lines[1], "- ")
	id.to, ok[2] = strings.CutPrefix(lines[2], "+")
	id.to = strings.TrimPrefix(id.to, " ")
	why, ok[3] = strings.CutPrefix(strings.Join(lines[3:], " "), "why: ")
	for i, name := range []string{"file: function", "- before", "+ after", "why: reason"} {
		if !ok[i] {
			return id, "", fmt.Errorf("line %d is not of the form %q", i+1, name)
		}
	}
	if strings.TrimSpace(why) == "" {
		return id, "", errors.New("no reason")
	}
	return id, why, nil
}
