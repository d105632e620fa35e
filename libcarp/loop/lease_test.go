package loop

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"carp/libcarp/engine"
	"carp/libcarp/host"
	"carp/libcarp/statedir"
	"carp/libcarp/wire"
)

// The earlier of 500 ms and two intervals after the last advert.
func TestLeaseFresh(t *testing.T) {
	const ms = engine.Instant(time.Millisecond)
	for _, c := range []struct{ now, sent, interval, want engine.Instant }{
		{1000 * ms, 1000 * ms, 1000 * ms, 1500 * ms},
		{1900 * ms, 1000 * ms, 1000 * ms, 2400 * ms},
		{2900 * ms, 1000 * ms, 1000 * ms, 3000 * ms},
		{1000 * ms, 1000 * ms, 100 * ms, 1200 * ms},
		{1150 * ms, 1000 * ms, 100 * ms, 1200 * ms},
		{5000 * ms, 1000 * ms, 1000 * ms, 3000 * ms}, // no advert has got out for long
		{1000 * ms, 1000 * ms, 4 * ms, 1008 * ms},
		{1000 * ms, 1000 * ms, 255 * 1000 * ms, 1500 * ms},
	} {
		s := lease{sent: c.sent, interval: c.interval}
		if got := s.fresh(c.now); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A rig for leases: a loop that does not run, with a clock that stands still.
type leaseRig struct {
	*Loop
	host *stubHost
	now  engine.Instant
}

func (r *leaseRig) Now() engine.Instant { return r.now }
func (r *leaseRig) Wall() int64         { return 0 }

// told returns the leases that the host was told of since the last call.
func (r *leaseRig) told() (until []int64) {
	for _, l := range r.host.leases {
		until = append(until, l.until)
	}
	r.host.leases = nil
	return until
}

func newLeaseRig(t *testing.T) *leaseRig {
	t.Helper()
	m, err := statedir.Dir(t.TempDir()).LoadMachine()
	if err != nil {
		t.Fatal(err)
	}
	r := &leaseRig{host: &stubHost{packets: make(chan host.Packet, 1)}, now: 1e9}
	r.Loop = New(Options{Machine: m, Host: r.host, Clock: r, Log: func(engine.Level, string) {}})
	return r
}

// A peer that does not answer is the very case for which there is a second host: its master goes on, while one that cannot send at all falls silent.
func TestUnresolvedPeerKeepsLease(t *testing.T) {
	for errno, renewed := range map[syscall.Errno]bool{syscall.EHOSTDOWN: true, syscall.ENETDOWN: false} {
		r := newLeaseRig(t)
		packet := make([]byte, wire.IPv4Header+wire.Size)
		(&wire.Advert{Version: wire.Version}).Marshal(packet[wire.IPv4Header:])
		r.host.send = errno
		r.send(&engine.SendAdvert{Carp: "carp0", Interval: 1e9, Packet: packet})
		if got := len(r.told()) > 0; got != renewed {
			t.Errorf("%v: renewed %t", errno, got)
		}
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	const ms = engine.Instant(time.Millisecond)
	r := newLeaseRig(t)
	start := r.now
	want := func(what string, until ...engine.Instant) {
		t.Helper()
		var all []int64
		for _, u := range until {
			if u != 0 {
				u += start
			}
			all = append(all, int64(u))
		}
		if got := r.told(); !slices.Equal(got, all) {
			t.Errorf("%s: %v, want %v", what, got, all)
		}
	}
	r.renew()
	want("no master")
	ad := &engine.SendAdvert{Carp: "carp0", Interval: 1000 * ms}
	r.advertised(ad)
	want("an advert", 500*ms)
	r.now += 100 * ms
	r.renew()
	want("not due")
	r.now += 100 * ms
	r.renew()
	want("a third later", 700*ms)
	for r.renewAt != 0 { // no further advert gets out
		r.now = r.renewAt
		r.renew()
	}
	if got := r.told(); got[len(got)-1] != int64(start+2000*ms) {
		t.Errorf("without further adverts: %v", got)
	}
	r.now = start + 2100*ms
	r.renew()
	want("two intervals after the last advert")
	// The next advert that gets out makes it answer again, after everybody was heard.
	r.advertised(ad)
	want("an advert after it ran out")
	r.renew()
	want("heard", 2600*ms)
	if got := r.host.did(); !slices.Equal(got, []string{"drain"}) {
		t.Errorf("calls %q", got)
	}
	// Somebody has made the link anew.
	r.repeatLease("carp0")
	want("made anew", 2600*ms)
	r.endLease("carp0")
	want("no longer master", 0)
	r.repeatLease("carp0")
	r.endLease("carp0")
	want("not master")
}

// A loop that stood still until the lease had run out hears what has come in before it renews anything.
func TestLeaseRanOut(t *testing.T) {
	r := newLeaseRig(t)
	r.advertised(&engine.SendAdvert{Carp: "carp0", Interval: engine.Instant(time.Second)})
	r.told()
	r.now += engine.Instant(700 * time.Millisecond)
	r.host.packets <- host.Packet{Payload: []byte("bad")}
	r.server = statedir.NewServer(nil, nil)
	r.renew()
	if len(r.host.packets) != 0 {
		t.Error("a packet was not heard")
	}
	if got, want := r.told(), []int64{int64(r.now) + 500e6}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A master has a lease that goes on, and none is left when it ceases to be one; one that cannot send loses it.
func TestLeasesOfALife(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	last := func() aLease {
		b.host.mu.Lock()
		defer b.host.mu.Unlock()
		if len(b.host.leases) == 0 {
			return aLease{}
		}
		return b.host.leases[len(b.host.leases)-1]
	}
	interval := int64(time.Second) * 10 / 256
	b.eventually("a lease of two intervals", func() bool { l := last(); return l.until > l.told+interval && l.until <= l.told+2*interval })
	first := last()
	b.eventually("renewed", func() bool { return last().until > first.until+10*interval })
	b.host.mu.Lock()
	b.host.send = syscall.ENETDOWN
	b.host.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	stuck := last()
	time.Sleep(100 * time.Millisecond)
	if now := last(); now.until > stuck.until {
		t.Error("renewed though no advert gets out")
	}
	b.host.mu.Lock()
	b.host.send = nil
	b.host.mu.Unlock()
	b.eventually("renewed again", func() bool { return last().until > stuck.until })
	b.must("state backup")
	if l := last(); l.until != 0 {
		t.Errorf("a backup has %+v", l)
	}
}
