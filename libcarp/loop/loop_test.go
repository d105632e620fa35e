package loop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/host"
	"carp/libcarp/statedir"
	"carp/libcarp/wire"
)

// A stubHost writes down what it is asked for, and refuses what the test wants it to.
type stubHost struct {
	links   chan []config.Link
	packets chan host.Packet
	amiss   chan string

	mu     sync.Mutex
	calls  []string
	refuse func(host.Carp) error
	send   error
	slow   time.Duration // what Ensure takes
	closed bool
	leases []aLease

	counters []uint64 // of the adverts
}

// An aLease is what a host was told of one, and when.
type aLease struct {
	carp  string
	until int64
	told  int64
}

func (h *stubHost) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprintf(format, args...))
}

func (h *stubHost) Links() <-chan []config.Link { return h.links }
func (h *stubHost) Packets() <-chan host.Packet { return h.packets }
func (h *stubHost) Amiss() <-chan string        { return h.amiss }

func (h *stubHost) Ensure(c host.Carp) (int, error) {
	h.mu.Lock()
	refuse, slow := h.refuse, h.slow
	h.mu.Unlock()
	time.Sleep(slow)
	if refuse != nil {
		if err := refuse(c); err != nil {
			return 0, err
		}
	}
	h.note("ensure %s master=%t", c.Name, c.Master)
	return 42, nil
}
func (h *stubHost) Resume(carps []host.Carp) error {
	for _, c := range carps {
		h.note("resume %s master=%t", c.Name, c.Master)
	}
	return nil
}
func (h *stubHost) Frame(a host.Advert) []byte { return append([]byte("frame "), a.Packet...) }
func (h *stubHost) Silence() error             { h.note("silence"); return nil }
func (h *stubHost) Remove(name string) error   { h.note("remove %s", name); return nil }
func (h *stubHost) Announce(c host.Carp, addrs []netip.Addr) error {
	h.note("announce %s %v", c.Name, addrs)
	return nil
}
func (h *stubHost) Send(a host.Advert) error {
	ad, err := wire.Parse(a.Packet[wire.IPv4Header:])
	if err != nil {
		return err
	}
	h.note("send %d/%d/%d", ad.Advbase, ad.Advskew, ad.Demote)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counters = append(h.counters, ad.Counter)
	return h.send
}
func (h *stubHost) Renew(carp string, until int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leases = append(h.leases, aLease{carp, until, int64(SystemClock{}.Now())})
}
func (h *stubHost) Foreign() host.Foreign               { return host.Foreign{} }
func (h *stubHost) Drain()                              { h.note("drain") }
func (h *stubHost) Probe(carpdev int, inet6 bool) error { h.note("probe %d", carpdev); return nil }
func (h *stubHost) Claim(carpdev int, vhid uint8, addr netip.Addr) error {
	h.note("claim %d", vhid)
	return nil
}
func (h *stubHost) Leave()       { h.note("leave") }
func (h *stubHost) Close() error { h.closed = true; return nil }

func (h *stubHost) did() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// A bench is a loop with its state directory.
type bench struct {
	t      *testing.T
	dir    statedir.Dir
	host   *stubHost
	end    context.CancelFunc
	ended  chan error
	mu     sync.Mutex
	logged []string
	urgent []bool // as it was told
}

func start(t *testing.T, dir statedir.Dir, prepare func(*stubHost)) *bench {
	t.Helper()
	return startWith(t, dir, prepare, Options{})
}

// startWith starts one with more options.
func startWith(t *testing.T, dir statedir.Dir, prepare func(*stubHost), o Options) *bench {
	t.Helper()
	held, err := statedir.Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dir.LoadMachine()
	if err != nil {
		t.Fatal(err)
	}
	store := statedir.OpenStore(dir, m, t.Logf)
	h := &stubHost{links: make(chan []config.Link, 1), packets: make(chan host.Packet), amiss: make(chan string)}
	if prepare != nil {
		prepare(h)
	}
	b := &bench{t: t, dir: dir, host: h, ended: make(chan error, 1)}
	h.links <- b.links()
	o.Machine, o.Host, o.Store, o.Random = m, h, store, rand.NewPCG(1, 2)
	o.Log = func(_ engine.Level, text string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.logged = append(b.logged, text)
	}
	o.Urgent = func(urgent bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.urgent = append(b.urgent, urgent)
	}
	l := New(o)
	server := statedir.NewServer(held.Listener, l)
	var ctx context.Context
	ctx, b.end = context.WithCancel(context.Background())
	serving := make(chan struct{})
	go func() {
		err := l.Run(ctx, server, func() { close(serving) })
		server.Close()
		store.Close()
		held.Close()
		b.ended <- err
	}()
	t.Cleanup(func() { b.stop() })
	select {
	case <-serving:
	case <-time.After(5 * time.Second):
		t.Fatal("it does not serve")
	}
	return b
}

// refuse lets the host refuse what f does.
func (b *bench) refuse(f func(host.Carp) error) {
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	b.host.refuse = f
}

// links returns the host's interfaces at the start.
func (b *bench) links() []config.Link {
	return []config.Link{{Index: 2, Name: "em0", MTU: 1400, Up: true, Running: true, Ethernet: true, Multicast: true,
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.1.1/24")}}}
}

func (b *bench) stop() {
	b.t.Helper()
	if b.end == nil {
		return
	}
	b.end()
	b.end = nil
	select {
	case err := <-b.ended:
		if err != nil {
			b.t.Error(err)
		}
	case <-time.After(5 * time.Second):
		b.t.Fatal("it does not end")
	}
}

func (b *bench) change(line string) error {
	b.t.Helper()
	return b.changeOf("carp0", line)
}

// changeOf is change for a carp of any name.
func (b *bench) changeOf(name, line string) error {
	b.t.Helper()
	ch := config.Change{Kind: config.ForInterface, Name: name}
	for _, words := range strings.Split(line, "; ") {
		c, err := config.ParseLine(words)
		if err != nil {
			b.t.Fatal(err)
		}
		ch.Clauses = append(ch.Clauses, c)
	}
	_, err := b.dir.Change(ch)
	return err
}

func (b *bench) must(line string) {
	b.t.Helper()
	if err := b.change(line); err != nil {
		b.t.Fatalf("%s: %v", line, err)
	}
}

func (b *bench) status() *statedir.Status {
	b.t.Helper()
	s, remark, err := b.dir.Interface("carp0")
	if err != nil || remark != "" {
		b.t.Fatalf("%v, %s", err, remark)
	}
	return &s
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not so: %s; calls %q", what, b.host.did())
		}
	}
}

const fastCarp = "create; vhid 1; advbase 0; advskew 10; pass \"geheim\"; alias 192.168.1.10/24"

// A reply means that it is in force and written down; then the carp lives, and when the loop ends nothing is left but the configuration.
func TestLife(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	b := start(t, dir, nil)
	b.must(fastCarp)
	want, err := os.ReadFile(filepath.Join(string(dir), "want", "carp0"))
	if err != nil || !strings.Contains(string(want), "carpdev em0\n") || !strings.Contains(string(want), "pass \"geheim\"\n") {
		t.Errorf("want %q, %v", want, err)
	}
	if got, want := b.host.did(), []string{"ensure carp0 master=false"}; !slices.Equal(got[:1], want) {
		t.Errorf("calls %q, want %q first", got, want)
	}
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	s := b.status()
	if s.Index != 42 || s.MTU != 1400 || !s.Running || s.Carpdev != "em0" {
		t.Errorf("status %+v", s)
	}
	calls := b.host.did()
	up := slices.Index(calls, "ensure carp0 master=true")
	if an := slices.Index(calls, "announce carp0 [192.168.1.10]"); up < 0 || an < up {
		t.Errorf("calls %q", calls)
	}
	b.stop()
	calls = b.host.did()
	if n := len(calls); !slices.Equal(calls[n-2:], []string{"silence", "send 255/255/0"}) || !b.host.closed {
		t.Errorf("the end: %q", calls[max(0, n-5):])
	}
	data, err := os.ReadFile(filepath.Join(string(dir), "status", "carp0"))
	if err != nil || !strings.Contains(string(data), "node INIT 1 10\n") || strings.Contains(string(data), "geheim") {
		t.Errorf("status at the end: %s, %v", data, err)
	}
	events, err := dir.Events(0)
	if err != nil || len(events) < 3 || events[1].To != "MASTER" || events[1].Reason != "master timed out" {
		t.Errorf("events %v, %v", events, err)
	}

	again := start(t, dir, nil) // comes back with the same configuration, as a backup
	again.eventually("backup or master", func() bool { return again.status().Link() != "invalid" })
	if s := again.status(); s.Nodes[0].VHID != 1 || len(s.Addrs) != 1 {
		t.Errorf("%+v", s)
	}
}

// What the host refuses is undone, whole, and the reply says so.
func TestRefusedByTheHost(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	b := start(t, dir, nil)
	b.host.mu.Lock()
	b.host.refuse = func(c host.Carp) error { return fmt.Errorf("failed to make %s: %w", c.Name, syscall.EEXIST) }
	b.host.mu.Unlock()
	err := b.change(fastCarp)
	var refused *config.Error
	if !errors.As(err, &refused) || refused.Errno != config.EEXIST || refused.Clause != 5 {
		t.Errorf("%#v", err)
	}
	if _, err := os.Stat(filepath.Join(string(dir), "want", "carp0")); !os.IsNotExist(err) {
		t.Errorf("want/carp0: %v", err)
	}
	if _, _, err := dir.Interface("carp0"); !errors.Is(err, config.ENXIO) {
		t.Errorf("it is there: %v", err)
	}
	b.refuse(nil)
	b.must(fastCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })

	// Refused while it is master: the old configuration stays in force.
	b.host.mu.Lock()
	b.host.refuse = func(c host.Carp) error {
		if len(c.Addrs) > 1 {
			return syscall.EADDRNOTAVAIL
		}
		return nil
	}
	b.host.mu.Unlock()
	if err := b.change("alias 192.168.1.11/24"); !errors.Is(err, config.EADDRNOTAVAIL) {
		t.Errorf("%v", err)
	}
	if s := b.status(); len(s.Addrs) != 1 || s.Link() != "master" {
		t.Errorf("%+v", s)
	}
	if did := b.host.did(); slices.ContainsFunc(did, func(s string) bool { return strings.Contains(s, "192.168.1.11") }) {
		t.Errorf("an address that is not here was announced: %q", did)
	}
}

// Nobody is master without the address: a link that fails later makes INIT, and is tried again.
func TestLinkFailsLater(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), func(h *stubHost) {
		h.refuse = func(c host.Carp) error {
			if c.Master {
				return syscall.EBUSY
			}
			return nil
		}
	})
	b.must(fastCarp)
	b.eventually("a failure is logged", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.ContainsFunc(b.logged, func(s string) bool { return strings.Contains(s, "carp0: device or resource busy") })
	})
	b.eventually("a bow-out", func() bool { return slices.Contains(b.host.did(), "send 255/255/0") })
	announced := func() bool {
		return slices.ContainsFunc(b.host.did(), func(s string) bool { return strings.HasPrefix(s, "announce") })
	}
	if announced() {
		t.Errorf("announced without a link: %q", b.host.did())
	}
	b.refuse(nil)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	b.eventually("an announcement", announced)
}

// What somebody else has changed is made again; where that cannot be, the master bows out, and comes back once it can.
func TestAmiss(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	ensured := func() (n int) {
		for _, c := range b.host.did() {
			if c == "ensure carp0 master=true" {
				n++
			}
		}
		return n
	}
	before := ensured()
	b.host.amiss <- "carp0"
	b.host.amiss <- "carp7" // has gone
	b.eventually("made again", func() bool { return ensured() == before+1 })
	if s := b.status().Link(); s != "master" {
		t.Errorf("it is %s", s)
	}
	b.refuse(func(host.Carp) error { return syscall.EBUSY })
	b.host.amiss <- "carp0"
	b.eventually("a bow-out", func() bool { return slices.Contains(b.host.did(), "send 255/255/0") })
	b.eventually("invalid", func() bool { return b.status().Link() == "invalid" })
	b.refuse(nil)
	b.eventually("master again", func() bool { return b.status().Link() == "master" })
}

// A carpdev that goes while the host cannot make the link, and comes back when it can, leaves nothing broken behind.
func TestCarpdevGoesWhileBroken(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp)
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	b.refuse(func(host.Carp) error { return syscall.ENODEV })
	em0 := b.links()
	em0[0].Addrs = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24")}
	b.host.links <- nil
	b.eventually("invalid", func() bool { return b.status().Link() == "invalid" })
	b.eventually("a failure is logged", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.logged) > 0
	})
	time.Sleep(retryEvery + 200*time.Millisecond) // it was tried again, and given up
	b.refuse(nil)
	em0[0].Index = 3
	b.host.links <- em0
	b.eventually("master again", func() bool { return b.status().Link() == "master" })
}

// When the host refuses to undo as well, the address is nobody's here, and the status says so until the host can again.
func TestUndoIsRefused(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp + "; advskew 254; advbase 1")
	b.eventually("backup", func() bool { return b.status().Link() == "backup" })
	b.refuse(func(c host.Carp) error {
		if c.Master {
			return syscall.EBUSY
		}
		return nil
	})
	if err := b.change(`state "master"`); err == nil {
		t.Error("state master: in force, says the reply")
	}
	b.eventually("not master", func() bool { return b.status().Link() != "master" })
	b.refuse(nil)
	b.eventually("not invalid", func() bool { return b.status().Link() != "invalid" })
}

// Adverts go on while the hands and the disk are busy.
func TestNothingKeepsAnAdvert(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp) // an advert each 39 ms
	b.eventually("master", func() bool { return b.status().Link() == "master" })
	b.host.mu.Lock()
	b.host.slow = 400 * time.Millisecond
	b.host.calls = nil
	b.host.mu.Unlock()
	b.must("alias 192.168.1.11/24") // replies after 400 ms
	n := 0
	for _, c := range b.host.did() {
		if strings.HasPrefix(c, "send") {
			n++
		}
	}
	if n < 5 {
		t.Errorf("%d adverts in 400 ms, want about 10", n)
	}
}

func TestSendErrorsAreTold(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp)
	b.host.mu.Lock()
	b.host.send = syscall.EIO
	b.host.mu.Unlock()
	demotion := func() int {
		g, _, err := b.dir.Groups()
		if err != nil {
			t.Fatal(err)
		}
		return g["carp"]
	}
	b.eventually("demoted", func() bool { return demotion() == 1 })
	b.host.mu.Lock()
	b.host.send = nil
	b.host.mu.Unlock()
	b.eventually("not demoted", func() bool { return demotion() == 0 })
}

// A bow-out that cannot be sent is logged with the name of its own carp, however many adverts of others go out before the hands come to it.
func TestBowOutFailsLater(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must(fastCarp)
	if err := b.changeOf("carp1", "create; vhid 2; advbase 0; advskew 10; pass \"geheim\"; alias 192.168.1.20/24"); err != nil {
		t.Fatal(err)
	}
	b.eventually("both are master", func() bool {
		all, _, err := b.dir.Interfaces()
		return err == nil && len(all) == 2 && all[0].Link() == "master" && all[1].Link() == "master"
	})
	b.host.mu.Lock()
	b.host.slow, b.host.send = 200*time.Millisecond, syscall.EIO // five adverts of carp1 go out while carp0's link is silenced
	b.host.mu.Unlock()
	b.must("down")
	b.eventually("it is logged", func() bool { return len(b.bowOutsLogged()) > 0 })
	if got := b.bowOutsLogged()[0]; !strings.HasPrefix(got, "carp0: bow-out: ") {
		t.Errorf("logged %q", got)
	}
	b.host.mu.Lock()
	b.host.slow, b.host.send = 0, nil
	b.host.mu.Unlock()
}

// bowOutsLogged returns the messages of bow-outs that have failed.
func (b *bench) bowOutsLogged() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.logged {
		if strings.Contains(text, "bow-out") {
			all = append(all, text)
		}
	}
	return all
}

// A check changes nothing; sysctls and groups reply and are written down.
func TestOtherRequests(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	b := start(t, dir, nil)
	ch := config.Change{Kind: config.ForInterface, Name: "carp0", Clauses: []config.Clause{{Word: config.Create}}}
	if _, err := dir.Check(ch); err != nil {
		t.Error(err)
	}
	if _, _, err := dir.Interface("carp0"); !errors.Is(err, config.ENXIO) {
		t.Errorf("a check made it: %v", err)
	}
	a, err := dir.Change(config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: "log", N: 7}}})
	if err != nil || a.Old != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := dir.Change(config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Demote, N: 3}}}); err != nil {
		t.Error(err)
	}
	b.stop()
	m, err := dir.LoadMachine()
	if err != nil || m.Sysctl.Log != 7 || m.Groups["carp"].Demotion() != 3 {
		t.Errorf("%+v, %v", m, err)
	}
}

// Packets reach the engine with all that is known of them.
func TestPackets(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.host.packets <- host.Packet{Carpdev: 2, Src: netip.MustParseAddr("192.168.1.2"), Dst: wire.GroupIPv4, TTL: 3, Payload: make([]byte, wire.Size)}
	b.eventually("counted", func() bool {
		s, _, err := b.dir.Stats()
		return err == nil && s[config.Badttl] == 1 && s[config.Ipackets] == 1
	})
}

// What is done until the loop serves is told of thing by thing, and nothing after that.
func TestWorking(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	first := start(t, dir, nil)
	for _, name := range []string{"carp0", "carp1", "carp2"} {
		if err := first.changeOf(name, "create"); err != nil {
			t.Fatal(err)
		}
	}
	first.stop()
	var done atomic.Int32
	b := startWith(t, dir, nil, Options{Working: func() { done.Add(1) }})
	before := done.Load()
	if before < 3 { // links
		t.Errorf("told %d times until it served", before)
	}
	b.must("descr \"later\"; vhid 1; alias 192.168.1.10/24")
	if n := done.Load(); n != before {
		t.Errorf("told %d times more when it served", n-before)
	}
}
