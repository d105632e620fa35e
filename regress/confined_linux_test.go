package regress

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threads returns the numbers of a process's threads.
func threads(t *testing.T, pid int) (tids []int) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		tids = append(tids, tid)
	}
	return tids
}

// privileges returns how many of a process's threads have which privileges, and how many threads it has.
func privileges(t *testing.T, pid int) (found map[string]int, n int) {
	t.Helper()
	found = map[string]int{}
	lines := regexp.MustCompile(`(?m)^(Cap\w+|NoNewPrivs):\t.*$`)
	for _, tid := range threads(t, pid) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, line := range lines.FindAllString(string(data), -1) {
			found[line]++
		}
	}
	return found, n
}

// locks checks whether both processes have all of their memory locked, or nothing of it.
func (m *machine) locks(all bool) {
	m.lab.t.Helper()
	for _, pid := range []int{m.sim.Process.Pid, m.engine()} {
		var locked, size int
		m.lab.within(5*time.Second, fmt.Sprintf("its memory is locked: %t", all), func() bool {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				m.lab.t.Fatal(err)
			}
			for name, to := range map[string]*int{"VmLck": &locked, "VmSize": &size} {
				_, text, _ := strings.Cut(string(data), "\n"+name+":")
				if _, err := fmt.Sscan(text, to); err != nil {
					m.lab.t.Fatal(err)
				}
			}
			return all && locked > size/2 || !all && locked == 0 // what the kernel itself has mapped is not
		})
	}
}

// The engine process has CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, the supervisor CAP_SETPCAP and CAP_SYS_NICE too, on each thread and in each
// set; and all that an engine does in its life it can do so, without the gate also. Where their memory can be locked it is.
func TestConfined(t *testing.T) {
	t.Parallel()
	var ours uint64
	data, err := os.ReadFile("/proc/self/status")
	if err == nil {
		_, text, _ := strings.Cut(string(data), "\nCapPrm:\t")
		_, err = fmt.Sscanf(text, "%x", &ours)
	}
	if err != nil {
		t.Fatal(err)
	}
	engine := ours & (1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_BPF)
	supervisor := ours & (engine | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_SYS_NICE)
	for _, args := range [][]string{{"-v"}, {"-v", "-g"}} {
		l := newLab(t)
		a := l.host("a", args...)
		check := func(who string, pid int, caps uint64, cells int) { // of whose threads engines are started
			t.Helper()
			found, threads := privileges(t, pid)
			want := map[string]int{"NoNewPrivs:\t1": threads}
			for _, set := range []string{"Inh", "Prm", "Eff", "Bnd", "Amb"} {
				want[fmt.Sprintf("Cap%s:\t%016x", set, caps)] += threads - cells
				if cells > 0 {
					want[fmt.Sprintf("Cap%s:\t%016x", set, engine)] += cells
				}
			}
			if !maps.Equal(found, want) || threads < 2 {
				t.Errorf("%q: %s has %d threads with %v, want %v", args, who, threads, found, want)
			}
		}
		a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
		a.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
		a.must("ifconfig-carp carp1 vhid 2 " + fast + " pass geheim carppeer 192.168.1.9 192.168.1.11")
		a.must("ifconfig-carp carp1 group red")
		a.must("ifconfig-carp -g red carpdemote 3")
		a.must("sysctl-carp -q net.inet.carp.preempt=1")
		a.becomes("master", 5*time.Second)
		check("supervisor", a.sim.Process.Pid, supervisor, 1)
		check("engine", a.engine(), engine, 0)
		for n := 2; n < 20; n++ {
			a.must(fmt.Sprintf("ifconfig-carp carp%d vhid %d advbase 20 192.168.1.%d", n, n+1, n+10))
			a.must(fmt.Sprintf("ifconfig-carp carp%d destroy", n))
		}
		l.ip(a.ns, "link", "set", "eth0", "down")
		a.becomes("invalid", 5*time.Second)
		l.ip(a.ns, "link", "set", "eth0", "up")
		a.becomes("master", 5*time.Second)
		first := a.engine()
		syscall.Kill(first, syscall.SIGKILL)
		l.within(5*time.Second, "another engine", func() bool { pids := childrenOf(a.sim.Process.Pid); return len(pids) == 1 && pids[0] != first })
		a.becomes("master", 5*time.Second)
		check("the next engine", a.engine(), engine, 0)
		a.locks(strings.Contains(a.must("kernelsim -n"), "ok\tmemory that is not swapped out"))
		a.stop()
		if log := a.readLog(); strings.Contains(log, "denied") || strings.Contains(log, "not permitted") || strings.Contains(log, "confined") {
			t.Errorf("%q: it was kept from something:\n%s", args, log)
		}
	}
}
