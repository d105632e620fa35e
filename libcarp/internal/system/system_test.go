package system

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The test's own program stands for one of our commands when it is called by this name.
const command = "probe"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != command && os.Getenv("SYSTEM_NAME") == "" {
		os.Exit(m.Run())
	}
	name := command
	if n := os.Getenv("SYSTEM_NAME"); n != "" {
		name = n
	}
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "wait" {
		exit, err := Run(name, args[1:])
		fmt.Println("exit", exit, err)
		os.Exit(0)
	}
	fmt.Println(Exec(name, args))
	os.Exit(1)
}

// A place makes one directory of PATH.
type place func(t *testing.T, dir string)

func link(t *testing.T, dir string) {
	if err := os.Symlink(self(t), filepath.Join(dir, command)); err != nil {
		t.Fatal(err)
	}
}

func duplicate(t *testing.T, dir string) {
	from, err := os.Open(self(t))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, command), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

func script(text string, mode os.FileMode) place {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, command), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	systems      = script("#!/bin/sh\necho \"the system's: $*\"\nexit 3\n", 0o755)
	forbidden    = script("#!/bin/sh\necho wrong\n", 0o644)
	headless     = script("neither a program nor a script\n", 0o755)
	lost         = script("#!/nonexistent/sh\n", 0o755)
	subdir       = func(t *testing.T, dir string) { _ = os.Mkdir(filepath.Join(dir, command), 0o755) }
	empty        = func(*testing.T, string) {}
	backToUs     = script("#!/bin/sh\nprobe \"$@\"\n", 0o755)      // a new process, by PATH
	execsUs      = script("#!/bin/sh\nexec probe \"$@\"\n", 0o755) // the same process
	endsByItself = script("#!/bin/sh\nkill -TERM $$\n", 0o755)
)

// putAside makes room as carp-names does.
func putAside(t *testing.T, dir string) {
	path := filepath.Join(dir, command)
	if err := os.Rename(path, path+aside); err != nil {
		t.Fatal(err)
	}
}

func self(t *testing.T) string {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run makes a PATH of places and runs the command by it, with nothing else in the environment.
func run(t *testing.T, places []place, args ...string) (out string, exit int) {
	t.Helper()
	var path []string
	for n, p := range places {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		p(t, dir)
		path = append(path, dir)
	}
	first := filepath.Join(path[0], command)
	cmd := exec.Cmd{Path: first, Args: append([]string{command}, args...), Env: []string{"PATH=" + strings.Join(path, ":")}}
	timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	data, _ := cmd.CombinedOutput()
	timer.Stop()
	return string(data), cmd.ProcessState.ExitCode()
}

// Whatever stands in PATH before the system's command, it is reached, with the words and once.
func TestExecReachesTheSystems(t *testing.T) {
	for name, places := range map[string][]place{
		"alone":             {link, systems},
		"links twice":       {link, link, systems, link},
		"a copy":            {link, duplicate, link, duplicate, systems},
		"a script of ours":  {link, backToUs, systems},
		"an exec of ours":   {link, execsUs, execsUs, systems},
		"all of it":         {duplicate, link, backToUs, duplicate, execsUs, systems, systems},
		"put aside":         {func(t *testing.T, dir string) { systems(t, dir); putAside(t, dir); link(t, dir) }},
		"cannot be started": {link, forbidden, headless, lost, subdir, empty, systems},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, exit := run(t, places, "a b", "", "c")
			if want := "the system's: a b  c\n"; out != want || exit != 3 {
				t.Errorf("got %q, exit %d", out, exit)
			}
		})
	}
}

// A hand-over ends also where the system has no such command.
func TestExecEndsWithoutOne(t *testing.T) {
	for name, places := range map[string][]place{
		"links":   {link, link, link},
		"copies":  {link, duplicate, duplicate},
		"scripts": {link, backToUs, execsUs, backToUs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, exit := run(t, places)
			if want := "the system has no probe of its own: file does not exist\n"; out != want || exit != 1 {
				t.Errorf("got %q, exit %d", out, exit)
			}
		})
	}
}

// A script's PATH may be the shortest there is, or none, or lead to the working directory.
func TestExecLooksBeyondPath(t *testing.T) {
	for _, env := range [][]string{nil, {"PATH="}, {"PATH=.:testdata"}, {"PATH=/usr/bin:/bin"}} {
		cmd := exec.Cmd{Path: self(t), Args: []string{"x", "handed over"}, Env: append(env, "SYSTEM_NAME=echo")}
		if out, err := cmd.CombinedOutput(); string(out) != "handed over\n" {
			t.Errorf("%q: %q %v", env, out, err)
		}
	}
}

// Run comes back with the exit code.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		places []place
		want   string
	}{
		{[]place{link, link, systems}, "the system's: a\nexit 3 <nil>\n"},
		{[]place{link, endsByItself}, "exit 143 <nil>\n"},
		{[]place{link, headless, lost}, "exit 0 the system has no probe of its own: file does not exist\n"},
	} {
		if out, _ := run(t, c.places, "wait", "a"); out != c.want {
			t.Errorf("got %q, want %q", out, c.want)
		}
	}
}

// The list of what was tried replaces an older one.
func TestEnviron(t *testing.T) {
	t.Setenv(passed, "1:2")
	n := 0
	for _, v := range environ([]string{"1:2", "3:4"}) {
		if strings.HasPrefix(v, passed+"=") {
			n++
			if v != passed+"=1:2 3:4" {
				t.Error(v)
			}
		}
	}
	if n != 1 {
		t.Error(n, "lists")
	}
}
