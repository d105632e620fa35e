package regress

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootScript returns the boot script as it is installed, but for the paths that it must not use in a test.
func bootScript(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile("../rc.d/carp")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for old, to := range map[string]string{
		"prefix=@PREFIX@\n": "prefix=" + dir + "\n", "\nrun=/run\n": "\nrun=" + dir + "\n", "/etc/default/carp ]": dir + "/default ]", ". /etc/default/carp": ". " + dir + "/default",
		"logfile=/var/log/carp.log": "logfile=" + dir + "/log", "-S /dev/log": "-S " + dir + "/no-syslogd",
	} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("%q stands %d times in the boot script", old, strings.Count(text, old))
		}
		text = strings.Replace(text, old, to, 1)
	}
	path := filepath.Join(dir, "carp")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin, filepath.Join(dir, "sbin")); err != nil {
		t.Fatal(err)
	}
	return path
}

// The boot script says and exits with what the LSB demands, and a pid file alone convinces it of nothing.
func TestBootScript(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.machine("a")
	dir := filepath.Join(l.dir, "boot")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script, pidfile := bootScript(t, dir), filepath.Join(dir, "carp.pid")
	pid := func() int {
		data, _ := os.ReadFile(pidfile)
		n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		return n
	}
	says := func(word string, code int, out, errs string) {
		t.Helper()
		if r := m.exec("sh", script, word); r.code != code || r.out != out || r.err != errs {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("%s: %+v\nwant %+v\nlog:\n%s", word, r, result{out, errs, code}, log)
		}
	}
	t.Cleanup(func() { m.exec("sh", script, "stop") })

	usage := fmt.Sprintf("usage: %s start|stop|restart|reload|force-reload|status\n", script)
	says("status", 3, "carp: kernelsim does not run\n", "")
	says("stop", 0, "carp: kernelsim does not run\n", "")
	says("reload", 7, "", "carp: kernelsim does not run\n")
	says("maybe", 2, "", usage)
	if err := os.WriteFile(filepath.Join(dir, "default"), []byte("KERNELSIM_OPTS=-v\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	says("start", 0, "carp: kernelsim started\n", "")
	first := pid()
	says("start", 0, fmt.Sprintf("carp: kernelsim runs already, as process %d\n", first), "")
	says("status", 0, "carp: kernelsim runs\n", "")
	if args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", first)); !strings.Contains(string(args), "\x00-v\x00") {
		t.Errorf("started as %q", args)
	}
	m.must("ifconfig-carp carp0 vhid 1 192.168.1.10")
	engine := childrenOf(first)
	says("force-reload", 0, "carp: kernelsim is to go over to the program that is installed now; the log tells whether it has\n", "")
	l.within(5*time.Second, "another engine serves", func() bool {
		now := childrenOf(first)
		return len(now) == 1 && now[0] != engine[0] && m.do("sysctl-carp -n net.inet.carp.log").err == ""
	})
	if pid() != first {
		t.Error("another process after a reload")
	}
	says("restart", 0, "carp: kernelsim stopped\ncarp: kernelsim started\n", "")
	if pid() == first {
		t.Error("the same process after a restart")
	}
	m.becomes("backup", 5*time.Second)

	for _, p := range append(childrenOf(pid()), pid()) { // the machine's out-of-memory killer, say
		syscall.Kill(p, syscall.SIGKILL)
	}
	l.within(5*time.Second, "kernelsim is gone", func() bool { return m.status("carp0") == "" })
	says("status", 1, fmt.Sprintf("carp: kernelsim does not run, but %s was left\n", pidfile), "")
	says("start", 0, "carp: kernelsim started\n", "")
	m.becomes("backup", 5*time.Second)
	if err := os.WriteFile(pidfile, []byte(fmt.Sprintln(os.Getpid())), 0o644); err != nil { // somebody else has the number
		t.Fatal(err)
	}
	by := fmt.Sprintf("carp: the kernelsim in %s was not started by this script, and stays\n", m.state)
	server := m.supervisor()
	says("stop", 1, "", by)
	says("start", 1, "", fmt.Sprintf("carp: a kernelsim runs already in %s that this script did not start\n", m.state))
	if err := os.WriteFile(pidfile, []byte(fmt.Sprintln(server)), 0o644); err != nil {
		t.Fatal(err)
	}
	says("stop", 0, "carp: kernelsim stopped\n", "")
	says("status", 3, "carp: kernelsim does not run\n", "")
	if out := l.ip(m.ns, "link"); strings.Contains(out, "carp0") {
		t.Errorf("a link is left:\n%s", out)
	}
}

// supervisor finds the process that holds the lock and is nobody's engine.
func (m *machine) supervisor() int {
	m.lab.t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range procs {
		pid, _ := strconv.Atoi(strings.Split(fd, "/")[2])
		if to, _ := os.Readlink(fd); to == filepath.Join(m.state, "lock") && len(childrenOf(pid)) > 0 {
			return pid
		}
	}
	m.lab.t.Fatalf("nobody holds the lock of %s", m.state)
	return 0
}
