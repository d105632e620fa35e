package gate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A counter is somebody's tcx program, which lets everything that it sees pass, and all filters by.
type counter struct {
	t     *testing.T
	at    int // the interface
	seen  *ebpf.Map
	links []link.Link
}

// newCounter puts it first on an interface of the calling thread's namespace, in both directions; so many times, with a number of its own each.
func newCounter(t *testing.T, ifindex, times int) (c *counter, err error) {
	t.Helper()
	c = &counter{t: t, at: ifindex}
	if c.seen, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	for range times {
		for _, d := range directions {
			prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "ISC", Instructions: asm.Instructions{
				asm.LoadMapValue(asm.R1, c.seen.FD(), 0),
				asm.Mov.Imm(asm.R2, 1),
				asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
				asm.Mov.Imm(asm.R0, 0), // TCX_PASS
				asm.Return(),
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer prog.Close()
			at, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: d.tcx, Anchor: link.Head()})
			if errors.Is(err, ebpf.ErrNotSupported) {
				t.Fatal("this kernel has no tcx (Linux 6.6)")
			}
			if err != nil {
				return c, err
			}
			c.links = append(c.links, at)
		}
	}
	return c, nil
}

func (c *counter) count() (n uint64) {
	c.t.Helper()
	if err := c.seen.Lookup(uint32(0), &n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// goes takes it away. The kernel does that a while after the last descriptor is closed.
func (c *counter) goes() {
	c.t.Helper()
	var rest [2]int
	for i, n := range chains(c.at) {
		rest[i] = n - len(c.links)/2
	}
	c.close()
	for end := time.Now().Add(5 * time.Second); chains(c.at) != rest; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("tcx programs: %d, want %d", chains(c.at), rest)
		}
	}
}

func (c *counter) close() {
	for _, at := range c.links {
		at.Close()
	}
	c.links = nil
	c.seen.Close()
}

// chains returns how many tcx programs an interface of the calling thread's namespace has, in each direction.
func chains(ifindex int) [2]int {
	return [2]int{len(chainOf(ifindex, directions[0].tcx).ids), len(chainOf(ifindex, directions[1].tcx).ids)}
}

// Somebody's tcx program, which would let everything pass the gate by, gets it before itself, and works on; when it goes, nothing of ours is left there.
func TestTCX(t *testing.T) {
	for _, dev := range []string{"eth1", "eth0", "carp0"} {
		t.Run(dev, func(t *testing.T) { testTCX(t, dev) })
	}
}

func testTCX(t *testing.T, dev string) {
	t.Parallel()
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	again := func() error {
		if dev == "carp0" {
			return l.gate.AttachCarp(index(t, dev), dev)
		}
		return l.gate.Attach(index(t, dev), 0)
	}
	silent := func(when string) {
		t.Helper()
		if l.exec(l.client, "ping -n -c 1 -W 0.1 "+vip4) || l.exec(l.far, "ping -n -c 1 -W 0.1 "+vip6) {
			t.Errorf("%s, %s: it answers", dev, when)
		}
	}
	l.in(l.host, func() {
		other, err := New("/other") // here: a gate works where it was made
		l.must(err)
		defer other.Close()
		at := index(t, dev)
		tidy := func(when string) {
			t.Helper()
			l.must(l.gate.Ahead(at))
			if n := chains(at); n != [2]int{} {
				t.Errorf("%s, %s: tcx programs left: %d", dev, when, n)
			}
		}
		behind := func() {
			t.Helper()
			if err := l.gate.Check(at); !errors.Is(err, ErrBehind) {
				t.Fatalf("%s: with a tcx program before: %v", dev, err)
			}
			l.must(again())
			l.must(l.gate.Check(at))
			l.must(again())
		}
		stranger, err := newCounter(t, at, 1)
		l.must(err)
		behind()
		if n := chains(at); n != [2]int{2, 2} {
			t.Errorf("%s: tcx programs: %d", dev, n)
		}
		silent("one stranger")

		// He does it again, another gate comes, and somebody takes the qdisc away.
		later, err := newCounter(t, at, 1)
		l.must(err)
		behind()
		l.must(other.Attach(at, 0))
		l.must(l.gate.Check(at))
		l.run("tc", "-n", l.host, "qdisc", "del", "dev", dev, "clsact")
		l.must(again())
		l.must(other.Attach(at, 0))
		l.must(l.gate.Check(at))
		if n := chains(at); n != [2]int{4, 4} {
			t.Errorf("%s: two strangers, two gates: %d", dev, n)
		}
		silent("two strangers")
		l.must(other.DetachAll())

		// Who is let pass is counted by him who comes after us: the first of his lets all others by.
		l.gate.Renew(slot, now(t)+20*second)
		before := later.count()
		l.ip(l.client, "neigh flush dev eth0")
		if !l.exec(l.client, "ping -n -c 1 -W 1 "+vip4) || !l.exec(l.far, "ping -n -c 1 -W 1 "+vip6) {
			t.Errorf("%s: a master does not answer", dev)
		}
		if later.count() == before {
			t.Errorf("%s: his program sees nothing any more", dev)
		}
		l.gate.Shut(slot)

		// Killed: the next one takes its place.
		l.gate.Close()
		l.gate, err = New("/test")
		l.must(err)
		silent("after a crash")
		l.attach(vip4, vip6)
		l.must(l.gate.Check(at))
		if n := chains(at); n != [2]int{3, 3} {
			t.Errorf("%s, after a crash: %d", dev, n)
		}
		silent("taken over")

		stranger.goes()
		l.must(l.gate.Ahead(at))
		silent("one is gone")
		later.goes()
		tidy("both are gone")

		// So many that there is no room. They come and go slowly: one interface is enough.
		if dev == "eth1" {
			many, err := newCounter(t, at, 100)
			if !errors.Is(err, unix.ERANGE) {
				t.Fatalf("%s: no limit: %v", dev, err)
			}
			if err := again(); !errors.Is(err, ErrBehind) || !errors.Is(err, unix.ERANGE) || !strings.HasSuffix(err.Error(), " by tcx: attach program: numerical result out of range") {
				t.Errorf("%s: %v", dev, err)
			}
			many.goes()
			l.must(again())
			tidy("many are gone")
		}

		// Nothing is left, by this run and by one without eBPF after a crash.
		for _, crash := range []bool{false, true} {
			stranger, err = newCounter(t, at, 1)
			l.must(err)
			l.attach(vip4, vip6)
			if crash {
				l.must(l.gate.Close())
				l.must(Sweep("/test"))
			} else {
				l.must(l.gate.DetachAll())
			}
			if n := chains(at); n != [2]int{1, 1} {
				t.Errorf("%s: detached, crash %t: %d", dev, crash, n)
			}
			stranger.goes()
		}
	})
}
