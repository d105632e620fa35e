package engine

import (
	"net/netip"

	"carp/libcarp/config"
)

// An Instant is a time in nanoseconds on a monotonic clock that goes on while the machine is suspended (Linux: CLOCK_BOOTTIME). It
// is greater than 0; as a deadline 0 means none.
type Instant int64

// A second, in Instants.
const second Instant = 1e9

// An Event is something that happened. Events are passed as pointers, so that a caller can use one again and again. A Carpdev is the index of an interface.
type Event interface{ wall() int64 }

// A Clock is what the wall clock said when an event happened, in milliseconds of Unix time. Only the sealed counter looks at it. 0: not known.
type Clock struct{ Wall int64 }

func (c Clock) wall() int64 { return c.Wall }

// A Tick tells that it is late enough to look at the deadlines.
type Tick struct{ Clock }

// A Packet is one of protocol 112 that came in, and what the host knows of it.
type Packet struct {
	Clock
	Carpdev  int // that it came in through
	Src, Dst netip.Addr
	TTL      int    // of IPv4, or the hop limit of IPv6
	Payload  []byte // what follows the IP header; not kept
}

// Foreign tells how many adverts of vhids that are not ours the host has dropped by itself: they are counted as if they had come in.
type Foreign struct {
	Clock
	IPv4, IPv6 uint64
}

// Claimed tells that another host says it is master of a virtual host; see [Claim].
type Claimed struct {
	Clock
	Carpdev int
	VHID    uint8
	From    config.MAC // the other host's own MAC
}

// Duplicate tells that somebody on the network says a shared address is his: by an ARP packet to all that comes from it, or by an unsolicited neighbour
// advertisement.
type Duplicate struct {
	Clock
	Carpdev int
	Addr    netip.Addr
	MAC     config.MAC // where the address is, as he says
}

// Links tells all interfaces of the host that are not carps, as they are now.
type Links struct {
	Clock
	Links []config.Link
}

// Configure puts a plan of [Engine.Plan] into force.
type Configure struct {
	Clock
	Plan config.Plan
}

// Sent tells how the sending of an advert or a probe ended.
type Sent struct {
	Clock
	Carp  string
	IPv6  bool         // else over IPv4
	Errno config.Errno // OK, or why it failed; EHOSTDOWN: the link-level address of a carppeer is not known (yet)
}

// LinkMade tells whether the link that the last [Ensure] asked for stands. While it does not, the carp cannot run: nobody may
// be master without the address.
type LinkMade struct {
	Clock
	Carp   string
	Failed bool
}

// Shutdown tells that this engine ends: every master bows out and every link goes.
type Shutdown struct{ Clock }
