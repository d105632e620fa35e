package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// treeOf lists the files in a directory, with their contents and when they were written.
func treeOf(t *testing.T, d Dir) (all []string) {
	t.Helper()
	err := filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		info, _ := e.Info()
		all = append(all, fmt.Sprint(path, info.Mode(), info.ModTime(), contentOf(path)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A check makes nothing, locks or not, and leaves to the next change what another boot has left.
func TestCheckLeavesNoTrace(t *testing.T) {
	d := newDir(t)
	if _, err := d.Change(words(t, "carp0", "create")); err != nil {
		t.Fatal(err)
	}
	check := func(errno config.Errno) {
		t.Helper()
		before := treeOf(t, d)
		a, err := d.Check(words(t, "carp0", "create"))
		if config.Errno(0) == errno && err != nil || errno != 0 && !errors.Is(err, errno) || a.Remark != NotRunning {
			t.Errorf("%+v, %v", a, err)
		}
		if after := treeOf(t, d); !slices.Equal(before, after) {
			t.Errorf("before:\n%q\nafter:\n%q", before, after)
		}
	}
	check(config.EEXIST)
	for _, path := range []string{d.edit(), d.lock()} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	check(config.EEXIST)
	if err := os.Remove(d.version()); err != nil {
		t.Fatal(err)
	}
	check(config.EEXIST)
	if err := os.WriteFile(d.version(), []byte("carp-state 1\nboot another\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	check(0)
	lock, err := d.tryLock()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := d.changeOffline(verbCheck, words(t, "carp0", "create")); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("somebody has the lock: %v", err)
	}
}

func TestOffline(t *testing.T) {
	d := newDir(t)
	if all, remark, err := d.Interfaces(); err != nil || remark != NotRunning || len(all) != 0 {
		t.Errorf("of nothing: %v, %q, %v", all, remark, err)
	}
	_, remark, err := d.Interface("carp0")
	if refused(t, err, config.ENXIO); remark != NotRunning {
		t.Errorf("%q", remark)
	}
	if a, err := d.Check(words(t, "carp0", "create")); err != nil || a.Remark != NotRunning {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := os.Stat(string(d)); err == nil {
		t.Error("a check makes the directory")
	}
	for _, name := range []string{"carp7", "carp0"} {
		a, err := d.Change(words(t, name, "need", "vhid 1", `pass "secret"`, "carpdev em"+name, "alias 10.0.0.1/24"))
		if err != nil || a.Remark != NotRunning {
			t.Errorf("%+v, %v", a, err)
		}
	}
	all, remark, err := d.Interfaces()
	if err != nil || remark != NotRunning || len(all) != 2 || all[0].Name != "carp7" || !all[0].Up || all[0].State() != "INIT" {
		t.Errorf("%+v, %q, %v", all, remark, err)
	}
	if text := contentOf(d.status("carp0")); strings.Contains(text, "secret") || modeOf(t, d.status("carp0")) != 0o644 {
		t.Errorf("%q", text)
	}
	if text := contentOf(d.want("carp0")); !strings.Contains(text, "secret") || modeOf(t, d.want("carp0")) != 0o600 {
		t.Errorf("%q", text)
	}
	_, err = d.Change(words(t, "carp0", "need", "up", "-alias 10.0.0.9/32"))
	if e := refused(t, err, config.EADDRNOTAVAIL); e.Clause != 2 {
		t.Errorf("clause %d", e.Clause)
	}
	if _, err := d.Change(words(t, "carp0", "destroy")); err != nil {
		t.Error(err)
	}
	if contentOf(d.want("carp0")) != "(none)" || contentOf(d.status("carp0")) != "(none)" {
		t.Error("destroyed, and there is something left")
	}

	set := config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: "preempt", N: 1}}}
	if a, err := d.Change(set); err != nil || a.Old != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if s, remark, err := d.Sysctl(); err != nil || remark != NotRunning || s.Preempt != 1 {
		t.Errorf("%+v, %q, %v", s, remark, err)
	}
	demote := config.Change{Kind: config.ForGroup, Name: "carp", ID: "same", Clauses: []config.Clause{{Word: config.Demote, N: 5}}}
	for range 2 {
		if _, err := d.Change(demote); err != nil {
			t.Error(err)
		}
	}
	if g, _, err := d.Groups(); err != nil || g["carp"] != 5 {
		t.Errorf("%v, %v", g, err)
	}
	_, err = d.WaitState("carp7", []string{"INIT"}, time.Second)
	refused(t, err, config.EAGAIN)

	_, l := start(t, d)
	if l.machine.Sysctl.Preempt != 1 || l.machine.Groups["carp"].Demotion() != 5 || l.machine.Interfaces["carp7"].Pass.Reveal() != "secret" {
		t.Errorf("%+v", l.machine)
	}
}

func TestOfflineNameIsNoPath(t *testing.T) {
	d := prepared(t)
	if _, err := d.Change(words(t, "../version", "need")); err != nil {
		t.Error(err) // ifconfig's implicit creation fails silently
	}
	_, _, err := d.Interface("../version")
	refused(t, err, config.ENXIO)
	if contentOf(d.version()) == "(none)" {
		t.Error("the name was taken for a path")
	}
}

func TestOfflineIsForRoot(t *testing.T) {
	d := newDir(t)
	if _, err := d.Change(words(t, "carp0", "create")); err != nil {
		t.Fatal(err)
	}
	set(t, &isRoot, func() bool { return false })
	for _, c := range []struct {
		name   string
		lines  []string
		errno  config.Errno
		clause int
	}{
		{"carp0", []string{"need", "vhid 1"}, config.EPERM, 1},
		{"carp1", []string{"need", "vhid 1"}, config.ENXIO, 1},
		{"carp1", []string{"create"}, config.EPERM, 0},
	} {
		a, err := d.Change(words(t, c.name, c.lines...))
		if e := refused(t, err, c.errno); e.Clause != c.clause || a.Remark != NotRunning {
			t.Errorf("%s %q: clause %d, %+v", c.name, c.lines, e.Clause, a)
		}
	}
	_, err := Dir(t.TempDir() + "/none").Change(words(t, "carp0", "create"))
	refused(t, err, config.EPERM)
}

// TestOfflineAsAnotherUser reads what really is there with another user's eyes.
func TestOfflineAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	d := publicDir(t)
	if _, err := d.Change(words(t, "carp0", "create")); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		if all, remark, err := d.Interfaces(); err != nil || remark != NotRunning || len(all) != 1 {
			t.Errorf("%v, %q, %v", all, remark, err)
		}
		for _, path := range []string{d.lock(), d.edit(), d.want("carp0"), d.path("want")} {
			if f, err := os.Open(path); err == nil {
				f.Close()
				t.Errorf("%s can be opened", path)
			}
		}
	})
	_, l := start(t, d)
	asNobody(t, func() {
		if all, remark, err := d.Interfaces(); err != nil || remark != "" || len(all) != 1 {
			t.Errorf("%v, %q, %v", all, remark, err)
		}
		_, err := d.Change(words(t, "carp0", "up"))
		refused(t, err, config.EPERM)
	})
	if l.gen != 0 {
		t.Error("nobody changed something")
	}
}

// publicDir is in a place where others may look.
func publicDir(t *testing.T) Dir {
	t.Helper()
	top, err := os.MkdirTemp("", "statedir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	return Dir(top + "/carp")
}

// asNobody calls f with the effective user of nobody, in all threads.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if err := syscall.Setreuid(-1, 65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setreuid(-1, 0); err != nil {
			panic(err)
		}
	}()
	f()
}

func TestNeverTheLastMaster(t *testing.T) {
	d := prepared(t)
	os.WriteFile(d.status("carp0"), fullStatus.Format(), 0o644) // as kill -9 leaves it
	st, remark, err := d.Interface("carp0")
	if err != nil || remark != NotRunning || st.State() != "INIT" || st.Running || !reflect.DeepEqual(st, fullStatus.Idle()) {
		t.Errorf("%+v, %q, %v", st, remark, err)
	}
	var stats config.Stats
	stats[config.Preempt] = 7
	os.WriteFile(d.status("stats"), stats.Format(), 0o644)
	if got, remark, err := d.Stats(); err != nil || remark != NotRunning || got != (config.Stats{}) {
		t.Errorf("%v, %q, %v", got, remark, err)
	}
	os.WriteFile(d.status("stats"), FormatStats(stats, map[string]config.Stats{"carp0": stats}), 0o644)
	if got, remark, err := d.CarpStats(); err != nil || remark != NotRunning || len(got) != 0 {
		t.Errorf("%v, %q, %v", got, remark, err)
	}
}

func TestNoAnswer(t *testing.T) {
	set(t, &displayPatience, 50*time.Millisecond)
	set(t, &changePatience, 50*time.Millisecond)
	d := newDir(t)
	held, err := Acquire(d)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	os.WriteFile(d.status("carp0"), fullStatus.Format(), 0o644)
	st, remark, err := d.Interface("carp0")
	if err != nil || remark != NoAnswer || st.State() != "INIT" {
		t.Errorf("%+v, %q, %v", st, remark, err)
	}
	if all, remark, err := d.Interfaces(); err != nil || remark != NoAnswer || len(all) != 1 {
		t.Errorf("%+v, %q, %v", all, remark, err)
	}
	_, err = d.Change(words(t, "carp0", "up"))
	refused(t, err, config.ETIMEDOUT)
}

func TestDamagedStatus(t *testing.T) {
	d := prepared(t)
	good := StatusOf(config.NewInterface("carp1", 0))
	os.WriteFile(d.status("carp1"), good.Format(), 0o644)
	for what, text := range map[string]string{
		"empty": "", "torn": string(fullStatus.Format()[:60]), "newer": "carp-status 2\nname carp0\n", "zeros": strings.Repeat("\x00", 100),
	} {
		os.WriteFile(d.status("carp0"), []byte(text), 0o644)
		all, _, err := d.Interfaces()
		if err == nil || !strings.Contains(err.Error(), d.status("carp0")) || len(all) != 1 || all[0].Name != "carp1" {
			t.Errorf("%s: %v, %v", what, all, err)
		}
	}
}

func TestOfflineChangeOfADamagedFile(t *testing.T) {
	d := prepared(t)
	os.WriteFile(d.want("carp0"), []byte("carp-want 1\npass \"secret"), 0o600)
	_, err := d.Change(words(t, "carp0", "need", "vhid 1"))
	if e := refused(t, err, config.EIO); !strings.Contains(e.Msg, d.want("carp0")) || strings.Contains(e.Msg, "secret") {
		t.Errorf("%q", e.Msg)
	}
	if _, err := d.Change(words(t, "carp1", "need", "vhid 1")); err != nil {
		t.Errorf("another one: %v", err)
	}
	if got := contentOf(d.want("carp0")); !strings.Contains(got, "secret") {
		t.Errorf("%q", got)
	}
}

func TestOfflineOnAFullDisk(t *testing.T) {
	disk := fullDisk(t)
	d := Dir(disk + "/carp")
	if _, err := d.Change(words(t, "carp0", "create")); err != nil {
		t.Fatal(err)
	}
	before := contentOf(d.want("carp0"))
	os.WriteFile(disk+"/ballast", make([]byte, 1<<20), 0o600)
	_, err := d.Change(words(t, "carp0", "vhid 1"))
	refused(t, err, config.ENOSPC)
	if got := contentOf(d.want("carp0")); got != before {
		t.Errorf("%q", got)
	}
}

func TestErrnoOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want config.Errno
	}{
		{nil, config.OK},
		{unix.ENOSPC, config.ENOSPC},
		{unix.ENOBUFS, config.ENOMEM},
		{unix.EACCES, config.EPERM},
		{unix.EOPNOTSUPP, config.EOPNOTSUPP},
		{unix.ENETDOWN, config.EIO},
		{&net.OpError{Op: "x", Err: os.NewSyscallError("y", unix.EADDRINUSE)}, config.EADDRINUSE},
		{fmt.Errorf("x: %w", &config.Error{Errno: config.ENXIO}), config.ENXIO},
		{config.EBUSY, config.EBUSY},
		{os.ErrDeadlineExceeded, config.ETIMEDOUT},
		{fmt.Errorf("odd"), config.EIO},
	} {
		if got := ErrnoOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
