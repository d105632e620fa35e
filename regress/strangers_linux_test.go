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

// passes puts tcx programs, so many, that let everything pass before all else on an interface of the machine. Where there is no room for more it
// takes what room there is, until remove: what the machine gives up is taken too.
func (m *machine) passes(dev string, at ebpf.AttachType, many int) (remove func()) {
	t := m.lab.t
	t.Helper()
	var all []link.Link
	attach := func() error {
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.SchedCLS, License: "ISC", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, // TCX_PASS
		})
		if err != nil {
			return err
		}
		defer prog.Close()
		tcx, err := link.AttachTCX(link.TCXOptions{Interface: ifi.Index, Program: prog, Attach: at, Anchor: link.Head()})
		if err == nil {
			all = append(all, tcx)
		}
		return err
	}
	full := false
	inNamespace(t, m.ns, func() error {
		for len(all) < many && !full {
			err := attach() // ErrNotSupported: a kernel before Linux 6.6
			full = errors.Is(err, syscall.ERANGE)
			if err != nil && !full {
				return err
			}
		}
		return nil
	})
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		if !full {
			stopped <- nil
			return
		}
		stopped <- insideOf(m.ns, func() error {
			for {
				if err := attach(); err != nil && !errors.Is(err, syscall.ERANGE) {
					return err
				}
				select {
				case <-stop:
					return nil
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}()
	return func() {
		close(stop)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		for _, tcx := range all {
			tcx.Close()
		}
	}
}

// Somebody's filter before ours is put behind it, and so is his tcx program, on whichever interface, and nobody is told. Where so many are that there
// is no room for ours, the host bows out, and says why, until they go.
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
		// Ours is put first for a moment, and found behind again, at most as often as is borne in 10 s: each time may be told.
		const borne = 5
		const why, fought = "another program comes before the gate: ", "tcx: somebody else changes it again and again"
		text := strings.TrimPrefix(a.readLog(), log)
		for _, before := range []string{"kernelsim: " + c.dev + ": ", "carp0: failed to make carp0: gate: " + c.says} {
			behind, lost := strings.Count(text, before+why), strings.Count(text, before+fought)
			if c.says == "" && before != "kernelsim: eth0: " {
				lost += strings.Count(text, before+c.dev+": "+fought)
			}
			if behind+lost < 1 || behind+lost > borne+1 {
				t.Errorf("the log says %q %d times and %q %d times: %s", before+why, behind, fought, lost, text)
			}
		}
		remove()
		a.becomes("master", 15*time.Second) // patience comes back after 10 s
		l.within(time.Second, "an answer again", func() bool { return client.ping("192.168.1.10") })
	}

	// Nobody answers ARP there: then nobody is to be master.
	for key, value := range map[string]string{"arp_ignore": "8", "arp_filter": "1"} {
		a.set("ipv4/conf/all/"+key, value)
		a.becomes("invalid", 3*time.Second)
		a.set("ipv4/conf/all/"+key, "0")
		a.becomes("master", 5*time.Second)
	}
	// A setting of the link alone is put right; a new link would have it from the default.
	l.ip(client.ns, "neigh", "del", "192.168.1.10", "dev", "eth0")
	a.set("ipv4/conf/carp0/arp_filter", "1")
	l.within(2*time.Second, "an answer to who asks", func() bool { return client.ping("192.168.1.10") })
}
