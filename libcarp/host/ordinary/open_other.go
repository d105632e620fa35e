//go:build !linux

package ordinary

// Elsewhere is true where the system's own ifconfig is OpenBSD's or near to it.
const Elsewhere = true

// Open returns nil: the system's own ifconfig knows its interfaces.
func Open() Host { return nil }
