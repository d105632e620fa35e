package regress

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// roles are what a host is when a script runs on it.
var roles = []string{"MASTER", "BACKUP", "INIT", "killed"}

// pairFiles is a firewall's /etc; the two of a pair differ in advskew.
func pairFiles(advskew string) map[string]string {
	return map[string]string{
		"hostname.carp0": "vhid 1 carpdev eth0 pass geheim advskew " + advskew + "\ninet 192.168.1.10 255.255.255.0\ndescription front\n",
		"hostname.carp1": "vhid 2 carpdev eth0 pass geheim advskew " + advskew + " 192.168.1.11/24\n",
		"sysctl.conf":    "net.inet.carp.preempt=1\t# fail over all or none\nnet.ipv4.ip_forward = 1\n",
		"mygate":         "192.168.1.254\n",
	}
}

// A scriptHost is a host of one role, with what brings it back there.
type scriptHost struct {
	*machine
	role    string
	advskew string
	etc     string
}

// restore makes the host what its role says, whatever a script has done to it.
func (h *scriptHost) restore() {
	h.lab.t.Helper()
	for name, text := range pairFiles(h.advskew) {
		if err := os.WriteFile(filepath.Join(h.etc, name), []byte(text), 0o640); err != nil {
			h.lab.t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(h.etc, "hooks"), 0o755); err != nil {
		h.lab.t.Fatal(err)
	}
	after := map[string]string{
		"MASTER": "ifconfig carp0 state master; ifconfig carp1 state master",
		"killed": "ifconfig carp0 state master; ifconfig carp1 state master",
		"INIT":   "ifconfig carp0 down; ifconfig carp1 down",
	}[h.role]
	h.script("dash", h.etc, strings.Split(forget, "ip -4")[0]+"sh /etc/netstart -s; sh /etc/netstart carp0 carp1; "+after)
}

// what is printed of a host after a script that changes it: what is in force, without states, which may change at any time.
const inForce = `
echo --
ifconfig carp 2>/dev/null | sed -n -e 's/^\(carp[0-9]*: flags=[0-9]*\).*/\1/p' -e 's/^.carp: [A-Z]* //p' -e 's/^.inet //p'
`

// Scripts, as people have them for OpenBSD, run unchanged on a pair, on a host that takes no part and on one whose kernelsim was killed. What
// they print in each is beside them, in NAME.out. The first are from everyday use, verbatim. Across the roles a script runs under every shell;
// with make regress-long under each in each.
func TestScripts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	hosts := make([]*scriptHost, len(roles))
	for n, role := range roles {
		h := &scriptHost{l.machine(strings.ToLower(role)), role, "0", filepath.Join(l.dir, "etc-"+role)}
		if role == "BACKUP" {
			h.advskew = "100"
		}
		if role == "killed" { // on a network of its own: it is a master that was killed
			h.cut()
		}
		h.start()
		h.serves()
		t.Cleanup(h.crash)
		(&transcript{}).etc(t, h.etc)
		h.restore()
		hosts[n] = h
	}
	hosts[3].becomes("master", 10*time.Second)
	hosts[3].crash()
	settled := func() {
		t.Helper()
		for n, want := range []string{"master", "backup"} {
			for _, carp := range []string{"carp0", "carp1"} {
				l.within(10*time.Second, hosts[n].role+" has its role", func() bool { return hosts[n].status(carp) == want })
			}
		}
	}
	settled()

	paths, err := filepath.Glob("scripts/*.sh")
	if err != nil || len(paths) < 31 {
		t.Fatalf("%d scripts, %v", len(paths), err)
	}
	run := func(path string, n, role int) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		changes := strings.HasPrefix(string(text), "#!/bin/sh\n# changes the host\n")
		wants, err := os.ReadFile(strings.TrimSuffix(path, ".sh") + ".out")
		if err != nil {
			t.Error(err)
			return
		}
		_, want, ok := strings.Cut("\n"+string(wants), "\n== "+roles[role]+"\n")
		want, _, _ = strings.Cut("\n"+want, "\n== ") // it may be nothing
		want = strings.Trim(want, "\n")
		for s, shell := range shells {
			if !long && (n+role)%len(shells) != s {
				continue
			}
			h := hosts[role]
			command := "sh /etc/hooks/script; c=$?; [ $c -eq 0 ] || echo exit $c\n"
			if err := os.WriteFile(filepath.Join(h.etc, "hooks/script"), text, 0o755); err != nil {
				t.Error(err)
			}
			if changes {
				command += inForce
			}
			if got := h.script(shell, h.etc, command); !ok || strings.Trim(got, "\n") != want {
				t.Errorf("%s on %s under %s prints\n%s\nnot\n%s", path, roles[role], shell, got, want)
			}
			if changes {
				h.restore()
				settled()
			}
		}
	}
	isChange := func(path string) bool {
		text, err := os.ReadFile(path)
		return err != nil || strings.Contains(string(text), "\n# changes the host\n")
	}
	var all sync.WaitGroup
	for role := range roles { // at once: they look only
		all.Add(1)
		go func(role int) {
			defer all.Done()
			for n, path := range paths {
				if !isChange(path) {
					run(path, n, role)
				}
			}
		}(role)
	}
	all.Wait()
	for n, path := range paths {
		for role := range roles {
			if isChange(path) {
				run(path, n, role)
			}
		}
	}
	if t.Failed() {
		for _, h := range hosts {
			log, _ := os.ReadFile(h.log)
			t.Logf("log of %s:\n%s", h.role, log)
		}
	}
}

// What is not ours goes to the system's command, and ends, wherever ours stand in PATH: as links twice, as a copy, behind a script that starts
// us again, and with next to no environment.
func TestHandOver(t *testing.T) {
	t.Parallel()
	dir, err := install()
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	again, copies, wrapped, host := filepath.Join(top, "again"), filepath.Join(top, "copies"), filepath.Join(top, "wrapped"), filepath.Join(top, "host")
	for _, d := range []string{again, copies, wrapped, host} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := map[string]string{"sysctl": "kernel.ostype", "netstat": "-rn", "ifconfig": "eth0:1"}
	for name := range asked {
		ours := filepath.Join(dir, "sbin", name+"-carp")
		data, err := os.ReadFile(ours)
		if err == nil {
			err = os.WriteFile(filepath.Join(copies, name), data, 0o755)
		}
		if err == nil {
			err = os.Symlink(ours, filepath.Join(again, name))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(wrapped, name), []byte("#!/bin/sh\nexec "+name+" \"$@\"\n"), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(host, name), []byte("#!/bin/sh\necho \"the host's "+name+" $*\"\nexit 7\n"), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ours := filepath.Join(dir, "libexec/carp")
	for _, path := range [][]string{{ours, host}, {ours, again, ours, host}, {ours, copies, host}, {ours, wrapped, again, copies, wrapped, host}} {
		for name, arg := range asked {
			c := exec.Command("timeout", "10", name, arg)
			c.Path, _ = exec.LookPath("timeout")
			c.Env = []string{"PATH=" + strings.Join(append(path, "/usr/bin", "/bin"), ":"), "CARP_STATEDIR=" + filepath.Join(top, "none")}
			r, err := outcome(c)
			if want := (result{out: "the host's " + name + " " + arg + "\n", code: 7}); err != nil || r != want {
				t.Errorf("%s with PATH=%s: %v, %+v", name, strings.Join(path, ":"), err, r)
			}
		}
	}
	// sysctl lies in /usr/sbin
	r, err := outcome(exec.Command("env", "-i", "PATH=/usr/bin:/bin", "timeout", "10", filepath.Join(ours, "sysctl"), "kernel.ostype"))
	if want := (result{out: "kernel.ostype = Linux\n"}); err != nil || r != want {
		t.Errorf("with next to no environment: %v, %+v", err, r)
	}
}
