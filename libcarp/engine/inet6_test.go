package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// em6 is em0 with IPv6 addresses too.
func em6(x byte) config.Link {
	l := em0(x)
	l.MAC = config.MAC{2, 0, 0, 0, 0, x}
	l.Addrs = append(l.Addrs, netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", x)), netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", x)))
	return l
}

// sentOver lists the adverts of the effects: source, destination, and the header that they have.
func sentOver(fs []Effect) (out []string) {
	for _, f := range fs {
		s, ok := f.(*SendAdvert)
		if !ok {
			continue
		}
		src, header := netip.Addr{}, wire.IPv4Header
		if s.Packet[0]>>4 == 6 {
			src, header = netip.AddrFrom16([16]byte(s.Packet[8:24])), wire.IPv6Header
		} else {
			src = netip.AddrFrom4([4]byte(s.Packet[12:16]))
		}
		if _, err := wire.Parse(s.Packet[header:]); err != nil || len(s.Packet) != header+wire.Size {
			out = append(out, fmt.Sprint("bad: ", err))
		}
		out = append(out, fmt.Sprintf("%s>%s", src, s.Dst))
	}
	return out
}

// Where adverts go, and where they come from, by the addresses of the carp and its peers.
func TestFamilies(t *testing.T) {
	for _, c := range []struct {
		words string
		want  []string
	}{
		{"alias 192.168.1.10/24", []string{"192.168.1.1>224.0.0.18"}},
		{"alias 2001:db8::10/64", []string{"fe80::1>ff02::12"}},
		{"alias fe80::10/64", []string{"fe80::1>ff02::12"}},
		{"alias 2001:db8::10/64 alias 192.168.1.10/24", []string{"192.168.1.1>224.0.0.18", "fe80::1>ff02::12"}},
		{"carppeer 10.0.0.9 alias 192.168.1.10/24 alias 2001:db8::10/64", []string{"192.168.1.1>10.0.0.9", "fe80::1>ff02::12"}},
		{"carppeer 224.0.0.99 alias 192.168.1.10/24", []string{"192.168.1.1>224.0.0.99"}},
		{"carppeer6 2001:db8::9 alias 2001:db8::10/64", []string{"2001:db8::1>2001:db8::9"}},
		{"carppeer6 fe80::9 alias 2001:db8::10/64", []string{"fe80::1>fe80::9"}},
		{"carppeer6 ff02::99 alias 2001:db8::10/64", []string{"fe80::1>ff02::99"}},
	} {
		h := newHost(t, em6(1))
		h.must("carp0 create carpdev em0 vhid 1 " + c.words)
		fs := h.wait(3*second + 1)
		h.want("carp0", Master)
		if got := sentOver(fs); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.words, got, c.want)
		}
		v4, v6 := uint64(0), uint64(0)
		for _, f := range fs {
			if s, ok := f.(*SendAdvert); ok && s.Dst.Is6() {
				v6++
			} else if ok {
				v4++
			}
		}
		if st := h.e.Stats(); st[config.Opackets] != v4 || st[config.Opackets6] != v6 {
			t.Errorf("%s: counted %d and %d", c.words, st[config.Opackets], st[config.Opackets6])
		}
	}
}

// The first that can serve, of the carpdev or else of the carp.
func TestSourceIPv6(t *testing.T) {
	prefixes := func(s ...string) (ps []netip.Prefix) {
		for _, p := range s {
			ps = append(ps, netip.MustParsePrefix(p))
		}
		return ps
	}
	for _, c := range []struct {
		carpdev, own []netip.Prefix
		peer, want   string
	}{
		{nil, nil, "", "::"},
		{nil, prefixes("2001:db8::10/64"), "", "2001:db8::10"},
		{nil, prefixes("2001:db8::10/64", "fe80::10/64"), "", "fe80::10"},
		{prefixes("2001:db8::1/64"), prefixes("fe80::10/64"), "", "2001:db8::1"},
		{prefixes("10.0.0.1/8", "2001:db8::1/64", "fe80::1/64"), nil, "", "fe80::1"},
		{prefixes("fe80::1/64", "2001:db8::1/64"), nil, "2001:db8::9", "2001:db8::1"},
		{prefixes("fe80::1/64"), nil, "2001:db8::9", "fe80::1"},
		{prefixes("2001:db8::1/64", "fe80::1/64"), nil, "fe80::9", "fe80::1"},
		{prefixes("2001:db8::1/64", "fe80::1/64"), nil, "ff05::9", "fe80::1"},
		{prefixes("2001:db8::1/64", "2001:db8::2/64"), nil, "", "2001:db8::1"}, // of those that serve as badly, the first
	} {
		i := config.NewInterface("carp0", 0)
		i.Addrs = c.own
		if c.peer != "" {
			i.Peer6 = netip.MustParseAddr(c.peer)
		}
		carp := &carp{link: config.Link{Addrs: c.carpdev}, cfg: i}
		if got := carp.source(inet6).String(); got != c.want {
			t.Errorf("%v, %v, peer %s: %s, want %s", c.carpdev, c.own, c.peer, got, c.want)
		}
	}
}

// six is a peer's advert over IPv6 for a carp with both families.
func six(p peer) peer {
	p.src, p.dst, p.addrs = or(p.src, "fe80::99"), or(p.dst, "ff02::12"), []string{"192.168.1.10", "2001:db8::10"}
	return p
}

func both(p peer) peer { p.addrs = []string{"192.168.1.10", "2001:db8::10"}; return p }

func newDual(t *testing.T) *host {
	h := newHost(t, em6(1))
	h.must("carp0 create carpdev em0 vhid 1 advskew 100 alias 192.168.1.10/24 alias 2001:db8::10/64")
	return h
}

// Whichever family the master speaks, the backup waits for it: NetBSD sends none over IPv6.
func TestOneFamilyIsEnough(t *testing.T) {
	for _, p := range []peer{both(peer{base: 1}), six(peer{base: 1})} {
		h := newDual(t)
		for range 20 {
			h.wait(second)
			h.hear(p)
			h.want("carp0", Backup)
		}
		h.wait(5 * second)
		h.want("carp0", Master)
	}
}

// Each way to refuse a packet over IPv6, where that differs.
func TestRefusedIPv6(t *testing.T) {
	for _, c := range []struct {
		name    string
		peer    peer
		counter config.Counter
		log     string
	}{
		{"hop limit", peer{base: 1, ttl: 64}, config.Badttl, "carp: received ttl 64 != 255 on em0"},
		{"short", peer{base: 1, truncate: true}, config.Badlen, "carp: packet size 35 too small on em0"},
		{"checksum", peer{base: 1, flips: true}, config.Badsum, "carp: checksum failed, on em0"},
		{"pass phrase", peer{base: 1, pass: "x"}, config.Badauth, "carp0: incorrect hash from fe80::99: pass phrase or address list differs"},
	} {
		h := newDual(t)
		before := h.e.Stats()
		h.log = nil
		h.hear(six(c.peer))
		before[config.Ipackets6]++
		before[c.counter]++
		if h.e.Stats() != before {
			t.Errorf("%s: %v, want %v", c.name, h.e.Stats(), before)
		}
		if !slices.Equal(h.log, []string{c.log}) {
			t.Errorf("%s: %q", c.name, h.log)
		}
	}
}

// Adverts are made without link-local addresses, and accepted with and without (ip_carp.c: carp_hmac_prepare).
func TestLinkLocalInTheHMAC(t *testing.T) {
	h := newHost(t, em6(1))
	h.must("carp0 create carpdev em0 vhid 1 advskew 100 alias 2001:db8::10/64 alias fe80::10/64")
	for _, ll := range []bool{false, true} {
		p := six(peer{base: 1}).packet()
		id := wire.Identity{VHID: 1, LinkLocal: ll, Addrs: []netip.Addr{netip.MustParseAddr("2001:db8::10"), netip.MustParseAddr("fe80::10")}}
		ad, err := wire.Parse(p.Payload)
		if err != nil {
			t.Fatal(err)
		}
		ad.HMAC = wire.NewAuth(id).Sum(ad.Counter)
		ad.Marshal(p.Payload)
		before := h.e.Stats()[config.Badauth]
		h.step(p)
		if h.e.Stats()[config.Badauth] != before {
			t.Errorf("link-local %t: refused", ll)
		}
		if !ll {
			sent := advert6Of(t, h)
			if sent.HMAC != wire.NewAuth(id).Sum(sent.Counter) {
				t.Error("sent with the link-local address")
			}
		}
	}
}

func advert6Of(t *testing.T, h *host) wire.Advert {
	t.Helper()
	for _, f := range h.wait(5 * second) {
		if s, ok := f.(*SendAdvert); ok && s.Dst.Is6() {
			ad, err := wire.Parse(s.Packet[wire.IPv6Header:])
			if err != nil {
				t.Fatal(err)
			}
			return ad
		}
	}
	t.Fatal("no advert over IPv6")
	return wire.Advert{}
}

// With a unicast peer only unicast adverts count, without one only those to a group; over IPv6 OpenBSD takes any.
func TestPeers(t *testing.T) {
	for _, c := range []struct {
		words, dst string
		accepted   bool
	}{
		{"", "224.0.0.18", true},
		{"", "224.0.0.99", true},
		{"", "192.168.1.1", false},
		{"carppeer 192.168.1.99", "192.168.1.1", true},
		{"carppeer 192.168.1.99", "224.0.0.18", false},
		{"carppeer 224.0.0.99", "224.0.0.99", true},
		{"carppeer 224.0.0.99", "192.168.1.1", false},
		{"", "2001:db8::1", true},
		{"", "ff02::12", true},
		{"carppeer6 2001:db8::99", "2001:db8::1", true},
		{"carppeer6 2001:db8::99", "ff02::12", false},
		{"carppeer 192.168.1.99", "ff02::12", true},
	} {
		h := newHost(t, em6(1))
		h.must("carp0 create carpdev em0 vhid 1 advskew 100 " + c.words + " alias 192.168.1.10/24 alias 2001:db8::10/64")
		p := both(peer{base: 1, dst: c.dst})
		if netip.MustParseAddr(c.dst).Is6() {
			p = six(p)
		}
		h.hear(p)
		if got := h.e.Stats()[config.Badvhid] == 0; got != c.accepted {
			t.Errorf("%q, advert to %s: accepted %t", c.words, c.dst, got)
		}
	}
}

// The link is asked for with the peers that its adverts go to instead of the groups.
func TestPeersOfTheLink(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{"", "[]"},
		{"carppeer 192.168.1.99", "[192.168.1.99]"},
		{"carppeer6 2001:db8::99", "[2001:db8::99]"},
		{"carppeer 192.168.1.99 carppeer6 2001:db8::99", "[192.168.1.99 2001:db8::99]"},
		{"carppeer 192.168.1.99 carppeer6 2001:db8::99 -carppeer", "[2001:db8::99]"},
	} {
		h := newHost(t, em6(1))
		h.must("carp0 create carpdev em0 vhid 1 " + c.words + " alias 192.168.1.10/24 alias 2001:db8::10/64")
		asked := ""
		for _, f := range h.last {
			if e, ok := f.(*Ensure); ok {
				asked = fmt.Sprint(e.Peers)
			}
		}
		if asked != c.want {
			t.Errorf("%q: %s, want %s", c.words, asked, c.want)
		}
	}
}

// A tie over IPv6 counts only when IPv4 is silent: by address the two families may say the opposite of each other.
func TestTieOfTwoFamilies(t *testing.T) {
	h := newHost(t, em6(9))
	h.must("carp0 create carpdev em0 vhid 1 alias 192.168.1.10/24 alias 2001:db8::10/64")
	h.wait(4 * second)
	h.want("carp0", Master)
	lower := both(peer{base: 1, sealed: true, src: "192.168.1.1"})
	higher := six(peer{base: 1, sealed: true, src: "fe80::99"})
	for range 7 {
		h.hear(lower)
		h.hear(higher)
		h.want("carp0", Master)
		h.wait(second)
	}
	h.wait(2*second + 1)
	h.hear(higher)
	h.want("carp0", Backup)
}

// How long IPv4 is reckoned to speak: for three intervals after an advert that was accepted over it.
func TestHearsIPv4(t *testing.T) {
	h := newMaster(t, "")
	n := h.e.carps["carp0"].nodes[0]
	for _, c := range []struct {
		heard, now Instant
		want       bool
	}{
		{0, second, false}, // never, on a machine that has just booted
		{10 * second, 10 * second, true},
		{10 * second, 13 * second, true},
		{10 * second, 13*second + 1, false},
	} {
		n.heard = c.heard
		if got := h.e.hearsIPv4(n, c.now); got != c.want {
			t.Errorf("heard at %d, now %d: %t", c.heard, c.now, got)
		}
	}
}

// A link-level address of one's own is hashed, unless it is the carpdev's, and adverts come from it.
func TestLladdr(t *testing.T) {
	own := config.MAC{2, 0, 0, 0, 0, 0x77}
	for _, c := range []struct {
		words  string
		from   config.MAC
		hashed config.MAC
	}{
		{"", config.VirtualMAC(1), config.MAC{}},
		{"lladdr 00:00:5e:00:01:01", config.VirtualMAC(1), config.MAC{}},
		{"lladdr 02:00:00:00:00:77", own, own},
		{"lladdr 02:00:00:00:00:01", em6(1).MAC, config.MAC{}},
	} {
		h := newHost(t, em0(1))
		h.must("carp0 create carpdev em0 vhid 1 " + c.words + " alias 192.168.1.10/24")
		h.setLinks(em6(1)) // only now it is known which MAC the carpdev has
		fs := h.wait(3*second + 1)
		ad, err := wire.Parse(advertOf(t, fs))
		if err != nil {
			t.Fatal(err)
		}
		id := wire.Identity{VHID: 1, Lladdr: c.hashed, Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}
		if ad.HMAC != wire.NewAuth(id).Sum(ad.Counter) {
			t.Errorf("%q: another HMAC", c.words)
		}
		for _, f := range fs {
			switch f := f.(type) {
			case *SendAdvert:
				if f.From != c.from {
					t.Errorf("%q: from %s", c.words, f.From)
				}
			case *Announce:
				if f.MAC != c.from {
					t.Errorf("%q: announced at %s", c.words, f.MAC)
				}
			}
		}
	}
}

// Another link-level address while master: clients have to learn all addresses anew, and nobody changes his state.
func TestLladdrWhileMaster(t *testing.T) {
	h := newMaster(t, "")
	h.must("carp0 lladdr 02:00:00:00:00:77")
	if got, want := brief(h.last), "answer, announce [192.168.1.10]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h.want("carp0", Master)
	h.hear(peer{base: 2}) // made with the virtual MAC, as the peer still does
	if h.e.Stats()[config.Badauth] != 0 {
		t.Error("the previous identity is refused")
	}
}

// Each family's errors demote by one, and are undone by themselves.
func TestSendErrorsByFamily(t *testing.T) {
	h := newDual(t)
	h.wait(5 * second)
	sent := func(six bool, errno config.Errno) { h.step(&Sent{Carp: "carp0", IPv6: six, Errno: errno}) }
	want := func(n int) {
		t.Helper()
		if got := h.e.GroupDemotion("carp"); got != n {
			t.Fatalf("demotion %d, want %d", got, n)
		}
	}
	for range 3 { // one works, one does not
		sent(false, config.OK)
		sent(true, config.ENXIO)
	}
	want(1)
	if !slices.Contains(h.log, "carp: carp0 demoted group carp by 1 to 1 (> snd6errors)") || !slices.Contains(h.log, "carp0: ip6_output failed: 6") {
		t.Errorf("%q", h.log)
	}
	for range 3 {
		sent(false, config.ENOMEM)
	}
	want(2)
	for range 3 {
		sent(true, config.OK)
	}
	want(1)
	for range 3 {
		sent(false, config.OK)
	}
	want(0)
	for range 10 { // a unicast peer that is switched off
		sent(false, config.EHOSTDOWN)
	}
	want(0)
}

// A backup that cannot send over either family tries both, and goes on to try the one when the other works again.
func TestFailingFamiliesAreTried(t *testing.T) {
	h := newDual(t)
	sent := func(six bool, errno config.Errno) {
		for range probesMax {
			h.step(&Sent{Carp: "carp0", IPv6: six, Errno: errno})
		}
	}
	tried := func(want string) {
		t.Helper()
		h.hear(both(peer{base: 1})) // it stays a backup
		probes := []bool{}
		for _, f := range h.wait(second * 356 / 256) {
			if p, ok := f.(*Probe); ok {
				probes = append(probes, p.IPv6)
			}
		}
		h.want("carp0", Backup)
		if got := fmt.Sprint(probes); got != want {
			t.Fatalf("tried over IPv6: %s, want %s", got, want)
		}
	}
	tried("[]")
	for range 2 {
		sent(false, config.EIO)
		sent(true, config.EIO)
		tried("[false true]")
		sent(false, config.OK)
		tried("[true]")
	}
	for range 10 { // what fails again and again is known already
		sent(false, config.EIO)
		sent(false, config.OK)
	}
	if got := len(h.e.failing); got != 1 {
		t.Errorf("one carp fails, and %d stand there", got)
	}
}

// A carp that leaves a demoted group, or joins one, is demoted by as much, and a master says so at once.
func TestGroupMembership(t *testing.T) {
	h := newMaster(t, "group lan")
	if err := h.configure(config.Change{Kind: config.ForGroup, Name: "lan", Clauses: []config.Clause{{Word: config.Demote, N: 5}}}); err != nil {
		t.Fatal(err)
	}
	if got, want := brief(h.last), "advert 1/0/5"; got != want {
		t.Errorf("demoted: %s, want %s", got, want)
	}
	h.must("carp1 create carpdev em0 vhid 2 alias 192.168.1.11/24")
	h.wait(4 * second)
	h.want("carp1", Master)
	h.must("carp1 group lan")
	if got, want := brief(h.last), "advert 1/0/5"; got != want {
		t.Errorf("joined: %s, want %s", got, want)
	}
	h.must("carp1 -group lan")
	if got := h.e.carps["carp1"].demotion; got != 0 || brief(h.last) != "" {
		t.Errorf("left: demotion %d, %s", got, brief(h.last))
	}
	if err := h.configure(config.Change{Kind: config.ForGroup, Name: "lan", Clauses: []config.Clause{{Word: config.Demote, N: 1}}}); err != nil {
		t.Fatal(err)
	}
	if got, want := brief(h.last), "advert 1/0/6"; got != want {
		t.Errorf("a group that carp1 is not in any more: %s, want %s", got, want)
	}
	h.must("carp0 -group lan")
	if !slices.ContainsFunc(h.last, func(f Effect) bool { _, ok := f.(*PersistGroups); return ok }) {
		t.Error("the group went, and nobody is told")
	}
}

// A carp in no group at all is demoted by what it causes itself.
func TestDemotedWithoutGroup(t *testing.T) {
	h := newMaster(t, "-group carp")
	for range 3 {
		h.step(&Sent{Carp: "carp0", Errno: config.EIO})
	}
	if got, want := brief(h.wait(second)), "advert 1/0/1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// With demoteskew a demoted host also claims advskew 240, and goes by it.
func TestDemoteSkew(t *testing.T) {
	h := newMaster(t, "advskew 10")
	h.sysctl("demoteskew", 1)
	if got, want := brief(h.wait(2*second)), "advert 1/10/0"; !strings.HasPrefix(got, want) {
		t.Errorf("not demoted: %s, want %s", got, want)
	}
	h.sysctl("demoteskew", 0)
	if err := h.demote(config.Demote, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := brief(h.last), "advert 1/10/1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h.sysctl("demoteskew", 1)
	if got, want := brief(h.last), "advert 1/240/1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h.hear(peer{base: 1, skew: 100, demote: 1})
	h.want("carp0", Backup)
	if got, want := h.e.carps["carp0"].nodes[0].deadline-h.now, 3*496*second/256; got != want {
		t.Errorf("waits %d, want %d", got, want)
	}
	h.sysctl("demoteskew", 0)
	if got, want := h.e.carps["carp0"].nodes[0].deadline-h.now, 3*266*second/256; got != want {
		t.Errorf("waits %d, want %d", got, want)
	}
}

// A VRRP router with our vhid as its number is named once an hour; another one is counted.
func TestVRRP(t *testing.T) {
	h := newMaster(t, "")
	vrrp := make([]byte, 8+4+8)
	vrrp[0], vrrp[1], vrrp[2], vrrp[3], vrrp[5] = 0x21, 1, 100, 1, 1
	sum := wire.Checksum(vrrp)
	vrrp[6], vrrp[7] = byte(sum>>8), byte(sum)
	v3 := make([]byte, 8+4)
	v3[0], v3[1], v3[2], v3[3], v3[5], v3[7] = 0x31, 1, 100, 1, 100, 1
	other := []byte{0x31, 9, 100, 1, 0, 100, 0, 1, 10, 0, 0, 1}
	for range 61 {
		h.hear(peer{bytes: vrrp})
		h.hear(peer{bytes: v3})
		h.hear(peer{bytes: other})
		h.wait(60 * second)
	}
	want := "carp0: VRRP router 192.168.1.99 uses virtual MAC 00:00:5e:00:01:01, choose another vhid"
	named := 0
	for _, l := range h.log {
		if l == want {
			named++
		}
	}
	if named != 2 {
		t.Errorf("named %d times in 61 minutes", named)
	}
	st := h.e.Stats()
	if st[config.VRRP] != 183 || h.e.carps["carp0"].stats[config.VRRP] != 122 || st[config.Badlen]+st[config.Badsum]+st[config.Badver]+st[config.Badauth] != 0 {
		t.Errorf("%v", st)
	}
	h.want("carp0", Master)
}

// VRRP's packets that can be parsed as an advert: version 2 with five addresses is as long as one, and the first 36 bytes of version 3 may have a checksum
// that is right for themselves.
func TestVRRPThatLooksLikeAnAdvert(t *testing.T) {
	v2, v3 := make([]byte, 36), make([]byte, 8+8*4)
	copy(v2, []byte{0x21, 1, 100, 5, 0, 1})
	copy(v3, []byte{0x31, 1, 100, 8, 0, 100})
	v3[39] = 1
	for name, b := range map[string][]byte{"version 2": v2, "version 3": v3} {
		sum := wire.Checksum(b[:wire.Size])
		b[6], b[7] = byte(sum>>8), byte(sum)
		if _, err := wire.Parse(b); err != nil {
			t.Fatal(err)
		}
		h := newMaster(t, "")
		before := h.e.Stats()
		h.hear(peer{bytes: b})
		before[config.Ipackets]++
		before[config.VRRP]++
		if got := h.e.Stats(); got != before {
			t.Errorf("%s: %v, want %v", name, got, before)
		}
		if want := "carp0: VRRP router 192.168.1.99 uses virtual MAC 00:00:5e:00:01:01, choose another vhid"; !slices.Equal(h.log, []string{want}) {
			t.Errorf("%s: %q", name, h.log)
		}
	}
}
