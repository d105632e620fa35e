package engine

import (
	"net/netip"

	"carp/libcarp/config"
)

// An Effect is something that has to happen now. Effects are valid until the next Step. A Carpdev is the index of an interface.
type Effect interface{ effect() }

// SendAdvert puts an advert on the wire of a carpdev; the outcome is told by a [Sent].
type SendAdvert struct {
	Carp    string
	VHID    uint8
	Carpdev int
	From    config.MAC // the source MAC
	Dst     netip.Addr // a group, or a carppeer
	Packet  []byte     // the whole IP packet
	// Interval is the time until the next advert. When two of them have passed since the last advert that got out, a peer may soon take over,
	// and this host must no longer answer.
	Interval Instant
	// BowOut says that the advert may leave only after the effects before it were carried out: a peer takes over at once, and two must not answer.
	BowOut bool
	// Prepared is the bow-out, a whole IP packet, that the supervisor sends if this engine dies before its next advert; nil with a bow-out.
	Prepared []byte

	buf, prepared [packetMax]byte
}

// Ensure makes a carp's link: its carpdev, MAC and addresses, and whether it answers for them.
type Ensure struct {
	Carp    string
	Carpdev int
	MAC     config.MAC
	Own     bool    // the MAC is the carpdev's own
	VHIDs   []uint8 // those of all its virtual hosts, the first one's first
	Addrs   []netip.Prefix
	Peers   []netip.Addr // where its adverts go instead of the groups
	Master  bool
}

// Remove takes a carp's link away.
type Remove struct{ Carp string }

// Probe sends something harmless, an IGMP or MLD report, through a carpdev; the outcome is told by a [Sent]. A backup sends no adverts, and
// yet has to find out whether it could.
type Probe struct {
	Carp    string
	Carpdev int
	IPv6    bool
}

// Claim tells other masters, from the carpdev's own MAC, that this host is master: their adverts, or ours, may not get through.
type Claim struct {
	Carp    string
	Carpdev int
	VHID    uint8
	Addr    netip.Addr // a shared IPv4 address; the zero Addr where there is none
}

// Announce tells the network where the addresses are: gratuitous ARP and unsolicited neighbour advertisements.
type Announce struct {
	Carp    string
	Carpdev int
	MAC     config.MAC
	Addrs   []netip.Addr
}

// Transition tells that a virtual host has changed its state. It follows what makes the change true.
type Transition struct {
	Carp     string
	VHID     uint8
	From, To State
	Reason   string // one of those that carpstate(5) lists
}

// Publish tells that what can be seen of a carp has changed.
type Publish struct{ Carp string }

// PublishGroups tells that a group has come or gone, or that its members, its demotion or the causes of that have changed.
type PublishGroups struct{}

// Persist tells that the engine itself has changed an interface's configuration: it has chosen a carpdev, or lladdr has followed the
// carpdev's MAC.
type Persist struct{ Carp string }

// PersistGroups tells that the configuration of the groups has changed: a group has gone with its last member, and its demotion with it, or
// has come back.
type PersistGroups struct{}

// Log is a message for the log. Unless the engine is Verbose, there is none with a level above net.inet.carp.log.
type Log struct {
	Level Level
	Text  string
}

// A Level is one of syslog(3)'s, as net.inet.carp.log counts them.
type Level int

// The levels in use, as ip_carp.c has them; Alert is ours.
const (
	Alert   Level = 1 // a wrong pass phrase: two masters until somebody looks
	Crit    Level = 2 // BACKUP to MASTER and back
	Err     Level = 3 // demotion
	Warning Level = 4 // transitions from and to INIT, failures to send
	Notice  Level = 5 // wrong TTL or version
	Info    Level = 6 // other bad packets
	Debug   Level = 7
)

func (*SendAdvert) effect()    {}
func (*PublishGroups) effect() {}
func (*Ensure) effect()        {}
func (*Probe) effect()         {}
func (*Remove) effect()        {}
func (*Announce) effect()      {}
func (*Claim) effect()         {}
func (*Transition) effect()    {}
func (*Publish) effect()       {}
func (*Persist) effect()       {}
func (*PersistGroups) effect() {}
func (*Log) effect()           {}
