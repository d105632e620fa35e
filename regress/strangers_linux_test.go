package regress

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// passes puts a tcx program that lets everything pass before all else on an interface of the machine.
func (m *machine) passes(dev string, at ebpf.AttachType) (remove func()) {
	t := m.lab.t
	t.Helper()
	inNamespace(t, m.ns, func() error {
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
		tcx, err := link.AttachTCX(link.TCXOptions{Interface: ifi.Index, Program: prog, Attach: at})
		if err == nil {
			remove = func() { tcx.Close() }
		} else if errors.Is(err, ebpf.ErrNotSupported) {
			t.Fatal("this kernel has no tcx (Linux 6.6)")
		}
		return err
	})
	return remove
}

// Somebody's filter before ours is put behind it. His tcx program cannot be: on the carpdev it makes the host bow out, and say why, until it goes; on the link
// it goes with the link, which is made anew.
func TestStrangersBeforeTheGate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, a := l.machine("client"), l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	l.ip(client.ns, "neigh", "replace", "192.168.1.10", "lladdr", virtualMAC, "dev", "eth0", "nud", "permanent")

	first := func(dev string) bool {
		line, _, _ := strings.Cut(l.run("tc", "-n", a.ns, "filter", "show", "dev", dev, "ingress"), "handle")
		rest := strings.SplitN(l.run("tc", "-n", a.ns, "filter", "show", "dev", dev, "ingress"), "handle", 2)
		return line != "" && len(rest) == 2 && strings.Contains(strings.SplitN(rest[1], "\n", 2)[0], "carp-gate")
	}
	for _, dev := range []string{"eth0", "carp0"} {
		l.run("tc", "-n", a.ns, "filter", "add", "dev", dev, "ingress", "pref", "1", "protocol", "all", "bpf", "direct-action", "bytecode", "1,6 0 0 0")
		l.within(time.Second, "the gate is first again on "+dev, func() bool { return first(dev) })
	}
	if s := a.status("carp0"); s != "master" || !client.ping("192.168.1.10") {
		t.Errorf("with a filter behind the gate it is %s", s)
	}

	remove := a.passes("carp0", ebpf.AttachTCXIngress)
	before := l.ip(a.ns, "-o", "link", "show", "carp0")
	l.within(3*time.Second, "another link", func() bool {
		out := a.do("ip -o link show carp0").out
		return out != "" && out[:3] != before[:3]
	})
	l.within(time.Second, "an answer", func() bool { return client.ping("192.168.1.10") })
	remove()

	remove = a.passes("eth0", ebpf.AttachTCXEgress)
	a.becomes("invalid", 3*time.Second)
	if client.ping("192.168.1.10") {
		t.Error("it answers without a gate")
	}
	if r := a.do("ip link show carp0"); r.code == 0 {
		t.Errorf("the link is there: %s", r.out)
	}
	for _, want := range []string{"kernelsim: eth0: another program comes before the gate: 1 by tcx\n",
		"carp0: failed to make carp0: gate: another program comes before the gate: 1 by tcx\n"} {
		if log := a.readLog(); strings.Count(log, want) != 1 {
			t.Errorf("the log does not say %q once: %s", want, log)
		}
	}
	remove()
	a.becomes("master", 5*time.Second)
	l.within(time.Second, "an answer again", func() bool { return client.ping("192.168.1.10") })

	// Nobody answers ARP there: then nobody is to be master.
	a.set("ipv4/conf/all/arp_ignore", "8")
	a.becomes("invalid", 3*time.Second)
	a.set("ipv4/conf/all/arp_ignore", "0")
	a.becomes("master", 5*time.Second)
}
