// Package sim runs a cluster in virtual time: real engines, real bytes, a LAN that loses, delays, doubles, mixes up and corrupts what it carries,
// hosts that crash, sleep and run late, and peers that behave as the other systems do.
//
// A seed picks everything ([NewScenario]); the same seed gives the same trace hash on every architecture. At each step the world compares what an
// engine did with what the protocol demands, told here a second time and independently of the engine (check.go), and what the hosts of a virtual
// host agree upon (audit.go). A scenario that breaks a rule is shrunk to the faults that it takes ([Shrink]).
//
// The package is pure like the engine: no clock, no goroutine, no file, no floating point.
package sim
