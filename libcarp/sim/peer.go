package sim

import (
	"encoding/binary"
	"net/netip"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

// A Dialect is how another system behaves, where the systems differ: as their sources have it, and as was seen on the wire.
type Dialect struct {
	Name       string
	Cookie     bool   // the counter is one random constant, and an advert that carries it is our own; else random until a peer is heard, then one more than the last
	DemoteByte bool   // demotion is said in byte 4 and compared before speed; else that byte is 0 and ignored
	DemoteSkew skewer // what demotion does to advskew
	BowsOut    bool   // on `down`
	OldDown    bool   // master-down time 3·advbase + advskew/256, not 3·(advbase + advskew/256)
	Lower      bool   // of two equal masters the lower address stays, read as a little-endian word, and the other sends a parting advert; else both yield
	OwnSource  bool   // drops what comes from its own address
	NeedsBase  bool   // cannot do advbase 0
	SendsIPv6  bool   // adverts over both families each interval
	HearsIPv6  bool
}

type skewer func(skew, demotion int64) int64

func asIs(skew, _ int64) int64         { return skew }
func added(skew, demotion int64) int64 { return min(skew+demotion*240, 240) } // its factors are 240
func suppressed(skew, demotion int64) int64 {
	if demotion > 0 {
		return max(skew, 240)
	}
	return skew
}

// The dialects.
var (
	OpenBSD = &Dialect{Name: "OpenBSD", Cookie: true, DemoteByte: true, DemoteSkew: asIs, BowsOut: true, SendsIPv6: true, HearsIPv6: true}
	FreeBSD = &Dialect{Name: "FreeBSD", DemoteSkew: added, OldDown: true, NeedsBase: true, SendsIPv6: true, HearsIPv6: true}
	NetBSD  = &Dialect{Name: "NetBSD", DemoteSkew: suppressed, BowsOut: true, OldDown: true, NeedsBase: true, HearsIPv6: true}
	UCARP   = &Dialect{Name: "UCARP", DemoteSkew: suppressed, OldDown: true, Lower: true, OwnSource: true, NeedsBase: true}
)

// Dialects lists them.
var Dialects = []*Dialect{OpenBSD, FreeBSD, NetBSD, UCARP}

// A peer is one virtual host of another system.
type peer struct {
	*Dialect
	w    *World
	id   int32
	plan *PeerPlan
	lan  int
	vhid uint8
	auth *wire.Auth
	src  [2]netip.Addr // over IPv4 and over IPv6

	base, skew, demotion int64
	preempt              bool
	state                engine.State
	deadline             int64
	gen                  uint32
	timerAt              int64 // when the timer event under way comes; 0: none
	counter              uint64
	heard                bool
	downs                int
	id16                 uint16
}

func (w *World) addPeer(p *PeerPlan) {
	v := &w.scenario.VHosts[p.VHost]
	q := &peer{Dialect: p.Dialect, w: w, id: int32(len(w.stations)), plan: p, lan: v.LAN, vhid: v.VHID, base: int64(v.Advbase), skew: int64(p.Advskew), preempt: p.Preempt}
	q.src[0] = netip.AddrFrom4([4]byte{10, byte(v.LAN), p.Addr[2], p.Addr[3]})
	q.src[1] = linkLocal(p.Addr)
	pass := v.Pass
	if p.Stranger {
		pass = "another"
	}
	id := wire.Identity{VHID: v.VHID, Key: config.NewPass(pass).Key()}
	for _, a := range v.Addrs {
		id.Addrs = append(id.Addrs, a.Addr())
	}
	q.auth = wire.NewAuth(id)
	w.stations = append(w.stations, station{peer: q})
	w.lans[q.lan].members = append(w.lans[q.lan].members, q.id)
	w.push(p.Boot, boot, q.id, 0, 0)
}

// claim is what it says and decides by.
func (p *peer) claim() claim {
	c := claim{base: uint8(p.base), skew: uint8(p.DemoteSkew(p.skew, p.demotion))}
	if p.DemoteByte {
		c.demote = uint8(p.demotion)
	}
	return c
}

func (p *peer) masterDown() int64 { return p.downWith(p.claim()) }

// slowestDown is the longest that its timer may have been set to: where demotion is said in advskew, its end does not move the timer.
func (p *peer) slowestDown() int64 {
	c := p.claim()
	c.skew = max(c.skew, uint8(p.DemoteSkew(p.skew, 1)))
	return p.downWith(c)
}

func (p *peer) downWith(c claim) int64 {
	if p.OldDown {
		return (3*256*int64(c.base) + int64(c.skew)) * second / 256
	}
	return c.masterDown()
}

// wait sets the timer.
func (p *peer) wait(d int64) {
	p.deadline = p.w.now + d
	if p.timerAt == 0 || p.deadline < p.timerAt {
		p.gen++
		p.timerAt = p.deadline
		p.w.push(p.deadline, peerTimer, p.id, 0, p.gen)
	}
}

func (p *peer) timer(gen uint32) {
	if gen != p.gen {
		return
	}
	p.timerAt = 0
	switch {
	case p.state == engine.Init || p.w.mischief == Idle:
	case p.deadline > p.w.now:
		p.wait(p.deadline - p.w.now)
	case p.state == engine.Backup:
		p.w.Events++
		p.takeOver("timeout")
	default:
		p.w.Events++
		p.advertise(p.claim())
		p.wait(p.claim().interval())
	}
}

func (p *peer) become(s engine.State, why string) {
	from := p.state
	if p.state = s; from == s {
		return
	}
	p.w.mix(uint64(p.id)<<16 | uint64(s))
	if p.w.Trace != nil {
		p.w.tracef("%s %d vhid %d: %v -> %v (%s)", p.Name, p.id, p.vhid, from, s, why)
	}
	p.w.changed(p.plan.VHost, p.id, from, s)
}

func (p *peer) start() {
	if p.state == engine.Init && p.downs == 0 {
		p.counter, p.heard = p.w.random.src.Uint64(), false
		p.become(engine.Backup, "start")
		p.wait(p.masterDown())
	}
}

// stop ends it, with a bow-out where the system has one.
func (p *peer) stop(politely bool) {
	if p.state == engine.Master && politely && p.BowsOut {
		c := p.claim()
		c.base, c.skew = 255, 255
		p.advertise(c)
	}
	p.become(engine.Init, "stop")
}

func (p *peer) takeOver(why string) {
	p.become(engine.Master, why)
	p.advertise(p.claim())
	p.wait(p.claim().interval())
}

func (p *peer) yield() {
	if p.w.mischief == Stubborn {
		return
	}
	if p.Lower {
		p.advertise(p.claim())
	}
	p.become(engine.Backup, "yields")
	p.wait(p.masterDown())
}

// demote changes its demotion; a master of OpenBSD and FreeBSD says so at once.
func (p *peer) demote(by int64) {
	p.demotion += by
	if p.state == engine.Master && by > 0 {
		p.advertise(p.claim())
	}
}

func (p *peer) advertise(c claim) {
	for f := range p.src {
		if p.w.scenario.VHosts[p.plan.VHost].has(f) && (f == 0 || p.SendsIPv6) {
			p.advertiseOver(f, c)
		}
	}
}

func (p *peer) advertiseOver(family int, c claim) {
	switch {
	case p.Cookie:
	case p.heard:
		p.counter++
	default:
		p.counter = p.w.random.src.Uint64()
	}
	ad := wire.Advert{
		Version: wire.Version, Type: wire.Type, Authlen: wire.Authlen, VHID: p.vhid,
		Advbase: c.base, Advskew: c.skew, Demote: c.demote, Counter: p.counter, HMAC: p.auth.Sum(p.counter),
	}
	var b [wire.IPv6Header + wire.Size]byte
	header := wire.IPv4Header
	if family == 1 {
		header = wire.IPv6Header
		wire.MarshalIPv6(b[:], p.src[1], wire.GroupIPv6)
	} else {
		p.id16++
		wire.MarshalIPv4(b[:], p.id16, p.src[0], wire.GroupIPv4)
	}
	ad.Marshal(b[header:])
	p.w.transmit(p.id, &p.w.lans[p.lan], b[:header+wire.Size])
}

// receive judges a frame.
func (p *peer) receive(f *frame) {
	src, ttl, payload := f.parts()
	if p.state == engine.Init || ttl != wire.TTL || src.Is6() && !p.HearsIPv6 {
		return
	}
	ad, err := wire.Parse(payload)
	if err != nil || ad.VHID != p.vhid || ad.Version != wire.Version || p.OwnSource && src == p.src[0] || !p.auth.Verify(&ad) {
		return
	}
	if p.Cookie && ad.Counter == p.counter {
		return
	}
	if !p.Cookie {
		p.counter, p.heard = ad.Counter, true
	}
	own, peer := p.claim(), claim{ad.Advbase, ad.Advskew, ad.Demote}
	if !p.DemoteByte {
		peer.demote = 0
	}
	if p.state == engine.Backup {
		timesOut := own.base > 0 && 3*256*int64(own.base)+int64(own.skew) < peer.units()
		if p.preempt && own.units() < peer.units() && peer.demote >= own.demote || peer.demote > own.demote || timesOut {
			p.takeOver("better")
			return
		}
		p.wait(p.masterDown())
		return
	}
	switch {
	case peer.demote < own.demote, peer.demote == own.demote && own.units() > peer.units():
		p.yield()
	case peer.demote == own.demote && own.units() == peer.units():
		if !p.Lower || littleEndian(src) < littleEndian(p.src[0]) {
			p.yield()
		}
	}
}

// littleEndian is an address as a PC reads it.
func littleEndian(a netip.Addr) uint32 {
	b := a.As4()
	return binary.LittleEndian.Uint32(b[:])
}
