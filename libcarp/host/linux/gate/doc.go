// Package gate keeps a host silent for the shared addresses that it does not hold, in the kernel: whatever becomes of the processes, an address falls
// silent when the lease of its carp has run out.
//
// Small eBPF programs stand in front of everything else on every interface (legacy clsact filters at preference 1, which outlive their maker). On a carp
// each packet in either direction is dropped unless the carp's lease is fresh; adverts always leave. On another interface only packets to a shared
// address (ARP: that ask for it) on their way in, and from one (ARP: in its name) on their way out, are looked at, and dropped unless the address's lease is
// fresh. All else goes on to the next filter. Frames of a VLAN other than 0 are left alone; id 0, a priority, counts as no VLAN.
//
// The maps that matter are two. In addrs an address leads to a slot; in slots, an array in memory that is shared with the kernel, stands when the
// lease ends, in nanoseconds of CLOCK_BOOTTIME, 0: shut. So a carp becomes master, stays it and ceases to be it by one store each,
// however many addresses it has.
package gate
