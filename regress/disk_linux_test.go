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

// A diskFault is what can be wrong with the file system of a state directory.
type diskFault struct {
	name  string
	does  func(m *machine)
	undo  func(m *machine)
	errno string // what a command that cannot write is told
}

// inItsView runs a command in the mount namespace of the machine's kernelsim.
func (m *machine) inItsView(args ...string) {
	m.lab.t.Helper()
	m.lab.run(append([]string{"nsenter", "-t", strconv.Itoa(m.sim.Process.Pid), "-m", "--"}, args...)...)
}

func diskFaults() []diskFault {
	fill := func(m *machine) string { return filepath.Join(m.state, "fill") }
	return []diskFault{
		{"full", func(m *machine) {
			f, err := os.Create(fill(m))
			if err != nil {
				m.lab.t.Fatal(err)
			}
			defer f.Close()
			for block := make([]byte, 4096); err == nil; {
				_, err = f.Write(block)
			}
			if err := err.(*os.PathError).Err; err != syscall.ENOSPC {
				m.lab.t.Fatal(err)
			}
		}, func(m *machine) { os.Remove(fill(m)) }, "No space left on device"},
		{"read-only", func(m *machine) { // for who opens a file: the files that are open keep all of it from becoming so
			m.inItsView("mount", "--bind", m.state, m.state)
			m.inItsView("mount", "-o", "remount,bind,ro", m.state)
		}, func(m *machine) { m.inItsView("umount", m.state) }, "Read-only file system"},
		{"without inodes", func(m *machine) {
			var st syscall.Statfs_t
			if err := syscall.Statfs(m.state, &st); err != nil {
				m.lab.t.Fatal(err)
			}
			m.lab.run("mount", "-o", fmt.Sprintf("remount,nr_inodes=%d", st.Files-st.Ffree), m.state)
		}, func(m *machine) { m.lab.run("mount", "-o", "remount,nr_inodes=1000", m.state) }, "No space left on device"},
	}
}

// read returns a file of the state directory.
func (m *machine) read(name string) string {
	m.lab.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.state, name))
	if err != nil {
		m.lab.t.Fatal(err)
	}
	return string(data)
}

// A state directory that cannot be written moves no address: commands are told why, what is configured stays whole and in force, and when there is
// room again all goes on, what is shown included.
func TestStateDirectoryFails(t *testing.T) {
	t.Parallel()
	for _, fault := range diskFaults() {
		l := newLab(t)
		client, a := l.machine("client"), l.machine("a")
		if err := os.Mkdir(a.state, 0o755); err != nil {
			t.Fatal(err)
		}
		l.run("mount", "-t", "tmpfs", "-o", "size=512k,nr_inodes=1000,mode=755", "tmpfs", a.state)
		t.Cleanup(func() { l.run("umount", a.state) })
		a.start()
		t.Cleanup(a.crash)
		a.serves()
		a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 40 pass geheim 192.168.1.10")
		a.must("sysctl-carp -q net.inet.carp.preempt=0")
		a.becomes("master", 5*time.Second)
		want := []string{"want/carp0", "want/sysctl"}
		for range trials(3, 20) {
			var before []string
			for _, name := range want {
				before = append(before, a.read(name))
			}
			events := strings.Count(a.read("events"), "\n")
			fault.does(a)
			for _, line := range []string{
				"ifconfig-carp carp0 advskew 41", "ifconfig-carp carp0 alias 192.168.1.11", "ifconfig-carp carp0 -alias 192.168.1.10",
				"ifconfig-carp carp9 vhid 9 192.168.1.9", "ifconfig-carp -g carp carpdemote 5", "sysctl-carp net.inet.carp.preempt=1",
			} {
				if r := a.do(line); r.code != 1 || !strings.HasSuffix(r.err, ": "+fault.errno+"\n") {
					t.Errorf("%s: %s: %+v", fault.name, line, r)
				}
			}
			if out := a.must("ifconfig-carp carp0"); !strings.Contains(out, "advskew 40\n") || !strings.Contains(out, "status: master") || strings.Contains(out, "192.168.1.11") {
				t.Errorf("%s: in force is %s", fault.name, out)
			}
			if r := client.do("ping -n -c 5 -i 0.05 -W 1 192.168.1.10"); !strings.Contains(r.out, " 0% packet loss") {
				t.Errorf("%s: %s", fault.name, r.out)
			}
			if r := client.do("ping -n -c 1 -W 0.2 192.168.1.11"); r.code == 0 {
				t.Errorf("%s: an address that was refused answers", fault.name)
			}
			// The protocol goes on, though nobody can write down what happens.
			l.ip(a.ns, "link", "set", "eth0", "down")
			a.becomes("invalid", 5*time.Second)
			l.ip(a.ns, "link", "set", "eth0", "up")
			a.becomes("master", 5*time.Second)
			for n, name := range want {
				if now := a.read(name); now != before[n] {
					t.Errorf("%s: %s is now:\n%s", fault.name, name, now)
				}
			}
			if left, _ := filepath.Glob(a.state + "/want/*"); len(left) != len(want) {
				t.Errorf("%s: want/ holds %q", fault.name, left)
			}

			fault.undo(a)
			l.within(5*time.Second, fault.name+": status/carp0 says MASTER", func() bool {
				return strings.Contains(a.read("status/carp0"), "MASTER")
			})
			if left, _ := filepath.Glob(a.state + "/*/.new.*"); len(left) != 0 {
				t.Errorf("%s: left behind: %q", fault.name, left)
			}
			a.must("ifconfig-carp carp0 state backup")
			a.becomes("master", 5*time.Second)
			lines := strings.Split(strings.TrimSuffix(a.read("events"), "\n"), "\n")
			if len(lines) <= events+1 || !strings.Contains(lines[len(lines)-1], " BACKUP MASTER ") {
				t.Errorf("%s: events, of which there were %d:\n%s", fault.name, events, strings.Join(lines, "\n"))
			}
			last := 0
			for _, line := range lines {
				number, rest, _ := strings.Cut(line, " ")
				n, err := strconv.Atoi(number)
				if err != nil || n <= last || strings.Count(rest, " ") < 4 {
					t.Errorf("%s: after event %d: %q", fault.name, last, line)
				}
				last = n
			}
			alive, err := os.Stat(filepath.Join(a.state, "status", "alive"))
			if err != nil || time.Since(alive.ModTime()) > 3*time.Second {
				t.Errorf("%s: status/alive: %v", fault.name, err)
			}
		}
		a.stop()
	}
}
