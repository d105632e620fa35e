package regress

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where neither a thread nor a process can be made, both processes of kernelsim live on: commands are answered, interfaces come and go, the address
// moves. When the engine dies, the supervisor bows out for it at once, says why no other one starts, once, and starts one when it can be.
func TestNoThreads(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "pids", "pids.max", "pids.max", "max") // before the hosts: it goes after them
	l := newLab(t)
	c := l.machine("client").capture()
	a, b := l.host("a"), l.host("b")
	for _, m := range []*machine{a, b} {
		m.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 64 192.168.1.10")
		m.becomes("backup", 5*time.Second)
	}
	a.must("ifconfig-carp carp0 state master")
	engine, supervisor := a.engine(), a.sim.Process.Pid
	for _, pid := range []int{supervisor, engine} {
		g.takes(pid)
	}
	g.write("pids.max", "1")
	t.Cleanup(func() { g.write("pids.max", "max") }) // else nobody could clear up

	var busy sync.WaitGroup
	for n := range 16 {
		busy.Add(1)
		go func() {
			defer busy.Done()
			for k := range 5 {
				if r, err := outcome(a.command("ifconfig-carp", "carp0", "description", fmt.Sprint(n, k))); err != nil || r.code != 0 {
					t.Errorf("%v %+v", err, r)
				}
			}
		}()
	}
	for range 5 {
		l.ip(a.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
		l.ip(a.ns, "link", "set", "eth1", "up")
		l.ip(a.ns, "addr", "add", "10.0.0.1/24", "dev", "eth1")
		l.ip(a.ns, "link", "del", "eth1")
	}
	busy.Wait()
	for _, m := range []struct{ gives, gets *machine }{{a, b}, {b, a}} {
		m.gives.must("ifconfig-carp carp0 down")
		m.gets.becomes("master", 5*time.Second)
		m.gives.must("ifconfig-carp carp0 up")
		m.gives.becomes("backup", 5*time.Second)
	}
	const refused = "kernelsim: the new program cannot take over (fork/exec "
	for n := range 20 { // each must not take a thread for good
		syscall.Kill(supervisor, syscall.SIGHUP)
		l.within(5*time.Second, "a new program is refused", func() bool { return strings.Count(a.readLog(), refused) > n })
	}
	if a.engine() != engine || strings.Contains(a.readLog(), "the engine ended") {
		t.Fatalf("the engine has died:\n%s", a.readLog())
	}

	// With two intervals as the lease, it is too late for a bow-out once that has run out.
	from := c.count()
	c.wait(t, from, 5*time.Second, "an advert of a", advertFrom(a.addr))
	syscall.Kill(engine, syscall.SIGKILL)
	c.wait(t, from, 5*time.Second, "the bow-out of a", func(f *frame) bool { return advertFrom(a.addr)(f) && f.advert.IsBowOut() })
	b.becomes("master", 5*time.Second)
	const failed = "kernelsim: failed to start the engine: fork/exec /proc/self/exe: resource temporarily unavailable; trying again\n"
	l.within(5*time.Second, "it is tried again", func() bool { return g.denied() >= 5 })
	if log := a.readLog(); strings.Count(log, "failed to start") != 1 || strings.Count(log, failed) != 1 {
		t.Errorf("log:\n%s", log)
	}

	// There is room for the process, and none for what a Go program begins with.
	g.write("pids.max", fmt.Sprint(g.count()+2))
	l.within(5*time.Second, "some engines end at once", func() bool { return strings.Count(a.readLog(), "fatal error: newosproc") >= 2 })
	if log := a.readLog(); strings.Count(log, "the engine ended (exit status 2)") > 1 {
		t.Errorf("log:\n%s", log)
	}
	g.write("pids.max", "max")
	a.becomes("backup", 15*time.Second)
	if a.sim.Process.Pid != supervisor || syscall.Kill(supervisor, 0) != nil {
		t.Error("the supervisor has died")
	}
	a.stop()
}

// count returns how many threads there are in the group.
func (g *group) count() (n int) {
	g.t.Helper()
	g.read("pids.current", "%d", &n)
	return n
}

// denied returns how many were not made because of its limit.
func (g *group) denied() (n int) {
	g.t.Helper()
	g.read("pids.events", "max %d", &n)
	return n
}

func (g *group) read(name, format string, to *int) {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.path, name))
	if err == nil {
		_, err = fmt.Sscanf(string(data), format, to)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}
