package regress

import (
	"os"
	"os/exec"
	"path/filepath"
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
}

// What install puts somewhere, uninstall takes away.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	list := func() (files []string) {
		filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				files = append(files, strings.TrimPrefix(path, dir)+" "+info.Mode().String())
			}
			return nil
		})
		return files
	}
	for _, target := range []string{"install", "uninstall"} {
		c := exec.Command("make", "-s", target, "DESTDIR="+dir, "PREFIX=/opt/carp")
		c.Dir = ".."
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", target, err, out)
		}
		files := list()
		if target == "uninstall" {
			if len(files) > 0 {
				t.Errorf("left: %q", files)
			}
			continue
		}
		for _, want := range []string{
			"/etc/init.d/carp -rwxr-xr-x", "/opt/carp/sbin/ifconfig-carp -rwxr-xr-x", "/opt/carp/sbin/kernelsim -rwxr-xr-x", "/opt/carp/sbin/sysctl-carp -rwxr-xr-x",
			"/opt/carp/share/man/man4/carp.4 -rw-r--r--", "/opt/carp/share/man/man5/carpstate.5 -rw-r--r--", "/opt/carp/share/man/man8/ifconfig-carp.8 -rw-r--r--",
			"/opt/carp/share/man/man8/kernelsim.8 -rw-r--r--", "/opt/carp/share/man/man8/sysctl-carp.8 -rw-r--r--",
		} {
			found := false
			for _, f := range files {
				found = found || f == want
			}
			if !found {
				t.Errorf("no %s in %q", want, files)
			}
		}
		script, err := os.ReadFile(filepath.Join(dir, "etc/init.d/carp"))
		if err != nil || !strings.Contains(string(script), "/opt/carp") || strings.Contains(string(script), "@PREFIX@") {
			t.Errorf("the boot script does not know where the commands are: %v", err)
		}
	}
}
