package statedir

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"carp/libcarp/config"
)

// dial opens a raw connection to ctl.
func dial(t *testing.T, d Dir) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", d.ctl())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// read returns what the server says until it closes. That it closes before it has read everything is no error.
func read(c net.Conn) string {
	text, _ := io.ReadAll(c)
	return string(text)
}

func TestChangesFromManySides(t *testing.T) {
	d := newDir(t)
	_, l := start(t, d)
	const sides, rounds = 8, 40
	var wg sync.WaitGroup
	for side := range sides {
		wg.Add(1)
		go func() {
			defer wg.Done()
			name := fmt.Sprintf("carp%d", side)
			for n := range rounds {
				if _, err := d.Change(words(t, name, "need", fmt.Sprintf("vhid %d", side+1), fmt.Sprintf("advskew %d", n))); err != nil {
					t.Error(err)
				}
				demote := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Demote, N: n % 2}}}
				if _, err := d.Change(demote); err != nil {
					t.Error(err)
				}
				st, remark, err := d.Interface(name)
				if err != nil || remark != "" || st.Nodes[0].Advskew != n {
					t.Errorf("%s after round %d: %+v, %q, %v", name, n, st, remark, err)
				}
			}
		}()
	}
	wg.Wait()
	all, remark, err := d.Interfaces()
	if err != nil || remark != "" || len(all) != sides {
		t.Errorf("%+v, %q, %v", all, remark, err)
	}
	groups, _, err := d.Groups()
	if want := sides * rounds / 2; err != nil || groups["carp"] != want {
		t.Errorf("%v, %v, want %d", groups, err, want)
	}
	m, err := d.LoadMachine()
	if err != nil || len(m.Interfaces) != sides || m.Groups["carp"].Demotion() != sides*rounds/2 || l.gen == 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestSysctlChange(t *testing.T) {
	d := newDir(t)
	start(t, d)
	ch := config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: "log", N: 7}}}
	if a, err := d.Check(ch); err != nil || a.Old != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := d.Change(ch); err != nil || a.Old != 2 || a.Gen != 1 || a.Remark != "" {
		t.Errorf("%+v, %v", a, err)
	}
	if s, _, err := d.Sysctl(); err != nil || s.Log != 7 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestRefusals(t *testing.T) {
	d := newDir(t)
	start(t, d)
	_, err := d.Change(words(t, "carp0", "create", "vhid 1", "-alias 10.0.0.1/32"))
	if e := refused(t, err, config.EADDRNOTAVAIL); e.Clause != 2 {
		t.Errorf("clause %d", e.Clause)
	}
	_, _, err = d.Interface("carp0")
	refused(t, err, config.ENXIO)
	ch := words(t, "carp0", "create")
	ch.Clauses = append(ch.Clauses, config.Clause{Word: config.Description, Text: strings.Repeat("x", requestMax)})
	_, err = d.Change(ch)
	refused(t, err, config.EINVAL)
}

func TestGarbage(t *testing.T) {
	d := newDir(t)
	start(t, d)
	for _, text := range []string{
		"\n", "hello\n\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "carp 1 show stats\n",
		strings.Repeat("\x00", 1<<20), strings.Repeat("up\n", 1<<18),
	} {
		c := dial(t, d)
		go func() { // its end may not be read at all
			io.WriteString(c, text)
			c.(*net.UnixConn).CloseWrite()
		}()
		if got := read(c); !strings.HasPrefix(got, "errno=22 clause=0 msg=\"") {
			t.Errorf("%.20q: %q", text, got)
		}
	}
	if got := read(dialAndSay(t, d, "carp 1 show sysctl\n\n")); got != "carp-sysctl 1\nallow 1\npreempt 0\nlog 2\nreplay 1\ndemoteskew 0\nerrno=0 gen=0 old=0\n" {
		t.Errorf("%q", got)
	}
}

func dialAndSay(t *testing.T, d Dir, text string) net.Conn {
	t.Helper()
	c := dial(t, d)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStalledClientsAreDropped(t *testing.T) {
	set(t, &clientPatience, 100*time.Millisecond)
	set(t, &displayPatience, 10*time.Second)
	d := newDir(t)
	start(t, d)
	var stalled []net.Conn
	for n := range connMax {
		stalled = append(stalled, dialAndSay(t, d, "carp 1 show stats\n"[:n%18]))
	}
	if _, remark, err := d.Stats(); err != nil || remark != "" { // asks again until one of them is dropped
		t.Errorf("%q, %v", remark, err)
	}
	for _, c := range stalled {
		if got := read(c); got != "" {
			t.Errorf("%q", got)
		}
	}
}

func TestSlowHandlerDropsNobody(t *testing.T) {
	set(t, &clientPatience, 50*time.Millisecond)
	d := newDir(t)
	_, l := start(t, d)
	l.before = func() { time.Sleep(200 * time.Millisecond) }
	if _, err := d.Change(words(t, "carp0", "create")); err != nil {
		t.Error(err)
	}
}

func TestTwoHundredClients(t *testing.T) {
	set(t, &displayPatience, 10*time.Second)
	d := newDir(t)
	_, l := start(t, d)
	l.Change(Request{Change: words(t, "carp0", "create"), Root: true})
	var wg sync.WaitGroup
	for range 200 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if all, remark, err := d.Interfaces(); err != nil || remark != "" || len(all) != 1 {
				t.Errorf("%v, %q, %v", all, remark, err)
			}
		}()
	}
	wg.Wait()
}

// startAs is start with users that the test chooses: each connection is that of the next one in the channel.
func startAs(t *testing.T, d Dir) (uids chan int, l *tinyLoop) {
	t.Helper()
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	l = &tinyLoop{dir: d, machine: config.NewMachine()}
	l.server = NewServer(held.Listener, l)
	uids = make(chan int, 1)
	l.server.peer = func(*net.UnixConn) (int, error) { return <-uids, nil }
	l.server.Start()
	t.Cleanup(func() {
		close(uids)
		l.server.Close()
		held.Close()
	})
	return uids, l
}

func TestLimits(t *testing.T) {
	d := newDir(t)
	uids, _ := startAs(t, d)
	connect := func(uid int) net.Conn {
		uids <- uid
		return dial(t, d)
	}
	full := func(uid int) bool {
		c := connect(uid)
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, "carp 1 show sysctl\n\n")
		answer := read(c)
		if !strings.HasPrefix(answer, "errno=35 ") && !strings.HasPrefix(answer, "carp-sysctl 1\n") {
			t.Fatalf("user %d: %q", uid, answer)
		}
		return strings.HasPrefix(answer, "errno=35 ")
	}
	var first net.Conn
	for n := range connMax - connForRoot {
		c := connect(1000 + n/connPerUser)
		if n == 0 {
			first = c
		}
		if n == connPerUser-1 && (!full(1000) || full(2000)) {
			t.Error("a user has too many or too few connections")
		}
	}
	if !full(2000) {
		t.Error("users take root's connections")
	}
	for range connForRoot {
		connect(0)
	}
	if !full(0) {
		t.Error("root has more than all connections")
	}
	first.Close()
	within(t, "a connection to be free again", func() {
		for full(0) {
			time.Sleep(time.Millisecond)
		}
	})
}

func TestOnlyRootSets(t *testing.T) {
	d := newDir(t)
	uids, _ := startAs(t, d)
	for _, c := range []struct {
		name  string
		lines []string
		want  *config.Error
	}{
		{"carp0", []string{"create"}, &config.Error{Errno: config.EPERM}},
		{"carp0", []string{"need", "vhid 1"}, &config.Error{Errno: config.ENXIO, Clause: 1}},
	} {
		uids <- 1000
		_, err := d.Change(words(t, c.name, c.lines...))
		if e := refused(t, err, c.want.Errno); e.Clause != c.want.Clause {
			t.Errorf("clause %d, want %d", e.Clause, c.want.Clause)
		}
	}
	uids <- 1000
	if _, remark, err := d.Sysctl(); err != nil || remark != "" {
		t.Errorf("%q, %v", remark, err)
	}
}

func TestAnotherNetworkNamespace(t *testing.T) {
	if networkID() == "" {
		mustBeElsewhere(t)
		t.Skip("this system has none")
	}
	d := newDir(t)
	_, l := start(t, d)
	l.server.net = "1:2"
	_, err := d.Change(words(t, "carp0", "create"))
	_, _, showErr := d.Interfaces()
	for _, err := range []error{err, showErr} {
		e := refused(t, err, config.EPERM)
		for _, part := range []string{"1:2", networkID(), "kernelsim -s", "CARP_STATEDIR"} {
			if !strings.Contains(e.Msg, part) {
				t.Errorf("%q does not name %s", e.Msg, part)
			}
		}
	}
}

// waiting returns once n clients wait.
func waiting(t *testing.T, s *Server, n int) {
	t.Helper()
	within(t, "to wait", func() {
		for {
			s.board.mu.Lock()
			have := len(s.board.waiters)
			s.board.mu.Unlock()
			if have == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func TestWait(t *testing.T) {
	d := newDir(t)
	_, l := start(t, d)
	publish := func(state string) {
		st := StatusOf(config.NewInterface("carp0", 0))
		st.Nodes[0].State = state
		l.server.PublishInterface(st)
	}
	_, err := d.WaitState("carp0", []string{"INIT"}, time.Second)
	refused(t, err, config.ENXIO)
	publish("INIT")
	if got, err := d.WaitState("carp0", []string{"BACKUP", "INIT"}, 5*time.Second); got != "INIT" || err != nil {
		t.Errorf("it is already: %q, %v", got, err)
	}
	_, err = d.WaitState("carp0", []string{"MASTER"}, 50*time.Millisecond)
	refused(t, err, config.ETIMEDOUT)
	waiting(t, l.server, 0) // the client's end is seen

	type result struct {
		got string
		err error
	}
	results := make(chan result, 3)
	wait := func() {
		got, err := d.WaitState("carp0", []string{"MASTER"}, 10*time.Second)
		results <- result{got, err}
	}
	go wait()
	go wait()
	waiting(t, l.server, 2)
	publish("BACKUP")
	publish("MASTER")
	publish("BACKUP") // a state of a moment counts
	for range 2 {
		if r := <-results; r.got != "MASTER" || r.err != nil {
			t.Errorf("%+v", r)
		}
	}
	go wait()
	waiting(t, l.server, 1)
	l.server.RemoveInterface("carp0")
	r := <-results
	refused(t, r.err, config.ENXIO)

	go func() {
		got, err := d.WaitEvent(17, 10*time.Second)
		results <- result{fmt.Sprint(got), err}
	}()
	waiting(t, l.server, 1)
	l.server.PublishEvent(17)
	waiting(t, l.server, 1)
	l.server.PublishEvent(18)
	if r := <-results; r.got != "18" || r.err != nil {
		t.Errorf("%+v", r)
	}
	if got, err := d.WaitEvent(3, time.Second); got != 18 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

func TestWaitGoesOnWithTheNextEngine(t *testing.T) {
	d := newDir(t)
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	listener, err := held.Listener.File()
	if err != nil {
		t.Fatal(err)
	}
	engine := func() (*Server, Status) {
		l, err := net.FileListener(listener)
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(l.(*net.UnixListener), nil)
		st := StatusOf(config.NewInterface("carp0", 0))
		s.PublishInterface(st)
		s.Start()
		return s, st
	}
	first, _ := engine()
	done := make(chan error, 1)
	go func() {
		_, err := d.WaitState("carp0", []string{"MASTER"}, 10*time.Second)
		done <- err
	}()
	waiting(t, first, 1)
	first.Close()
	second, st := engine()
	defer second.Close()
	waiting(t, second, 1)
	st.Nodes = []NodeStatus{{State: "MASTER", VHID: 1}}
	second.PublishInterface(st)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCloseWaitsForAnswersUnderWay(t *testing.T) {
	d := newDir(t)
	stop, l := start(t, d)
	begun := make(chan struct{})
	l.before = func() { close(begun); time.Sleep(100 * time.Millisecond) }
	done := make(chan error, 1)
	go func() {
		_, err := d.Change(words(t, "carp0", "create"))
		done <- err
	}()
	<-begun
	stalled := dialAndSay(t, d, "carp 1 ")
	within(t, "to stop", stop)
	if err := <-done; err != nil || l.gen != 1 {
		t.Errorf("%v, %d changes", err, l.gen)
	}
	if got := read(stalled); got != "" {
		t.Errorf("%q", got)
	}
}

func TestPeerUID(t *testing.T) {
	d := newDir(t)
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	dial(t, d)
	c, err := held.Listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if uid, err := peerUID(c); err != nil || uid != os.Geteuid() {
		t.Errorf("%d, %v", uid, err)
	}
	c.Close()
	if _, err := peerUID(c); !errors.Is(err, net.ErrClosed) {
		t.Errorf("of a closed connection: %v", err)
	}
}
