//go:build !linux

package golden

// apart: a BSD has no namespaces, and our commands set nothing there but what is kernelsim's.
func apart() (exit int, done bool) { return 0, false }
