//go:build !linux

package sysctl

// translations: a BSD has these names itself.
func translations(string) []translation { return nil }
