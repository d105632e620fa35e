package gate

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// long asks for the full number of trials.
var long = os.Getenv("CARP_REGRESS") == "long"

// What the gate costs a host that forwards from its carpdev to a third interface, compared with programs that do nothing on the same hooks: those are the
// price of having hooks at all.
func TestForwarding(t *testing.T) {
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	l.gate.Renew(slot, now(t)+600*second)
	l.ip(l.host, "neigh replace 10.0.0.77 lladdr 02:00:00:00:00:77 dev eth1 nud permanent")
	nothing := load1(t, asm.Instructions{asm.Mov.Imm(asm.R0, actUnspec), asm.Return()})
	devs := []string{"eth0", "eth1", "carp0"}
	set := map[string]func(){
		"none": func() { l.must(l.gate.DetachAll()) },
		"gate": func() { l.must(l.gate.DetachAll()); l.attachAgain(devs) },
		"empty": func() {
			l.must(l.gate.DetachAll())
			for _, dev := range devs {
				i := index(t, dev)
				l.must(l.gate.netlink.QdiscAdd(clsact(i)))
				for _, d := range directions {
					f := &netlink.BpfFilter{
						FilterAttrs: netlink.FilterAttrs{LinkIndex: i, Parent: d.parent, Priority: preference, Protocol: unix.ETH_P_ALL},
						Fd:          nothing.FD(), Name: nameQdisc + "/test", DirectAction: true, // DetachAll takes it away
					}
					l.must(l.gate.netlink.FilterAdd(f))
				}
			}
		},
	}
	rounds, length, limit := 12, 25*time.Millisecond, 0.6 // of a machine that does much else
	if long {
		rounds, length, limit = 200, 100*time.Millisecond, 0.97
	}
	for _, way := range []struct{ what, mac string }{{"the host's MAC", hostMAC}, {"the virtual MAC", virtualMAC}} {
		var none, empty, gate, emptyCPU, gateCPU []float64 // all but the first as a part of what the same round has seen
		l.in(l.host, func() {
			for round := range rounds {
				order, rate, cpu := []string{"none", "empty", "gate"}, map[string]float64{}, map[string]float64{}
				for i := range order { // each comes first, second and third in turn
					what := order[(i+round)%len(order)]
					set[what]()
					rate[what], cpu[what] = l.forwarded(way.mac, length)
				}
				none = append(none, rate["none"])
				empty, emptyCPU = append(empty, rate["empty"]/rate["none"]), append(emptyCPU, cpu["empty"]/cpu["none"])
				gate, gateCPU = append(gate, rate["gate"]/rate["empty"]), append(gateCPU, cpu["gate"]/cpu["empty"])
			}
		})
		t.Logf("by %s, medians of %d rounds: %.0f packets/s without hooks; empty programs %.3f of that; the gate %.3f of empty programs",
			way.what, rounds, median(none), median(empty), median(gate))
		t.Logf("by %s, for each second of CPU: empty programs %.3f of none; the gate %.3f of empty programs", way.what, median(emptyCPU), median(gateCPU))
		if median(gate) < limit {
			t.Errorf("by %s: the gate lets %.3f through of what empty programs do", way.what, median(gate))
		}
	}
}

func load1(t *testing.T, code asm.Instructions) *ebpf.Program {
	t.Helper()
	p, err := load("carp_test", code)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func (l *lab) attachAgain(devs []string) {
	l.t.Helper()
	for _, dev := range devs {
		if dev == "carp0" {
			l.must(l.gate.AttachCarp(index(l.t, dev), dev))
		} else {
			l.must(l.gate.Attach(index(l.t, dev), 0))
		}
	}
}

// forwarded returns how many packets get from the client to far in a second, and in a second of the CPU of the sender. It forwards itself, since a veth
// pair hands a packet on at once; a kernel that counts the time of interrupts apart (CONFIG_IRQ_TIME_ACCOUNTING) does not count that as the sender's, and
// then the second figure says nothing. On a machine that does much else it is the better one.
func (l *lab) forwarded(mac string, length time.Duration) (rate, perCPU float64) {
	l.t.Helper()
	// For a MAC that far does not have: it counts the packets and throws them away.
	frame := ethernet(mac, packet4(unix.IPPROTO_UDP, "192.168.1.4", "10.0.0.77", make([]byte, 26)), unix.ETH_P_IP)
	before := l.received()
	var took, cpu time.Duration
	l.in(l.client, func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		l.must(err)
		defer unix.Close(fd)
		l.must(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1))
		to := &unix.SockaddrLinklayer{Ifindex: index(l.t, "eth0")}
		began, used := time.Now(), l.cpuTime()
		for took < length {
			for range 256 {
				unix.Sendto(fd, frame, 0, to)
			}
			took = time.Since(began)
		}
		cpu = l.cpuTime() - used
	})
	time.Sleep(5 * time.Millisecond)
	n := float64(l.received() - before)
	return n / took.Seconds(), n / cpu.Seconds()
}

// cpuTime returns how much the thread has used.
func (l *lab) cpuTime() time.Duration {
	l.t.Helper()
	var ts unix.Timespec
	l.must(unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return time.Duration(ts.Nano())
}

// received returns how many packets have come to far.
func (l *lab) received() int {
	l.t.Helper()
	var n int
	l.in(l.far, func() {
		far, err := netlink.LinkByName("eth0")
		l.must(err)
		n = int(far.Attrs().Statistics.RxPackets)
	})
	return n
}

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}

// What one packet costs in a program, as the kernel measures it: the least of several runs.
func TestCost(t *testing.T) {
	g, err := New("/test")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	slot, err := g.Add("carp0")
	if err != nil {
		t.Fatal(err)
	}
	in, err := g.progs.other(other{})
	if err != nil {
		t.Fatal(err)
	}
	link, err := g.progs.carp(false, slot)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	g.Renew(slot, now(t)+3600*second)
	frame := ethernet(hostMAC, packet4(unix.IPPROTO_UDP, "192.168.1.4", "10.0.0.77", make([]byte, 26)), unix.ETH_P_IP)
	cost := func(p *ebpf.Program) time.Duration {
		least := time.Hour
		for range 5 {
			_, each, err := p.Benchmark(frame, 200000, nil)
			if err != nil {
				t.Fatal(err)
			}
			least = min(least, each)
		}
		return least
	}
	nothing := cost(load1(t, asm.Instructions{asm.Mov.Imm(asm.R0, actUnspec), asm.Return()}))
	miss, fresh := cost(in), cost(link)
	t.Logf("an empty program %v, one for another address %v, a carp's with a fresh lease %v", nothing, miss, fresh)
	if limit := nothing + 150*time.Nanosecond; miss > limit || fresh > limit {
		t.Errorf("more than %v", limit)
	}
}

// Routing costs the same with as many virtual hosts as a network has as with one: two hosts, measured in turn.
func TestForwardingWithMany(t *testing.T) {
	one, many := newLab(t), newLab(t)
	const carps = 255
	others := func(do func(n int)) {
		for n := 1; n <= carps; n++ {
			if n != 10 { // that is carp0's vhid
				do(n)
			}
		}
	}
	others(func(n int) {
		many.carp(fmt.Sprintf("carp%d", n), fmt.Sprintf("00:00:5e:00:01:%02x", n), fmt.Sprintf("192.168.2.%d/16", n))
	})
	for _, l := range []*lab{one, many} {
		slots := []int{l.attach(vip4, vip6)}
		if l == many {
			l.in(l.host, func() {
				others(func(n int) {
					slots = append(slots, l.add(fmt.Sprintf("carp%d", n), fmt.Sprintf("192.168.2.%d", n)))
				})
			})
		}
		for _, slot := range slots {
			l.gate.Renew(slot, now(t)+600*second)
		}
		l.ip(l.host, "neigh replace 10.0.0.77 lladdr 02:00:00:00:00:77 dev eth1 nud permanent")
	}
	rounds, length, limit := 16, 25*time.Millisecond, 0.7 // of a machine that does much else
	if long {
		rounds, length, limit = 200, 100*time.Millisecond, 0.95
	}
	for _, way := range []struct{ what, mac string }{{"the host's MAC", hostMAC}, {"the virtual MAC", virtualMAC}} {
		var rates, perCPU [2][]float64
		for round := range rounds {
			for i := range 2 {
				which := (i + round) % 2 // each comes first in turn
				rate, cpu := []*lab{one, many}[which].forwarded(way.mac, length)
				rates[which], perCPU[which] = append(rates[which], rate), append(perCPU[which], cpu)
			}
		}
		wall, cpu := median(rates[1])/median(rates[0]), median(perCPU[1])/median(perCPU[0])
		t.Logf("by %s, medians of %d rounds: %.0f packets/s with one virtual host, %.3f of that with %d; for each second of CPU %.3f", way.what, rounds,
			median(rates[0]), wall, carps, cpu)
		if max(wall, cpu) < limit {
			t.Errorf("by %s: with %d virtual hosts %.3f of the packets, %.3f for each second of CPU", way.what, carps, wall, cpu)
		}
	}
}
