package regress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// A frame is what the capture saw, with the time at which the kernel received it.
type frame struct {
	at     time.Time
	from   net.HardwareAddr
	data   []byte
	advert *wire.Advert // of CARP
	src    netip.Addr
	garp   netip.Addr // the address that a gratuitous ARP or an unsolicited neighbour advertisement announces
	icmp   bool       // an error of ICMP or ICMPv6
}

// A capture listens on a machine's eth0 with the kernel's time stamps, so that its own delays do not count.
type capture struct {
	mu     sync.Mutex
	more   *sync.Cond
	frames []frame
	fd     int
	ended  bool
}

// inNamespace runs f on a thread in the namespace of that name.
func inNamespace(t testing.TB, ns string, f func() error) {
	t.Helper()
	if err := insideOf(ns, f); err != nil {
		t.Fatal(err)
	}
}

func insideOf(ns string, f func() error) error {
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open("/var/run/netns/" + ns)
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		errs <- err
	}()
	return <-errs
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// packetSocket opens a packet socket on eth0 of the machine.
func (m *machine) packetSocket() (fd int) {
	t := m.lab.t
	t.Helper()
	inNamespace(t, m.ns, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifi.Index})
	})
	return fd
}

func (m *machine) capture() *capture {
	t := m.lab.t
	t.Helper()
	c := &capture{fd: m.packetSocket()}
	c.more = sync.NewCond(&c.mu)
	for opt, val := range map[int]int{unix.SO_TIMESTAMPNS: 1, unix.SO_RCVBUFFORCE: 8 << 20} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, opt, val); err != nil {
			t.Fatal(err)
		}
	}
	tv := unix.NsecToTimeval(50e6)
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.read() }()
	t.Cleanup(func() {
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		<-done
		unix.Close(c.fd)
	})
	return c
}

func (c *capture) read() {
	buf, oob := make([]byte, 2048), make([]byte, 512)
	for {
		n, oobn, _, _, err := unix.Recvmsg(c.fd, buf, oob, 0)
		c.mu.Lock()
		if c.ended {
			c.mu.Unlock()
			return
		}
		if err == nil && n >= 14 {
			c.frames = append(c.frames, parse(append([]byte(nil), buf[:n]...), stamp(oob[:oobn])))
		}
		c.more.Broadcast() // at least each 50 ms, for those who wait with a limit
		c.mu.Unlock()
	}
}

func stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range msgs {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

func parse(b []byte, at time.Time) frame {
	f := frame{at: at, from: net.HardwareAddr(b[6:12]), data: b}
	switch binary.BigEndian.Uint16(b[12:]) {
	case 0x0800:
		if len(b) >= 34+wire.Size && b[23] == wire.Protocol {
			if ad, err := wire.Parse(b[34:]); err == nil {
				f.advert = &ad
				f.src, _ = netip.AddrFromSlice(b[26:30])
			}
		}
		f.icmp = len(b) > 34 && b[23] == unix.IPPROTO_ICMP && b[34] != 0 && b[34] != 8
	case 0x86dd:
		if len(b) < 55 {
			break
		}
		dst, _ := netip.AddrFromSlice(b[38:54])
		switch {
		case b[20] == wire.Protocol && len(b) >= 54+wire.Size:
			if ad, err := wire.Parse(b[54:]); err == nil {
				f.advert = &ad
				f.src, _ = netip.AddrFromSlice(b[22:38])
			}
		case b[20] == unix.IPPROTO_ICMPV6 && b[54] < 128:
			f.icmp = true
		case b[20] == unix.IPPROTO_ICMPV6 && b[54] == 136 && len(b) >= 78 && dst == netip.IPv6LinkLocalAllNodes():
			f.garp, _ = netip.AddrFromSlice(b[62:78])
		}
	case 0x0806:
		if len(b) >= 42 && string(b[28:32]) == string(b[38:42]) {
			f.garp, _ = netip.AddrFromSlice(b[28:32])
		}
	}
	return f
}

// wait returns the first frame from number from on that is wanted, and its number.
func (c *capture) wait(t testing.TB, from int, d time.Duration, what string, want func(*frame) bool) (frame, int) {
	t.Helper()
	deadline := time.Now().Add(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := from; ; n++ {
		for n >= len(c.frames) {
			if time.Now().After(deadline) {
				t.Fatalf("not within %v: %s", d, what)
			}
			c.more.Wait()
		}
		if want(&c.frames[n]) {
			return c.frames[n], n
		}
	}
}

// count returns how many frames there are yet.
func (c *capture) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frames)
}

// since returns the frames from number from on that are wanted.
func (c *capture) since(from int, want func(*frame) bool) (found []frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := from; n < len(c.frames); n++ {
		if want(&c.frames[n]) {
			found = append(found, c.frames[n])
		}
	}
	return found
}

func advertFrom(src string) func(*frame) bool {
	a := netip.MustParseAddr(src)
	return func(f *frame) bool { return f.advert != nil && f.src == a }
}

func announcement(addr string) func(*frame) bool {
	a := netip.MustParseAddr(addr)
	return func(f *frame) bool { return f.garp == a }
}

// controlLimit is how late a control may be before its trial says nothing about us.
const controlLimit = 10 * time.Millisecond

// A sleeper is a process that does nothing but sleep to a deadline: what the machine alone makes of it.
type sleeper struct {
	cmd *exec.Cmd
	out strings.Builder
}

func startControl(t testing.TB, deadline time.Time) *sleeper {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &sleeper{cmd: exec.Command(exe)}
	s.cmd.Env = append(os.Environ(), "CARP_CONTROL="+strconv.FormatInt(deadline.UnixNano(), 10))
	s.cmd.Stdout = &s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// late returns how late the control woke.
func (s *sleeper) late(t testing.TB) time.Duration {
	t.Helper()
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s.out.String()), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n)
}

// control is the sleeper's main.
func control(at string) {
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		panic(err)
	}
	deadline := time.Unix(0, n)
	time.Sleep(time.Until(deadline))
	fmt.Println(int64(time.Since(deadline)))
}

// A series collects how late we were in trials that count.
type series struct {
	name     string
	late     []time.Duration
	repeated int
}

func (s *series) median() time.Duration {
	sorted := append([]time.Duration(nil), s.late...)
	for i := range sorted {
		for j := i; j > 0 && sorted[j] < sorted[j-1]; j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted[len(sorted)/2]
}

func (s *series) max() (m time.Duration) {
	for _, d := range s.late {
		m = max(m, d)
	}
	return m
}

// judge logs the figures and fails the test when they are too bad.
func (s *series) judge(t testing.TB, median, most time.Duration) {
	t.Helper()
	t.Logf("%s: %d trials (%d repeated for a late control): late by median %.1f ms, max %.1f ms",
		s.name, len(s.late), s.repeated, ms(s.median()), ms(s.max()))
	if s.median() > median || s.max() > most {
		t.Errorf("%s: want a median of at most %v and none above %v; all: %v", s.name, median, most, s.late)
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
