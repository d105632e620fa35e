// Package host says what the loop asks of the operating system: links for the carp interfaces, adverts in and out,
// announcements, and news of the host's own interfaces. Package linux answers; a system without such a package has no kernelsim.
package host

import (
	"net/netip"

	"carp/libcarp/config"
)

// A Carp is what the link of one carp interface has to be.
type Carp struct {
	Name    string
	Carpdev int            // index of the interface that it sits on
	MAC     config.MAC     // of the link, and of the adverts of its leader
	Own     bool           // that is the carpdev's own MAC: the addresses are on the carpdev itself, and the link shows the state alone
	VHIDs   []uint8        // of its virtual hosts: adverts for others need not be delivered
	Addrs   []netip.Prefix // every shared address
	Peers   []netip.Addr   // where its adverts go instead of the groups, at most one of each family
	Master  bool           // answers for the addresses; otherwise it is silent
}

// An Advert is a packet to be sent: all of it from the IP header on, of either family.
type Advert struct {
	Carpdev int
	From    config.MAC
	Dst     netip.Addr // a group or a peer
	Packet  []byte     // the host does not keep it
}

// A Packet is one of protocol 112 that a carpdev received, or word of another kind.
type Packet struct {
	Carpdev int
	Src     netip.Addr
	Dst     netip.Addr
	TTL     int
	Payload []byte // what follows the IP header, cut to what the header says; owned by the receiver

	// Where there is one of these it is no advert, and nothing else of this is set but Carpdev.
	Claim     Claim
	Duplicate Duplicate
}

// A Duplicate is a stranger's word to everybody on the carpdev's network that a shared address is at his MAC. Words of peers may be among them, but adverts
// that came before come before.
type Duplicate struct {
	Addr netip.Addr // not valid: none
	MAC  config.MAC
}

// A Claim is another host's word that it is master of a virtual host; see [Host.Claim].
type Claim struct {
	VHID uint8 // 0: none
	From config.MAC
}

// Foreign are adverts that were dropped before they reached Packets: whole, with the right TTL and checksum, and of a vhid that is not ours.
type Foreign struct{ IPv4, IPv6 uint64 }

// A Host is one operating system's data plane. Send and Probe may be called from any goroutine and never wait for the
// network; the other methods are called from one goroutine, one at a time, and may take milliseconds.
type Host interface {
	// Links tells all interfaces of the host except carps: at once, and again after each change. The latest word counts.
	Links() <-chan []config.Link

	// Packets delivers what the carpdevs of all ensured carps receive, never what this host sent itself.
	Packets() <-chan Packet

	// Amiss tells the names of carps that somebody else has changed, or what they rely on: Ensure puts that right, or fails. It is never closed.
	Amiss() <-chan string

	// Resume comes before anything else, and at once, where this process goes on with what another one has left working: when it returns, the
	// leases of these carps can be renewed and adverts sent through their carpdevs. Ensure must follow for each.
	Resume(carps []Carp) error

	// Ensure makes the carp's link what c says and returns the link's index. It does nothing to what is right already;
	// a link without Master is silent when Ensure returns, and one with it waits for Renew where there are leases. The error carries a syscall.Errno.
	Ensure(c Carp) (index int, err error)

	// Remove takes the link away with all that was made for it. One that does not exist is no error.
	Remove(name string) error

	// Silence makes every link silent at once, however many there are. Only Send and Close may follow.
	Silence() error

	// Foreign returns how many adverts of other vhids were dropped since it was called last.
	Foreign() Foreign

	// Renew lets the link of a carp answer until then, in nanoseconds of a clock that counts suspend (CLOCK_BOOTTIME); 0 silences it. A host that
	// has no such means does nothing: there a master answers until Ensure says otherwise. It may be called from any goroutine, and never waits.
	Renew(carp string, until int64)

	// Drain puts into Packets what the carpdevs have received before it was called, as far as there is room. It may be called from any goroutine, and
	// never waits.
	Drain()

	// Announce tells the carpdev's network that the addresses are at the carp's MAC: gratuitous ARP for IPv4, unsolicited neighbour advertisements for
	// IPv6.
	Announce(c Carp, addrs []netip.Addr) error

	// Send puts an advert on the wire. The error carries a syscall.Errno: EHOSTDOWN while the link-level address of a peer is not known, which is then
	// asked for.
	Send(a Advert) error

	// Claim tells other hosts with this software, from the carpdev's own MAC, that this host is master of the vhid. It comes to them as a
	// [Packet]. No other host may learn from it where the address is; addr is not valid where none is shared.
	Claim(carpdev int, vhid uint8, addr netip.Addr) error

	// Frame returns what Send would put on the wire, from the link-level header on; nil while the link-level address of a peer is not known. It
	// may be called from any goroutine, and never waits.
	Frame(a Advert) []byte

	// Probe sends something harmless by an advert's way out over a family, to see whether it gets there. The error carries a syscall.Errno.
	Probe(carpdev int, inet6 bool) error

	// Leave comes in place of Close, and last of all but Send and Renew, where another process goes on with what is there: when it returns, nothing is mended any
	// more, since that would be done against the other one.
	Leave()

	// Close removes every link, puts back what was changed on the carpdevs, and closes the channels.
	Close() error
}
