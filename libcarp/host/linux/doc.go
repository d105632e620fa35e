// Package linux is the data plane on Linux: a macvlan in private mode for each carp, adverts and announcements over packet sockets, news of
// interfaces over netlink.
//
// A carp that is not master has its link administratively down. That is what a kernel without eBPF can do; a host that hangs while
// it is master goes on to answer.
package linux
