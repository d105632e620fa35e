package regress

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A carpdev called by an alternative name of the interface works as by its own, also when the name comes late and when kernelsim starts anew. It is
// shown as it was given.
func TestAltName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	if r := a.do("ifconfig-carp carp0 carpdev em0"); r.code != 1 || r.err != "ifconfig: carp0: SIOCSVH: Invalid argument\n" {
		t.Errorf("before there is the name: exit %d, %q", r.code, r.err)
	}
	l.ip(a.ns, "link", "property", "add", "dev", "eth0", "altname", "em0")
	l.within(3*time.Second, "em0 is known", func() bool {
		return a.do("ifconfig-carp carp0 vhid 1 "+fast+" carpdev em0 192.168.1.10/24").code == 0
	})
	shown := func() bool { return strings.Contains(a.do("ifconfig-carp carp0").out, " MASTER carpdev em0 vhid 1 ") }
	l.within(5*time.Second, "carp0 is master on em0", shown)
	a.stop()
	a.start()
	a.serves()
	l.within(5*time.Second, "carp0 is master on em0 again", shown)
}

// The interfaces that can be created are, as far as the kernel has them, and go without a trace. -C tells root no kind that cannot be.
func TestCreateOthers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	before := l.ip(a.ns, "-br", "link")
	classes := strings.Fields(a.must("ifconfig-carp -C"))
	for _, kind := range []struct{ class, line string }{
		{"bridge", "create"}, {"pair", "create"}, {"tap", "create"}, {"vlan", "create vnetid 7 parent eth0"},
	} {
		name := kind.class + "3"
		r := a.do("ifconfig-carp " + name + " " + kind.line)
		if !slices.Contains(classes, kind.class) {
			if r.code != 1 || r.err != "ifconfig: "+name+": SIOCIFCREATE: Operation not supported\n" {
				t.Errorf("%s is not there: exit %d, %q", kind.class, r.code, r.err)
			}
			continue
		}
		if r.code != 0 || r.err != "" {
			t.Errorf("%s: exit %d, %q", kind.class, r.code, r.err)
		}
		if out := a.must("ifconfig-carp " + kind.class); !strings.HasPrefix(out, name+": flags=8802<BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n") ||
			!strings.Contains(out, "\tgroups: "+kind.class+"\n") || !strings.Contains(out, "\tstatus: no carrier\n") || strings.Count(out, "flags=") != 1 {
			t.Errorf("%s", out)
		}
		if r := a.do("ifconfig-carp " + name + " create"); r.code != 1 || r.err != "ifconfig: "+name+": SIOCIFCREATE: File exists\n" {
			t.Errorf("%s again: exit %d, %q", kind.class, r.code, r.err)
		}
		a.must("ifconfig-carp " + name + " destroy")
	}
	if len(classes) < 3 || !slices.Contains(classes, "carp") {
		t.Errorf("-C: %q", classes)
	}
	for _, name := range []string{"lo", "eth0"} { // eth0 is one end of a pair, and not called one
		if r := a.do("ifconfig-carp " + name + " destroy"); r.code != 1 || r.err != "ifconfig: "+name+": SIOCIFDESTROY: Invalid argument\n" {
			t.Errorf("%s: exit %d, %q", name, r.code, r.err)
		}
	}
	if after := l.ip(a.ns, "-br", "link"); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// A bridge and two pairs made with ifconfig alone carry packets, and what a pair had before it was patched it has after.
func TestBridgeAndPairs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	for _, line := range []string{
		"pair0 create", "pair1 create", "pair0 lladdr 02:00:00:00:00:a0 description left group lan mtu 1400 10.1.2.3/24", "pair1 up", "pair0 patch pair1",
		"bridge0 create", "bridge0 add pair1 up",
	} {
		a.must("ifconfig-carp " + line)
	}
	out := a.must("ifconfig-carp pair0")
	for _, text := range []string{
		"pair0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1400\n\tlladdr 02:00:00:00:00:a0\n\tdescription: left\n", "\n\tpatch: pair1\n",
		"\tgroups: pair lan\n", "\tstatus: active\n\tinet 10.1.2.3 netmask 0xffffff00 broadcast 10.1.2.255\n",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("no %q in\n%s", text, out)
		}
	}
	if out := a.must("ifconfig-carp bridge0"); !strings.Contains(out, " llprio 3\n\tgroups: bridge\n") || strings.Contains(out, "priority") ||
		!strings.Contains(out, "\n\tpair1 flags=3<LEARNING,DISCOVER>\n") {
		t.Error(out)
	}
	l.run("ip", "netns", "add", l.id+"-b")
	t.Cleanup(func() { exec.Command("ip", "netns", "del", l.id+"-b").Run() })
	a.must("ifconfig-carp pair2 create")
	a.must("ifconfig-carp pair3 create")
	a.must("ifconfig-carp pair2 patch pair3")
	l.ip(a.ns, "link", "set", "pair3", "netns", l.id+"-b")
	l.ip(l.id+"-b", "addr", "add", "10.1.2.4/24", "dev", "pair3")
	l.ip(l.id+"-b", "link", "set", "pair3", "up")
	a.must("ifconfig-carp pair2 up")
	a.must("ifconfig-carp bridge0 add pair2")
	l.within(5*time.Second, "a packet through the bridge", func() bool { return a.do("ping -c1 -W1 -q 10.1.2.4").code == 0 })
	// An IPv6 address takes no other one's place, and they are shown in the order in which they came, once they are no duplicates.
	a.must("ifconfig-carp pair2 inet6 2001:db8:5::1/56")
	a.must("ifconfig-carp pair2 inet6 2001:db8:5::2 pltime 1000 vltime 1000000")
	l.within(5*time.Second, "two IPv6 addresses", func() bool {
		out := a.must("ifconfig-carp pair2 inet6")
		return strings.Contains(out, "\tinet6 2001:db8:5::1 prefixlen 56\n\tinet6 2001:db8:5::2 prefixlen 64 pltime ")
	})
	a.must("ifconfig-carp bridge0 del pair2")
	if r := a.do("ifconfig-carp bridge0 del pair2"); r.code != 1 || r.err != "ifconfig: bridge0: pair2: No such file or directory\n" {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
	a.must("ifconfig-carp pair0 -patch")
	if out := a.must("ifconfig-carp pair0"); strings.Contains(out, "patch") || !strings.Contains(out, "no carrier\n\tinet 10.1.2.3 ") {
		t.Error(out)
	}
}

// The ends of a point-to-point link lead to one another and nowhere else, whatever the mask; what others have set can be seen and removed.
func TestPointToPoint(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	l.ip(a.ns, "tuntap", "add", "mode", "tun", "name", "tun0")
	a.must("ifconfig-carp tun0 10.5.0.1 10.5.0.2 netmask 255.255.255.0")
	a.must("ifconfig-carp tun0 inet6 2001:db8:5::1 2001:db8:5::2")
	if routes := l.ip(a.ns, "route", "show", "dev", "tun0"); !strings.HasPrefix(routes, "10.5.0.2 ") || strings.Count(routes, "\n") != 1 {
		t.Errorf("routes: %s", routes)
	}
	l.ip(a.ns, "addr", "add", "10.6.0.1", "peer", "10.6.0.2/24", "dev", "tun0")
	const want = "\tinet 10.5.0.1 --> 10.5.0.2 netmask 0xffffffff\n\tinet 10.6.0.1 --> 10.6.0.2 netmask 0xffffff00\n" +
		"\tinet6 2001:db8:5::1 --> 2001:db8:5::2 prefixlen 128\n"
	if out := a.must("ifconfig-carp tun0"); !strings.HasSuffix(out, want) {
		t.Error(out)
	}
	a.must("ifconfig-carp tun0 -inet -inet6")
	if out := a.must("ifconfig-carp tun0"); strings.Contains(out, "inet") {
		t.Error(out)
	}
}

// Of many addresses the first goes alone, and with -inet all of them in a moment: none is put back meanwhile.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.machine("a")
	var batch strings.Builder
	for n := range 200 {
		fmt.Fprintf(&batch, "addr add 10.1.2.%d/24 dev eth0\n", n+1)
	}
	file := filepath.Join(l.dir, "batch")
	if err := os.WriteFile(file, []byte(batch.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	l.ip(a.ns, "-batch", file)
	a.must("ifconfig-carp eth0 delete 10.1.2.1")
	if n := strings.Count(a.must("ifconfig-carp eth0"), "\tinet 10.1.2."); n != 199 {
		t.Errorf("%d are left of 199", n)
	}
	start := time.Now()
	a.must("ifconfig-carp eth0 -inet")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("all go in %v", took)
	}
	if out := a.must("ifconfig-carp eth0"); strings.Contains(out, "\tinet ") {
		t.Error(out)
	}
}

// A pass phrase that stands in a file is in no command line of any process, at any time.
func TestPassfileShowsNowhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	const phrase = "q7Gk2xZp-nobody"
	file := filepath.Join(l.dir, "phrase")
	if err := os.WriteFile(file, []byte(phrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, looked, seen := make(chan struct{}), make(chan int), atomic.Int32{}
	go func() {
		n := 0
		defer func() { looked <- n }()
		for {
			select {
			case <-done:
				return
			default:
			}
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, name := range names {
				data, _ := os.ReadFile(name)
				if strings.Contains(string(data), "passfile") {
					n++
				}
				if strings.Contains(string(data), phrase) {
					seen.Add(1)
				}
			}
		}
	}()
	for range 200 {
		a.must("ifconfig-carp carp0 passfile " + file)
	}
	close(done)
	if n := <-looked; n == 0 || seen.Load() != 0 {
		t.Errorf("seen %d times, while the commands were met %d times", seen.Load(), n)
	}
	data, err := os.ReadFile(filepath.Join(a.state, "want", "carp0"))
	if err != nil || !strings.Contains(string(data), "pass \""+phrase+"\"\n") {
		t.Errorf("not set: %v", err)
	}
}

// With 255 carps, a command is done within three times what ip(8) takes to show one of them. Both run in turns, started alike; medians are compared.
func TestCommandIsQuick(t *testing.T) {
	l := newLab(t)
	a := l.host("a")
	for n := range 255 {
		a.must(fmt.Sprintf("ifconfig-carp carp%d vhid %d carpdev eth0 10.9.%d.1/32", n, n+1, n))
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Fatal(err)
	}
	commands := [][]string{{ip, "-br", "link", "show", "carp0"}, {filepath.Join(bin, "ifconfig-carp"), "carp0"}}
	times := make([][]time.Duration, len(commands))
	inside(t, a.ns, func() {
		for range 100 {
			for i, words := range commands {
				cmd := exec.Cmd{Path: words[0], Args: words, Env: []string{"CARP_STATEDIR=" + a.state}}
				start := time.Now()
				out, err := cmd.Output()
				times[i] = append(times[i], time.Since(start))
				if err != nil || !strings.HasPrefix(string(out), "carp0") {
					t.Fatalf("%q: %v, %q", words, err, out)
				}
			}
		}
	})
	for i := range times {
		slices.Sort(times[i])
	}
	theirs, ours := times[0][len(times[0])/2], times[1][len(times[1])/2]
	t.Logf("ip %v, ifconfig %v: %.2f times", theirs, ours, float64(ours)/float64(theirs))
	if ours > 3*theirs {
		t.Errorf("%v, more than three times the %v of ip", ours, theirs)
	}
}

// inside runs f on a thread in a network namespace, and what f starts is there, too.
func inside(t *testing.T, ns string, f func()) {
	t.Helper()
	fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(home)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer unix.Setns(home, unix.CLONE_NEWNET)
	f()
}

// The examples of ifconfig-carp(8) about files and the host's own interfaces, as they stand there.
func TestExamplesOfOthers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	key := filepath.Join(l.dir, "carp.key")
	if err := os.WriteFile(key, []byte("mekmitasdigoat\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.ip(a.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
	l.ip(a.ns, "route", "add", "default", "via", "192.168.1.254")
	page, err := os.ReadFile("../man/ifconfig-carp.8")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\nWith the pass phrase from a file")
	rest, _, ok := strings.Cut(rest, "\nWithout multicast")
	lines, out := 0, ""
	for _, line := range strings.Split(rest, "\n") {
		if command, is := strings.CutPrefix(strings.Replace(line, "$ ", "# ", 1), "# "); is {
			out = a.must(strings.ReplaceAll(command, "/etc/carp.key", key))
			lines++
		}
	}
	if !ok || lines != 6 || !strings.HasPrefix(out, "eth0: ") || !strings.Contains(out, "\tdescription: uplink\n") ||
		!strings.Contains(out, "\tgroups: egress\n") || !strings.Contains(out, "\tinet 192.168.1.2 netmask 0xffffff00 broadcast 192.168.1.255\n") {
		t.Errorf("%d commands, the last of which prints\n%s", lines, out)
	}
	if out := a.must("ifconfig-carp bridge0"); !strings.Contains(out, "\teth1 flags=3<LEARNING,DISCOVER>\n") {
		t.Error(out)
	}
}
