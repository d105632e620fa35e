// Package sim runs a cluster in virtual time: real engines, real bytes, a LAN that loses, delays, doubles, mixes up and corrupts what it carries,
// hosts that crash, sleep and run late, and peers that behave as the other systems do.
//
// A seed picks everything ([NewScenario]); the same seed gives the same trace hash on every architecture. At each step the world compares what an
// engine did with what the protocol demands, told here a second time and independently of the engine (check.go), and what the hosts of a virtual
// host agree upon (audit.go). A scenario that breaks a rule is shrunk to the faults that it takes ([Shrink]).
//
// What is in it: scenario.go and fault.go pick and inflict; world.go has the time and the LANs; host.go does for an engine what libcarp/loop does;
// peer.go is the other systems, as a table of their differences; seal.go says which adverts may be refused for their counters, and attack.go has
// somebody without the key; ties.go heals partitions between equal masters; mischief.go breaks things on
// purpose, since rules that nothing breaks prove nothing. New words of the configuration and new kinds of packets need no change in the world: a
// host is configured with config's words, and a packet is carried as the bytes that it is.
//
//	go test ./libcarp/sim                                        fixed seeds, and fresh ones for 2 s
//	make soak SECONDS=600                                        fresh seeds
//	go test ./libcarp/sim -v -run 'TestSeed$' -seed=7 -faults=0,3   one seed with these of its faults, and its trace
//	make storms STORMS=100000                                    clocks, memories and an attacker, with the seeds 1 to 100,000
//	go test ./libcarp/sim -v -run 'TestStorm$' -seed=7 -faults=0,3  one of them
//	go test ./libcarp/sim -v -run TestTies -healings=10000       the table of ties
//	go test ./libcarp/sim -run xxx -bench World                  events a second
//
// The package is pure like the engine: no clock, no goroutine, no file, no floating point.
package sim
