package regress

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cpu returns what a process has used, in clock ticks of 10 ms.
func cpu(t *testing.T, pid int) (ticks int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	for _, f := range strings.Fields(rest)[11:13] { // utime, stime
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return ticks
}

// Hundreds of interfaces come and go beside a master whose adverts are 98 ms apart: it stays one, and most of the time is left to others.
func TestInterfaceStorm(t *testing.T) {
	l := newLab(t)
	a := l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 " + fast + " 192.168.1.10")
	a.becomes("master", 5*time.Second)
	n := trials(60, 500)
	var up, down strings.Builder
	for i := range n {
		fmt.Fprintf(&up, "link add s%d type veth peer name r%d\nlink set s%d up\nlink set r%d up\n", i, i, i, i)
		fmt.Fprintf(&down, "link del s%d\n", i)
	}
	pid := a.engine()
	before, start := cpu(t, pid), time.Now()
	for _, script := range []string{up.String(), down.String()} {
		c := a.command("ip", "-batch", "-")
		c.Stdin = strings.NewReader(script)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	took := time.Since(start)
	time.Sleep(time.Second)
	used := time.Duration(cpu(t, pid)-before) * 10 * time.Millisecond
	t.Logf("%d pairs came and went in %v: %v of the engine's time, %v for an interface", n, took.Round(time.Millisecond), used, used/time.Duration(2*n))
	if log := a.readLog(); strings.Count(log, "transition") != 1 {
		t.Errorf("transitions: %s", log)
	}
	if each := used / time.Duration(2*n); each > 10*time.Millisecond {
		t.Errorf("%v for each interface", each)
	}
}
