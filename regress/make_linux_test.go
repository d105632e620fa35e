package regress

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sh runs a script of ours from the top of the tree.
func sh(t *testing.T, env []string, args ...string) result {
	t.Helper()
	c := exec.Command("sh", args...)
	c.Dir, c.Env = "..", append(os.Environ(), env...)
	r, err := outcome(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A Go that is too old, or none, is said in one line.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	if r := sh(t, nil, "regress/go-version.sh"); r != (result{}) {
		t.Errorf("this Go: %+v", r)
	}
	for version, want := range map[string]int{"go1.19.8": 1, "go1.21": 1, "go1.22": 0, "go1.22.12": 0, "go1.30rc1": 0, "go2.0": 0} {
		fake := filepath.Join(t.TempDir(), "go")
		if err := os.WriteFile(fake, []byte("#!/bin/sh\necho "+version+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := sh(t, nil, "regress/go-version.sh", fake)
		if r.code != want || want == 1 && (strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "needs Go 1.22 or newer, this is Go 1.")) {
			t.Errorf("%s: %+v", version, r)
		}
	}
	if r := sh(t, nil, "regress/go-version.sh", "/nonexistent/go"); r.code != 1 || strings.Count(r.err, "\n") != 1 {
		t.Errorf("none: %+v", r)
	}
}

// Without root, or without a tool that cannot be installed, one line names what is missing, and the script exits with 77.
func TestNeed(t *testing.T) {
	t.Parallel()
	c := exec.Command("setpriv", "--reuid=65534", "--clear-groups", "sh", "-s", "demo")
	script, err := os.Open("need.sh")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	c.Stdin = script
	r, err := outcome(c)
	if err != nil || r.code != 77 || r.err != "carp: make demo: needs root\n" {
		t.Errorf("nobody: %v, %+v", err, r)
	}
	tools := t.TempDir() // all that the script itself needs, no apt-get, no ip
	for _, tool := range []string{"id", "uname", "sh"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(tools, tool)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("need.sh")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(tools, "need.sh")
	bare := strings.Replace(string(data), "PATH=$PATH:/usr/sbin:/sbin\n", "", 1)
	if bare == string(data) {
		t.Fatal("need.sh has changed")
	}
	if err := os.WriteFile(elsewhere, []byte(bare), 0o644); err != nil {
		t.Fatal(err)
	}
	c = exec.Command("/bin/sh", elsewhere, "demo")
	c.Env = []string{"PATH=" + tools}
	if r, err = outcome(c); err != nil || r.code != 77 || r.err != "carp: make demo: needs ip ping\n" {
		t.Errorf("bare: %v, %+v", err, r)
	}

	// An ip(8) that says why it cannot is heard.
	tail, err := exec.LookPath("tail")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tail, filepath.Join(tools, "tail")); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"ping": "", "ip": "[ $1 = netns ] || { echo first; echo no such device >&2; exit 2; }"} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c = exec.Command("/bin/sh", elsewhere, "demo")
	c.Env = []string{"PATH=" + tools}
	if r, err = outcome(c); err != nil || r.code != 77 || r.err != "carp: make demo: needs a kernel with veth and macvlan (no such device)\n" {
		t.Errorf("a kernel without: %v, %+v", err, r)
	}
}

// tree lists what is below a directory, with modes and contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += " " + string(data)
		case info.Mode()&os.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " -> " + to
		}
		all[strings.TrimPrefix(path, dir)] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func paths(tree map[string]string) (all []string) {
	for path := range tree {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

func makeIt(t *testing.T, program string, args ...string) {
	t.Helper()
	c := exec.Command(program, append([]string{"-s"}, args...)...)
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// What install puts somewhere, uninstall takes away, and nothing else: under GNU make and BSD make, beside an administrator's own /etc/netstart and
// without one.
func TestInstall(t *testing.T) {
	for _, program := range []string{"make", "bmake"} {
		for _, netstart := range []bool{false, true} {
			dir := t.TempDir()
			for _, d := range []string{"etc/init.d", "opt/carp/sbin", "opt/carp/lib", "opt/carp/libexec", "opt/carp/share/man/man3", "opt/carp/share/man/man4", "opt/carp/share/man/man5", "opt/carp/share/man/man7", "opt/carp/share/man/man8"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "opt/carp/sbin/other"), []byte("other"), 0o755); err != nil {
				t.Fatal(err)
			}
			if netstart {
				if err := os.WriteFile(filepath.Join(dir, "etc/netstart"), []byte("his own"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			makeIt(t, program, "install", "DESTDIR="+dir, "PREFIX=/opt/carp")
			interfaces := filepath.Join(dir, "etc/network/interfaces.d/carp") // as an older version left it
			if err := os.MkdirAll(filepath.Dir(interfaces), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(interfaces, []byte("# ours\nno-scripts carp*\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			makeIt(t, program, "install", "DESTDIR="+dir, "PREFIX=/opt/carp") // an update
			if _, err := os.Stat(interfaces); !os.IsNotExist(err) {
				t.Errorf("%s: busybox's ifup still finds a word that it does not know: %v", program, err)
			}
			if err := os.RemoveAll(filepath.Join(dir, "etc/network")); err != nil {
				t.Fatal(err)
			}
			after := tree(t, dir)
			for path, mode := range map[string]string{
				"/etc/init.d/carp": "-rwxr-xr-x ", "/opt/carp/sbin/ifconfig-carp": "-rwxr-xr-x ", "/opt/carp/sbin/kernelsim": "-rwxr-xr-x ", "/opt/carp/sbin/sysctl-carp": "-rwxr-xr-x ",
				"/opt/carp/share/man/man4/carp.4": "-rw-r--r-- ", "/opt/carp/share/man/man5/carpstate.5": "-rw-r--r-- ", "/opt/carp/share/man/man5/hostname.carp.5": "-rw-r--r-- ",
				"/opt/carp/share/man/man8/ifconfig-carp.8": "-rw-r--r-- ", "/opt/carp/share/man/man8/kernelsim.8": "-rw-r--r-- ", "/opt/carp/share/man/man8/sysctl-carp.8": "-rw-r--r-- ",
				"/opt/carp/lib/carp/netstart": "-rwxr-xr-x ", "/opt/carp/lib/carp/boot": "-rwxr-xr-x ", "/opt/carp/sbin/carp-names": "-rwxr-xr-x ",
				"/etc/init.d/carp-up": "-rwxr-xr-x ", "/etc/systemd/system/carp.service": "-rw-r--r-- ", "/etc/systemd/system/carp-boot.service": "-rw-r--r-- ",
				"/etc/systemd/system/carp-up.service": "-rw-r--r-- ", "/etc/systemd/network/10-carp.network": "-rw-r--r-- ",
				"/etc/systemd/network/10-carp.link": "-rw-r--r-- ", "/etc/NetworkManager/conf.d/carp.conf": "-rw-r--r-- ",
				"/opt/carp/libexec/carp/ifconfig": "Lrwxrwxrwx -> ../../sbin/ifconfig-carp", "/opt/carp/libexec/carp/sysctl": "Lrwxrwxrwx -> ../../sbin/sysctl-carp", "/opt/carp/libexec/carp/netstat": "Lrwxrwxrwx -> ../../sbin/netstat-carp",
				"/opt/carp/libexec/carp/man/man8/ifconfig.8": "-rw-r--r-- ", "/opt/carp/libexec/carp/man/man8/sysctl.8": "-rw-r--r-- ", "/opt/carp/libexec/carp/man/man8/netstat.8": "-rw-r--r-- ",
			} {
				if !strings.HasPrefix(after[path], mode) {
					t.Errorf("%s: %s is %.60q, want %s", program, path, after[path], mode)
				}
			}
			if is, want := after["/etc/netstart"], "Lrwxrwxrwx -> /opt/carp/lib/carp/netstart"; netstart && is != before["/etc/netstart"] || !netstart && is != want {
				t.Errorf("%s: /etc/netstart is %q", program, is)
			}
			for path, what := range after {
				if (strings.HasSuffix(path, "/init.d/carp") || strings.HasSuffix(path, ".service") || strings.HasSuffix(path, "/lib/carp/netstart")) &&
					(!strings.Contains(what, "/opt/carp") || strings.Contains(what, "=@PREFIX@")) {
					t.Errorf("%s does not know where the commands are", path)
				}
			}
			makeIt(t, program, "uninstall", "DESTDIR="+dir, "PREFIX=/opt/carp")
			if left := tree(t, dir); !maps.Equal(left, before) {
				t.Errorf("%s: before install there was\n%q\nafter uninstall\n%q", program, paths(before), paths(left))
			}
		}
	}
}

// With our directory first in PATH, or its manual first in MANPATH, man(1) shows ours under the system's names.
func TestManual(t *testing.T) {
	dir, err := install()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ifconfig", "sysctl", "netstat"} {
		want := filepath.Join(dir, "libexec/carp/man/man8", name+".8") + "\n"
		for _, env := range [][]string{{"PATH=/usr/bin:/bin", "MANPATH=" + dir + "/libexec/carp/man:/usr/share/man"}, {"PATH=" + dir + "/libexec/carp:/usr/bin:/bin"}} {
			c := exec.Command("man", "-w", name)
			c.Env = append(env, "LC_ALL=C")
			if r, err := outcome(c); err != nil || !strings.HasPrefix(r.out, want) {
				t.Errorf("man -w %s with %q: %v, %+v", name, env, err, r)
			}
		}
	}
}

// The manual for a browser has every page, and what they refer to of ours is there.
func TestHTML(t *testing.T) {
	makeIt(t, "make", "html")
	pages, err := filepath.Glob("../man/*.[1-9]")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages", err)
	}
	refers := regexp.MustCompile(`class="Xr" href="([^"]*)"`)
	for _, page := range pages {
		data, err := os.ReadFile("../html/" + filepath.Base(page) + ".html")
		if err != nil {
			t.Error(err)
			continue
		}
		for _, to := range refers.FindAllStringSubmatch(string(data), -1) {
			_, missing := os.Stat("../html/" + to[1])
			if !strings.Contains(to[1], "://") && missing != nil {
				t.Errorf("%s refers to %s", page, to[1])
			}
			name := filepath.Base(to[1])
			if _, ours := os.Stat("../man/" + name); ours == nil && strings.Contains(to[1], "://") {
				t.Errorf("%s refers to %s, which is ours", page, to[1])
			}
		}
	}
	if err := os.RemoveAll("../html"); err != nil {
		t.Error(err)
	}
}
