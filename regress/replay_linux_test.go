package regress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// An attacker is a third host on the LAN, without the pass phrase: he hears every advert and sends what he recorded.
type attacker struct {
	*machine
	mac     net.HardwareAddr
	stopped chan struct{}
	ended   chan struct{}
}

func (l *lab) attacker() *attacker {
	l.t.Helper()
	x := &attacker{machine: l.machine("attacker")}
	inNamespace(l.t, x.ns, func() error {
		ifi, err := net.InterfaceByName("eth0")
		x.mac = ifi.HardwareAddr
		return err
	})
	return x
}

// altered returns a frame with another header of the advert, or another source, and all checksums right. The HMAC does not cover these.
func (x *attacker) altered(f frame, src netip.Addr, header func(carp []byte)) []byte {
	b := slices.Clone(f.data)
	copy(b[6:], x.mac) // from his own MAC: a switch that learned the virtual one at his port would be another attack
	ip, carp := b[14:34], b[34:34+wire.Size]
	copy(ip[12:], src.AsSlice())
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], wire.Checksum(ip))
	header(carp)
	carp[6], carp[7] = 0, 0
	binary.BigEndian.PutUint16(carp[6:], wire.Checksum(carp))
	return b
}

// replay sends the frame at a rate until stop.
func (x *attacker) replay(b []byte, each time.Duration) {
	fd := x.packetSocket()
	x.stopped, x.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(x.ended)
		defer unix.Close(fd)
		tick := time.NewTicker(each)
		defer tick.Stop()
		for {
			unix.Write(fd, b) // a full queue is no matter
			select {
			case <-tick.C:
			case <-x.stopped:
				return
			}
		}
	}()
}

func (x *attacker) stop() { close(x.stopped); <-x.ended }

var sequence = regexp.MustCompile(`icmp_seq=(\d+) ttl`)

// outage pings the address from the client, lets something happen meanwhile, goes on for d, and returns the longest time without an
// answer, the end included.
func outage(t *testing.T, client *machine, d time.Duration, happen func()) time.Duration {
	t.Helper()
	const each = 20 * time.Millisecond
	client.reaches("192.168.1.10", virtualMAC)
	const before = 500 * time.Millisecond // until ping runs
	d += before
	ping := client.command("ping", "-n", "-i", "0.02", "-W", "1", "-c", strconv.Itoa(int(d/each)), "192.168.1.10")
	answers := make(chan string)
	go func() {
		r, _ := outcome(ping) // without an answer there are none, whatever ping has to say
		answers <- r.out
	}()
	time.Sleep(before)
	happen()
	out := <-answers
	last, longest := 0, 0
	for _, m := range append(sequence.FindAllStringSubmatch(out, -1), []string{"", strconv.Itoa(int(d/each) + 1)}) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		longest, last = max(longest, n-last-1), n
	}
	return time.Duration(longest) * each
}

// An attack is what is done with recorded adverts, and up to which value of net.inet.carp.replay it succeeds.
type attack struct {
	name     string
	dead     bool // the master's host is cut off first, and the attack is to keep the backup down; else it is to unseat the master
	old      bool // what is sent was recorded long ago
	restart  bool // the backup's kernelsim is killed and started again first
	header   func(carp []byte)
	succeeds int // -1: never
}

func plain([]byte)       {}
func fastest(b []byte)   { b[2], b[4], b[5] = 0, 0, 0 }
func bowingOut(b []byte) { b[2], b[5] = 255, 255 }

// Recorded adverts, plain and altered, at each value of net.inet.carp.replay. With 0 the attack must succeed, or the test proves nothing.
func TestReplay(t *testing.T) {
	attacks := []attack{
		{"the last advert of a dead master", true, false, false, plain, 0},
		{"the same after kill -9 and restart", true, false, true, plain, 0},
		{"the last advert, altered, of a dead master", true, false, false, fastest, 0},
		{"a living master's old advert", false, true, false, plain, 0},
		{"a living master's old advert, altered", false, true, false, fastest, 1},    // nobody can tell it from a BSD's
		{"a living master's last advert, altered", false, false, false, fastest, -1}, // he knows it for his own
		{"a living master's last advert, made a bow-out", false, false, false, bowingOut, -1},
	}
	for _, rate := range []struct {
		name, words string
		interval    time.Duration
		each        time.Duration
		attacks     []attack
	}{
		{"1000 a second", fast, 98 * time.Millisecond, time.Millisecond, attacks},
		{"1 a second", "advbase 1", time.Second, time.Second, attacks[:trials(1, len(attacks))]},
	} {
		for _, foreign := range []bool{false, true} {
			if !long && foreign != (rate.each == time.Second) {
				continue // in CI one source at each rate
			}
			for _, at := range rate.attacks {
				for value := 0; value <= 2; value++ {
					name := fmt.Sprintf("%s, %s, foreign source %t, replay %d", at.name, rate.name, foreign, value)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						for !at.run(t, rate.words, rate.interval, rate.each, foreign, value) {
							t.Log("again: the master's own timer was late")
						}
					})
				}
			}
		}
	}
}

// run makes one trial. It counts for nothing when the machine was so busy that the master gave way of itself.
func (at attack) run(t *testing.T, words string, interval, each time.Duration, foreign bool, value int) (counts bool) {
	l := newLab(t)
	client, x := l.machine("client"), l.attacker()
	c := x.capture()
	a, b := l.pair(words+" pass lablove", "", "advskew 50")
	for _, m := range []*machine{a, b} {
		m.must(fmt.Sprintf("sysctl-carp -q net.inet.carp.replay=%d", value))
		m.must("sysctl-carp -q net.inet.carp.preempt=1")
	}
	a.becomes("master", 10*time.Second)
	b.becomes("backup", 10*time.Second)
	from := c.count()
	recorded, n := frame{}, from-1
	for range 3 {
		recorded, n = c.wait(t, n+1, 3*interval+time.Second, "an advert of a", advertFrom(a.addr))
	}
	if at.old {
		for range 100 { // more than a virtual host remembers
			_, n = c.wait(t, n+1, 3*interval+time.Second, "an advert of a", advertFrom(a.addr))
		}
	}
	if at.restart {
		b.crash()
		b.start()
		b.serves()
		b.becomes("backup", 5*time.Second)
	}
	src := netip.MustParseAddr(x.addr)
	if foreign {
		src = netip.MustParseAddr(a.addr)
	}
	masterDown := 3*interval + 3*50*time.Second/256
	duration := 3 * masterDown
	if !at.dead && !at.old {
		duration = 2 * masterDown // over before the master has sent so much that it forgets what is played back to it
	}
	start := c.count()
	dark := outage(t, client, duration, func() {
		if !at.old { // a's last, so that it is remembered for as long as the attack goes on
			heard := c.since(n, advertFrom(a.addr))
			recorded = heard[len(heard)-1]
		}
		if at.dead {
			a.cut()
		}
		x.replay(x.altered(recorded, src, at.header), each)
	})
	x.stop()
	seen := len(c.since(start, func(f *frame) bool { return f.advert != nil && f.advert.Counter == recorded.advert.Counter }))
	if value <= at.succeeds {
		if limit := duration - interval - 500*time.Millisecond; dark < limit {
			t.Errorf("the attack fails: %v without an answer, of %v; it should not at this value (%d packets seen)", dark, duration, seen)
		}
		t.Logf("%v without an answer", dark)
		return true
	}
	limit := 500 * time.Millisecond // nobody may notice; the machine may be busy
	if at.dead {
		limit += masterDown
	}
	if dark > limit {
		if events, err := os.ReadFile(filepath.Join(a.state, "events")); err == nil && strings.Contains(string(events), "own timer late") {
			return false
		}
		t.Errorf("%v without an answer, at most %v is normal", dark, limit)
	}
	t.Logf("%v without an answer", dark)
	victim := a
	if at.dead {
		victim = b
	}
	if victim.counter("badauth") == 0 {
		t.Error("nothing was refused")
	}
	return true
}
