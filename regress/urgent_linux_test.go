package regress

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hog keeps a processor busy.
func hog() {
	for n := uint64(1); n != 0; n += 2 { // never even
	}
}

// hogs starts so many processes that do nothing but compute, until stop.
func hogs(t *testing.T, n int) (stop func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var all []*exec.Cmd
	stop = sync.OnceFunc(func() {
		for _, c := range all {
			c.Process.Kill()
			c.Wait()
		}
	})
	t.Cleanup(stop)
	for range n {
		c := exec.Command(exe)
		c.Env = append(os.Environ(), "CARP_HOG=1")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return stop
}

// policies returns the scheduling policies of a process's threads.
func policies(t *testing.T, pid int) map[uint32]bool {
	t.Helper()
	found := map[uint32]bool{}
	for _, tid := range threads(t, pid) {
		if attr, err := unix.SchedGetAttr(tid, 0); err == nil {
			found[attr.Policy] = true
		} else if err != unix.ESRCH {
			t.Fatal(err)
		}
	}
	return found
}

// An engine that only waits for its turn, on a machine whose processors are busy with others, is not taken for one that hangs: it is let run first,
// and goes on.
func TestStarvedEngine(t *testing.T) {
	l := newLab(t)
	a := l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 1 192.168.1.10")
	a.becomes("master", 10*time.Second)
	engine := a.engine()
	stop := hogs(t, 4*runtime.NumCPU())
	for range trials(2, 10) {
		for _, tid := range threads(t, engine) {
			idle := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
			if err := unix.SchedSetAttr(tid, idle, 0); err != nil && err != unix.ESRCH {
				t.Fatal(err)
			}
		}
		l.within(15*time.Second, "it runs as others do again", func() bool {
			found := policies(t, engine) // a thread that was made meanwhile has the policy of the one that made it
			return found[unix.SCHED_NORMAL] && !found[unix.SCHED_RR] && !found[unix.SCHED_FIFO]
		})
		time.Sleep(500 * time.Millisecond)
	}
	stop()
	if log := a.readLog(); strings.Contains(log, "hangs") || a.engine() != engine {
		t.Errorf("it was killed: %s", log)
	}
	a.must("ifconfig-carp -w master -t 10 carp0")
}

// With an interval of 1/256 s, on a machine whose processors are busy with twice as many others, no lease runs out: the engine goes first while a
// carp has a short interval. Where it may not, it says so and goes on.
func TestUrgent(t *testing.T) {
	l := newLab(t)
	ranOut := map[bool]int{}
	for _, may := range []bool{true, false} {
		client, a := l.machine(fmt.Sprint("client-", may)), l.machine(fmt.Sprint("host-", may))
		if !may {
			a.wrap = []string{"setpriv", "--bounding-set", "-sys_nice"}
		}
		c := client.capture()
		a.start("-v")
		t.Cleanup(a.crash)
		a.serves()
		goesFirst := func(when string, want bool) {
			t.Helper()
			policy := map[bool]uint32{true: unix.SCHED_RR, false: unix.SCHED_NORMAL}[want]
			l.within(2*time.Second, fmt.Sprintf("the engine has policy %d %s", policy, when), func() bool {
				found := policies(t, a.engine())
				return len(found) == 1 && found[policy]
			})
		}
		goesFirst("at the start", false)
		a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 1 192.168.1.10")
		a.becomes("master", 5*time.Second)
		goesFirst("with a short interval", may)
		stop := hogs(t, 2*runtime.NumCPU())
		time.Sleep(200 * time.Millisecond)
		from := c.count()
		time.Sleep(time.Duration(trials(3, 10)) * time.Second)
		stop()
		const interval = time.Second / 256
		var longest time.Duration
		adverts := c.since(from, advertFrom(a.addr))
		for n := range adverts[1:] {
			gap := adverts[n+1].at.Sub(adverts[n].at)
			longest = max(longest, gap)
			if gap > 2*interval {
				ranOut[may]++
			}
		}
		t.Logf("priority %t: %d adverts, the lease ran out %d times, the longest gap was %.1f ms", may, len(adverts), ranOut[may], ms(longest))
		const says = "kernelsim: no real-time priority for the engine: operation not permitted\n"
		if got := strings.Contains(a.readLog(), says); got == may {
			t.Errorf("priority %t: the log says: %s", may, a.readLog())
		}
		a.must("ifconfig-carp carp0 advbase 1")
		goesFirst("with a long interval", false)
		a.stop()
	}
	if ranOut[true] > 2 && ranOut[true]*10 > ranOut[false] { // the machine itself may stand still
		t.Errorf("a lease ran out %d times, %d times without priority", ranOut[true], ranOut[false])
	}
}
