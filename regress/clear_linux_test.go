package regress

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a kernelsim has left that was killed with its engine, -c takes away, and a status that tells the truth remains. It spares one that runs.
func TestClear(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.machine("a")
	conf := func() string {
		return m.must("cat /proc/sys/net/ipv4/conf/eth0/arp_ignore /proc/sys/net/ipv4/conf/eth0/arp_announce")
	}
	names := func() (all string) { // ip(8) complains of namespaces that other tests take away meanwhile
		for _, line := range strings.Split(l.ip(m.ns, "-o", "link"), "\n") {
			if f := strings.Fields(line); len(f) > 2 && f[0] != "Error:" {
				all += f[1] + f[2] + "\n"
			}
		}
		return all
	}
	before, links := conf(), names()
	m.start()
	m.serves()
	m.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 20 192.168.1.10")
	m.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
	m.becomes("master", 5*time.Second)
	if r := m.do("kernelsim -c"); r.code != 1 || r.err != "kernelsim: already running\n" {
		t.Errorf("beside one that runs: %+v", r)
	}
	if m.status("carp0") != "master" {
		t.Error("no master any more")
	}
	syscall.Kill(m.engine(), syscall.SIGSTOP) // it must not even begin to bow out
	m.crash()
	if !strings.Contains(l.ip(m.ns, "-o", "link"), "carp0") || conf() == before {
		t.Fatal("nothing is left to be taken away")
	}
	if r := m.do("kernelsim -c"); r != (result{}) {
		t.Errorf("%+v", r)
	}
	if got := names(); got != links {
		t.Errorf("links before\n%s\nafter\n%s", links, got)
	}
	if got := conf(); got != before {
		t.Errorf("sysctls before %q, after %q", before, got)
	}
	if out := m.must("tc filter show dev eth0 ingress") + m.must("tc qdisc show dev eth0"); strings.Contains(out, "carp") || strings.Contains(out, "clsact") {
		t.Errorf("filters:\n%s", out)
	}
	status, err := os.ReadFile(filepath.Join(m.state, "status", "carp0"))
	if err != nil || !strings.Contains(string(status), "INIT") || strings.Contains(string(status), "MASTER") {
		t.Errorf("%v\n%s", err, status)
	}
	m.start()
	m.serves()
	m.becomes("master", 5*time.Second) // what is configured has stayed
	m.stop()
	if r := m.do("kernelsim -c"); r != (result{}) {
		t.Errorf("where nothing is left: %+v", r)
	}
}

// A service manager hears when commands are answered and that the loop lives, and nothing of a loop that stands still.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.machine("a")
	path := filepath.Join(l.dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	heard := func(within time.Duration) string {
		manager.SetReadDeadline(time.Now().Add(within))
		b := make([]byte, 100)
		n, _ := manager.Read(b)
		return string(b[:n])
	}
	m.env = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=300000"}
	m.start()
	defer m.crash()
	if got := heard(5 * time.Second); got != "READY=1" {
		t.Fatalf("heard %q", got)
	}
	if r := m.do("sysctl-carp -n net.inet.carp.allow"); r != (result{out: "1\n"}) {
		t.Errorf("it says that it is ready, and answers %+v", r)
	}
	for range 3 {
		if got := heard(5 * time.Second); got != "WATCHDOG=1" {
			t.Fatalf("heard %q", got)
		}
	}
	m.sim.Process.Signal(os.Interrupt)
	l.within(5*time.Second, "it says that it ends", func() bool { return heard(time.Second) == "STOPPING=1" })
	<-m.ended
}
