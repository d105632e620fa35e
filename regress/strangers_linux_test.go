package regress

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// passes puts tcx programs, so many, that let everything pass before all else on an interface of the machine; too many is no error.
func (m *machine) passes(dev string, at ebpf.AttachType, many int) (remove func()) {
	t := m.lab.t
	t.Helper()
	var all []link.Link
	inNamespace(t, m.ns, func() error {
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		for range many {
			prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
				Type: ebpf.SchedCLS, License: "ISC", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, // TCX_PASS
			})
			if err != nil {
				return err
			}
			defer prog.Close()
			tcx, err := link.AttachTCX(link.TCXOptions{Interface: ifi.Index, Program: prog, Attach: at, Anchor: link.Head()})
			if errors.Is(err, ebpf.ErrNotSupported) {
				t.Fatal("this kernel has no tcx (Linux 6.6)")
			}
			if errors.Is(err, syscall.ERANGE) {
				break
			}
			if err != nil {
				return err
			}
			all = append(all, tcx)
		}
		return nil
	})
	return func() {
		for _, tcx := range all {
			tcx.Close()
		}
	}
}

// Somebody's filter before ours is put behind it, and so is his tcx program, on whichever interface, and nobody is told. Where so many are that there is no room for
// ours, the host bows out, and says why, until they go.
func TestStrangersBeforeTheGate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	l.ip(a.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "to-a1", "netns", l.sw) // a second way in
	l.ip(l.sw, "link", "set", "to-a1", "master", "br0", "up")
	l.ip(a.ns, "link", "set", "eth1", "up")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	l.ip(client.ns, "neigh", "replace", "192.168.1.10", "lladdr", virtualMAC, "dev", "eth0", "nud", "permanent")

	first := func(dev string) bool {
		line, _, _ := strings.Cut(l.run("tc", "-n", a.ns, "filter", "show", "dev", dev, "ingress"), "handle")
		rest := strings.SplitN(l.run("tc", "-n", a.ns, "filter", "show", "dev", dev, "ingress"), "handle", 2)
		return line != "" && len(rest) == 2 && strings.Contains(strings.SplitN(rest[1], "\n", 2)[0], "carp-gate")
	}
	for _, dev := range []string{"eth0", "carp0", "eth1"} {
		l.run("tc", "-n", a.ns, "filter", "add", "dev", dev, "ingress", "pref", "1", "protocol", "all", "bpf", "direct-action", "bytecode", "1,6 0 0 0")
		l.within(time.Second, "the gate is first again on "+dev, func() bool { return first(dev) })
	}
	if s := a.status("carp0"); s != "master" || !client.ping("192.168.1.10") {
		t.Errorf("with a filter behind the gate it is %s", s)
	}

	// The backup answers through none of them, which it would with his programs alone.
	before := l.ip(a.ns, "-o", "link", "show", "carp0")
	log := a.readLog()
	a.must("ifconfig-carp carp0 advbase 20 state backup")
	mac := func(dev string) string { return strings.TrimSpace(a.must("cat /sys/class/net/" + dev + "/address")) }
	for _, dev := range []string{"carp0", "eth0", "eth1"} {
		l.ip(client.ns, "neigh", "replace", "192.168.1.10", "lladdr", mac(dev), "dev", "eth0", "nud", "permanent")
		var remove []func()
		for _, d := range []string{"carp0", "eth0", "eth1"} {
			remove = append(remove, a.passes(d, ebpf.AttachTCXIngress, 2), a.passes(d, ebpf.AttachTCXEgress, 2))
		}
		at := time.Now()
		l.within(3*time.Second, "no answer through "+dev, func() bool { return client.do("ping -n -c 1 -W 0.2 192.168.1.10").code != 0 })
		if d := time.Since(at); d > 1500*time.Millisecond { // of it 200 ms without an answer, and other tests
			t.Errorf("%s answers %v long", dev, d)
		}
		if client.do("ping -n -c 5 -i 0.02 -W 0.2 192.168.1.10").code == 0 {
			t.Errorf("an answer through %s", dev)
		}
		for _, r := range remove {
			r()
		}
	}
	l.ip(client.ns, "neigh", "replace", "192.168.1.10", "lladdr", virtualMAC, "dev", "eth0", "nud", "permanent")
	a.must("ifconfig-carp carp0 " + fast + " state master")
	l.within(time.Second, "an answer", func() bool { return client.ping("192.168.1.10") })
	if now := l.ip(a.ns, "-o", "link", "show", "carp0"); now[:3] != before[:3] {
		t.Errorf("another link: %s", now)
	}
	for _, line := range strings.SplitAfter(strings.TrimPrefix(a.readLog(), log), "\n") {
		if line != "" && !strings.Contains(line, "transition") {
			t.Errorf("it says: %s", line)
		}
	}

	for _, c := range []struct{ dev, says string }{{"eth0", ""}, {"eth1", "eth1: "}} {
		log := a.readLog()
		remove := a.passes(c.dev, ebpf.AttachTCXEgress, 100)
		a.becomes("invalid", 3*time.Second)
		if client.ping("192.168.1.10") {
			t.Error("it answers without a gate")
		}
		if r := a.do("ip link show carp0"); r.code == 0 {
			t.Errorf("the link is there: %s", r.out)
		}
		time.Sleep(1100 * time.Millisecond) // it is tried again
		// Where the machine is slow, it may be that ours was first for a moment, and more often than is borne.
		const why, fought = "another program comes before the gate: ", "tcx: somebody else changes it again and again"
		for _, before := range []string{"kernelsim: " + c.dev + ": ", "carp0: failed to make carp0: gate: " + c.says} {
			log := strings.TrimPrefix(a.readLog(), log)
			if strings.Count(log, before+why)+strings.Count(log, before+fought) != 1 && strings.Count(log, before[:len(before)-len(c.says)]+c.dev+": "+fought) != 1 {
				t.Errorf("the log does not say %q once: %s", before+why, log)
			}
		}
		remove()
		a.becomes("master", 15*time.Second) // patience comes back after 10 s
		l.within(time.Second, "an answer again", func() bool { return client.ping("192.168.1.10") })
	}

	// Nobody answers ARP there: then nobody is to be master.
	a.set("ipv4/conf/all/arp_ignore", "8")
	a.becomes("invalid", 3*time.Second)
	a.set("ipv4/conf/all/arp_ignore", "0")
	a.becomes("master", 5*time.Second)
}
