package sysctl

import "strconv"

// A translation is a name of OpenBSD's for something that the system has under another.
type translation struct {
	name        string
	number      bool
	least, most int                      // of a number, when there is a most
	get         func() (string, error)   // in OpenBSD's words
	put         func(value string) error // nil: cannot be set
}

// accepts reports whether OpenBSD's kernel takes a value.
func (t *translation) accepts(value string) bool {
	n, err := strconv.Atoi(value)
	return !t.number || err == nil && (t.most == 0 || t.least <= n && n <= t.most)
}
