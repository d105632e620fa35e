package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// A host is an engine under test, with the clock and the interfaces that the test gives it.
type host struct {
	t     testing.TB
	e     *Engine
	now   Instant
	wall  int64
	links []config.Link
	last  []Effect // of the last step
	log   []string
	kept  map[vhidOf]Kept
}

type vhidOf struct {
	carp string
	vhid uint8
}

// em0 is the carpdev of most tests; its address is 192.168.1.X.
func em0(x byte) config.Link {
	return config.Link{
		Index: 2, Name: "em0", MTU: 1500, Up: true, Running: true, Ethernet: true, Multicast: true,
		Addrs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 1, x}), 24)},
	}
}

func newHost(t testing.TB, links ...config.Link) *host {
	h := &host{t: t, e: New(config.NewMachine(), rand.NewPCG(1, 2), nil), now: 1000 * second, wall: wire.SealEpoch + 1e9}
	h.sysctl("log", 7)
	h.setLinks(links...)
	return h
}

func (h *host) step(ev Event) []Effect {
	h.t.Helper()
	h.last = h.last[:0]
	for _, f := range h.e.Step(h.now, ev) {
		switch f := f.(type) {
		case *SendAdvert:
			c := *f
			c.Packet, c.Prepared = slices.Clone(f.Packet), slices.Clone(f.Prepared)
			h.last = append(h.last, &c)
		case *Log:
			h.log = append(h.log, f.Text)
			h.last = append(h.last, f)
		default:
			h.last = append(h.last, f)
		}
	}
	h.e.Changes(func(k *Kept) {
		if h.kept == nil {
			h.kept = map[vhidOf]Kept{}
		}
		h.kept[vhidOf{k.Carp, k.VHID}] = *k
	})
	return h.last
}

func (h *host) clock() Clock { return Clock{Wall: h.wall + int64(h.now-1000*second)/1e6} }

func (h *host) setLinks(links ...config.Link) {
	h.t.Helper()
	h.links = links
	h.step(&Links{Clock: h.clock(), Links: links})
}

// change plans and configures, as ifconfig(8) would ask: "carp0 vhid 1 alias 192.168.1.10/24".
func (h *host) change(line string) error {
	h.t.Helper()
	f, err := config.Fields(line)
	if err != nil {
		h.t.Fatal(err)
	}
	ch := config.Change{Kind: config.ForInterface, Name: f[0]}
	for f = f[1:]; len(f) > 0; {
		_, hasArg, ok := config.Lookup(f[0])
		if !ok {
			h.t.Fatalf("%s: no word", f[0])
		}
		n := 1
		if hasArg {
			n = 2
		}
		c, err := config.ParseClause(f[0], f[1:n]...)
		if err != nil {
			h.t.Fatal(err)
		}
		ch.Clauses, f = append(ch.Clauses, c), f[n:]
	}
	return h.configure(ch)
}

func (h *host) configure(ch config.Change) error {
	h.t.Helper()
	p, err := h.e.Plan(ch)
	if err != nil {
		return err
	}
	h.step(&Configure{Clock: h.clock(), Plan: p})
	return nil
}

func (h *host) must(line string) {
	h.t.Helper()
	if err := h.change(line); err != nil {
		h.t.Fatalf("%s: %v", line, err)
	}
}

func (h *host) sysctl(name string, value int) {
	h.t.Helper()
	err := h.configure(config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: name, N: value}}})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) demote(word config.Word, n int) error {
	h.t.Helper()
	return h.configure(config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: word, N: n}}})
}

// until lets time pass, ticking at each deadline.
func (h *host) until(t Instant) (all []Effect) {
	h.t.Helper()
	for d := h.e.Deadline(); d != 0 && d <= t; d = h.e.Deadline() {
		h.now = max(h.now, d)
		all = append(all, slices.Clone(h.step(&Tick{h.clock()}))...)
	}
	h.now = t
	return all
}

func (h *host) wait(d Instant) []Effect { h.t.Helper(); return h.until(h.now + d) }

func (h *host) state(name string) State {
	h.t.Helper()
	v, ok := h.e.View(name)
	if !ok {
		h.t.Fatalf("no %s", name)
	}
	return v.States[0]
}

func (h *host) want(name string, s State) {
	h.t.Helper()
	if got := h.state(name); got != s {
		h.t.Fatalf("%s is %s, want %s; log:\n%s", name, got, s, strings.Join(h.log, "\n"))
	}
}

// peer says what an advert of somebody else's is.
type peer struct {
	src             string // 192.168.1.99
	pass            string
	vhid            uint8 // 1
	base            uint8
	skew            uint8
	demote          uint8
	addrs           []string // 192.168.1.10
	sealed          bool
	sealAt          int64 // hear: a little later than what the host has heard and sent
	counter         uint64
	carpdev         int // 2
	ttl             int // 255
	dst             string
	version         uint8
	bytes           []byte // instead of all this
	truncate, flips bool
}

var counters uint64 = 0x1111111111111111

func (p peer) packet() *Packet {
	ad := wire.Advert{Version: wire.Version, Type: wire.Type, Authlen: wire.Authlen, VHID: or(p.vhid, 1),
		Advbase: p.base, Advskew: p.skew, Demote: p.demote, Counter: p.counter}
	if p.version != 0 {
		ad.Version = p.version
	}
	if p.addrs == nil {
		p.addrs = []string{"192.168.1.10"}
	}
	id := wire.Identity{VHID: ad.VHID, Key: config.NewPass(p.pass).Key()}
	for _, a := range p.addrs {
		id.Addrs = append(id.Addrs, netip.MustParseAddr(a))
	}
	counters += 0x123456789
	switch {
	case p.sealed:
		ad.Seal(or(p.sealAt, 5e9))
	case p.counter == 0:
		ad.Counter = counters<<8 | uint64(^ad.Demote) // never looks sealed
	}
	ad.HMAC = wire.NewAuth(id).Sum(ad.Counter)
	b := make([]byte, wire.Size)
	ad.Marshal(b)
	if p.flips {
		b[20] ^= 1
	}
	if p.truncate {
		b = b[:35]
	}
	if p.bytes != nil {
		b = p.bytes
	}
	if p.src == "" {
		p.src = "192.168.1.99"
	}
	if p.dst == "" {
		p.dst = "224.0.0.18"
	}
	return &Packet{Carpdev: or(p.carpdev, 2), Src: netip.MustParseAddr(p.src), Dst: netip.MustParseAddr(p.dst), TTL: or(p.ttl, 255), Payload: b}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (h *host) hear(p peer) []Effect {
	h.t.Helper()
	if p.sealAt == 0 {
		p.sealAt = h.e.clock.read(h.now) + lead + 4
	}
	pkt := p.packet()
	pkt.Clock = h.clock()
	return h.step(pkt)
}

// accepts reports whether an advert was not refused for its HMAC or its counter.
func (h *host) accepts(p peer) bool {
	h.t.Helper()
	before := h.e.Stats()[config.Badauth]
	h.hear(p)
	return h.e.Stats()[config.Badauth] == before
}

// brief writes effects in a line, to compare their order.
func brief(fs []Effect) string {
	var out []string
	for _, f := range fs {
		switch f := f.(type) {
		case *SendAdvert:
			ad, err := wire.Parse(f.Packet[wire.IPv4Header:])
			if err != nil {
				panic(err)
			}
			s := fmt.Sprintf("advert %d/%d/%d", ad.Advbase, ad.Advskew, ad.Demote)
			if f.BowOut {
				s += " last"
			}
			out = append(out, s)
		case *Ensure:
			s := "quiet"
			if f.Master {
				s = "answer"
			}
			out = append(out, s)
		case *Remove:
			out = append(out, "remove")
		case *Announce:
			out = append(out, fmt.Sprint("announce ", f.Addrs))
		case *Transition:
			out = append(out, fmt.Sprintf("%s>%s", f.From, f.To))
		case *Log, *Publish, *PublishGroups:
		case *Persist:
			out = append(out, "persist")
		}
	}
	return strings.Join(out, ", ")
}

// a master of the usual kind: carp0, vhid 1, 192.168.1.10 on em0
func newMaster(t testing.TB, words string) *host {
	h := newHost(t, em0(1))
	h.must("carp0 create carpdev em0 vhid 1 " + words + " alias 192.168.1.10/24")
	h.want("carp0", Backup)
	h.wait(16 * h.e.interval(h.e.carps["carp0"].nodes[0])) // all announcements are over
	h.want("carp0", Master)
	h.log = nil
	return h
}

func newBackup(t testing.TB, words string) *host {
	h := newHost(t, em0(1))
	h.must("carp0 create carpdev em0 vhid 1 " + words + " alias 192.168.1.10/24")
	h.want("carp0", Backup)
	h.log = nil
	return h
}
