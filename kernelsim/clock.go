//go:build !carptest

package main

import "carp/libcarp/loop"

// engineClock is the engine's clock. Programs for tests (tag carptest) have one that can be made to hang.
func engineClock() loop.Clock { return loop.SystemClock{} }
