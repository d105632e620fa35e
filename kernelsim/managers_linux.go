package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A manager is a program that configures interfaces by itself, and has to be told to leave carp interfaces alone.
type manager struct {
	name  string
	runs  string   // there when it runs
	files string   // what it reads, by a pattern, in each of the directories
	dirs  []string // of its configuration
	words []string // that one file has when it was told
}

var managers = []manager{
	{"systemd-networkd", "run/systemd/netif/state", "*.network", []string{"etc/systemd/network", "run/systemd/network", "usr/lib/systemd/network", "lib/systemd/network"},
		[]string{"Name=carp*", "Unmanaged=yes"}},
	{"NetworkManager", "run/NetworkManager", "*.conf", []string{"etc/NetworkManager", "etc/NetworkManager/conf.d", "usr/lib/NetworkManager/conf.d", "run/NetworkManager/conf.d"},
		[]string{"interface-name:carp*"}},
	{"dhcpcd", "run/dhcpcd", "dhcpcd.conf", []string{"etc"}, []string{"denyinterfaces carp*"}},
}

// managersTold returns the managers that run below root, and an error for each that was not told to leave carp interfaces alone.
func managersTold(root string) (names []string, err error) {
	var errs []error
	for _, m := range managers {
		if _, err := os.Stat(filepath.Join(root, m.runs)); err != nil {
			continue
		}
		names = append(names, m.name)
		if !m.told(root) {
			errs = append(errs, fmt.Errorf("%s was not told to leave carp interfaces alone, see carp(4)", m.name))
		}
	}
	return names, errors.Join(errs...)
}

func (m *manager) told(root string) bool {
	for _, dir := range m.dirs {
		files, _ := filepath.Glob(filepath.Join(root, dir, m.files))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err == nil && hasLines(string(data), m.words) {
				return true
			}
		}
	}
	return false
}

// hasLines reports whether each word stands in a line that is no comment.
func hasLines(text string, words []string) bool {
	for _, word := range words {
		found := false
		for _, line := range strings.Split(text, "\n") {
			line = strings.TrimSpace(line)
			found = found || !strings.HasPrefix(line, "#") && strings.Contains(line, word)
		}
		if !found {
			return false
		}
	}
	return true
}
