// Package engine is CARP: every virtual host of one machine, its state, timers, keys and counters.
//
// It is pure. [Engine.Step] takes the time and an event, and returns effects in the order in which they have to happen;
// [Engine.Deadline] says when it next wants a [Tick]. It reads no clock, starts no goroutine and touches nothing outside itself, so that the
// same events give the same effects, in a daemon and in a simulator.
//
// The rules are those of OpenBSD's netinet/ip_carp.c, revision 1.370. Where we choose otherwise a comment says why, and carp(4)
// in its section COMPATIBILITY.
package engine
