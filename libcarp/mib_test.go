package libcarp

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A kernel holds the variables behind a socket. It takes its client for a user who may set something, or not.
type kernel struct {
	conf   *config.Machine
	server *statedir.Server
	nobody bool
}

func (k *kernel) Change(r statedir.Request) statedir.Reply {
	if k.nobody {
		return statedir.Reply{Err: k.conf.Refuse(r.Change, nil)}
	}
	plan, err := k.conf.Plan(r.Change, nil)
	if err == nil && !r.Check {
		k.conf.Commit(plan)
		k.server.PublishSysctl(k.conf.Sysctl)
	}
	return statedir.Reply{Err: err, Old: plan.Old}
}

func serve(t *testing.T) (*Conn, *kernel) {
	dir, err := os.MkdirTemp("", "carp") // not t.TempDir: the name is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	held, err := statedir.Acquire(statedir.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{conf: config.NewMachine()}
	k.server = statedir.NewServer(held.Listener, k)
	k.server.Start()
	t.Cleanup(func() { k.server.Close(); held.Close() })
	return Open(dir), k
}

func number(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

func TestSysctlMIB(t *testing.T) {
	c, k := serve(t)
	for n, want := range map[int]int32{1: 1, 2: 0, 3: 2} {
		old := []byte{9, 9, 9, 9, 9}
		size, err := c.SysctlMIB([]int{4, 2, 112, n}, old, nil)
		if err != nil || size != 4 || string(old) != string(append(number(want), 9)) {
			t.Errorf("%d: %d, %v, %v", n, size, old, err)
		}
	}
	old := make([]byte, 4)
	if size, err := c.SysctlMIB([]int{4, 2, 112, 3}, old, number(-5)); err != nil || size != 4 || string(old) != string(number(2)) {
		t.Errorf("%d, %v, %v", size, old, err)
	}
	if k.conf.Sysctl.Log != -5 {
		t.Error(k.conf.Sysctl.Log)
	}
	if size, err := c.SysctlMIB([]int{4, 2, 112, 3}, nil, nil); err != nil || size != 4 {
		t.Errorf("%d, %v", size, err)
	}
	if size, err := c.SysctlMIB([]int{4, 2, 112, 2}, nil, number(1)); err != nil || size != 4 || k.conf.Sysctl.Preempt != 1 {
		t.Errorf("%d, %v, %d", size, err, k.conf.Sysctl.Preempt)
	}
}

// The counters are 16 numbers in the order of struct carpstats.
func TestStatsMIB(t *testing.T) {
	c, k := serve(t)
	var s config.Stats
	for n := range s {
		s[n] = 1<<40 + uint64(n)
	}
	k.server.PublishStats(s)
	stats := []int{4, 2, 112, 4}
	if size, err := c.SysctlMIB(stats, nil, nil); err != nil || size != 128 {
		t.Errorf("%d, %v", size, err)
	}
	old := make([]byte, 200)
	if size, err := c.SysctlMIB(stats, old, nil); err != nil || size != 128 {
		t.Fatalf("%d, %v", size, err)
	}
	for n, name := range []string{"ipackets", "ipackets6", "badif", "badttl", "hdrops", "badsum", "badver", "badlen", "badauth", "badvhid",
		"badaddrs", "opackets", "opackets6", "onomem", "ostates", "preempt"} {
		if got := binary.NativeEndian.Uint64(old[8*n:]); got != s[n] || config.Counter(n).String() != name {
			t.Errorf("%s: %d, not %d", name, got, s[n])
		}
	}
	if old[128] != 0 {
		t.Error("more than 16 numbers")
	}
}

func TestSysctlMIBErrors(t *testing.T) {
	c, k := serve(t)
	long := make([]int, 13)
	for _, e := range []struct {
		mib      []int
		old, new []byte
		nobody   bool
		want     config.Errno
	}{
		{mib: []int{4}, want: config.EINVAL},
		{mib: nil, want: config.EINVAL},
		{mib: long, want: config.EINVAL},
		{mib: []int{4, 2}, want: config.EISDIR},
		{mib: []int{4, 2, 112}, want: config.EISDIR},
		{mib: []int{4, 2, 112}, new: number(1), want: config.EISDIR},
		{mib: []int{4, 2, 112}, new: number(1), nobody: true, want: config.EPERM},
		{mib: []int{4, 24}, want: config.ENOENT},
		{mib: []int{4, 2, 6}, want: config.ENOENT},
		{mib: []int{4, 2, 112, 0}, want: config.ENOENT},
		{mib: []int{4, 2, 112, 5}, want: config.ENOENT},
		{mib: []int{4, 2, 6, 1}, want: config.ENOENT},
		{mib: []int{4, 2, 6, 1, 1}, want: config.ENOENT},
		{mib: []int{4, 2, 112, 1, 1}, want: config.ENOTDIR},
		{mib: []int{4, 2, 112, 5, 1}, want: config.ENOTDIR},
		{mib: []int{4, 2, 112, 4, 1}, old: make([]byte, 128), want: config.ENOTDIR},
		{mib: []int{4, 2, 112, 5}, new: number(1), want: config.ENOENT},
		{mib: []int{4, 2, 112, 1}, old: make([]byte, 3), want: config.ENOMEM},
		{mib: []int{4, 2, 112, 1}, old: []byte{}, want: config.ENOMEM},
		{mib: []int{4, 2, 112, 1}, old: make([]byte, 3), new: number(7), want: config.ENOMEM},
		{mib: []int{4, 2, 112, 1}, new: make([]byte, 3), want: config.EINVAL},
		{mib: []int{4, 2, 112, 1}, new: make([]byte, 8), want: config.EINVAL},
		{mib: []int{4, 2, 112, 1}, new: []byte{}, want: config.EINVAL},
		{mib: []int{4, 2, 112, 4}, old: make([]byte, 127), want: config.ENOMEM},
		{mib: []int{4, 2, 112, 4}, new: make([]byte, 128), want: config.EPERM},
		{mib: []int{4, 2, 112, 1}, new: number(0), nobody: true, want: config.EPERM},
		{mib: []int{4, 2, 112, 1}, new: make([]byte, 3), nobody: true, want: config.EPERM},
		{mib: []int{4, 2, 112, 5}, new: number(0), nobody: true, want: config.EPERM},
	} {
		k.nobody = e.nobody
		size, err := c.SysctlMIB(e.mib, e.old, e.new)
		if !errors.Is(err, e.want) || size != 0 {
			t.Errorf("%v %d %d: %d, %v, not %v", e.mib, len(e.old), len(e.new), size, err, e.want)
		}
	}
	if k.conf.Sysctl != config.DefaultSysctl() {
		t.Errorf("%+v", k.conf.Sysctl)
	}
}
