// Package linux is the data plane on Linux: a macvlan in private mode for each carp, adverts and announcements over packet sockets, news of
// interfaces over netlink.
//
// Unicast adverts go to where the kernel's neighbour table says; who is not in it is resolved by the kernel, but not where the carpdev has no IPv4 address
// of its own: there the administrator has to set a permanent entry.
//
// A carp that is not master has its link up, without carrier and behind the gate: see package gate. Where the kernel has no eBPF for us its link
// is administratively down instead, and a host that hangs while it is master goes on to answer.
package linux
