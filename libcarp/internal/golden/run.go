package golden

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carp/libcarp/statedir"
)

// nobody is a user who may set nothing.
const nobody = 65534

var locales = []string{"C", "C.UTF-8"}

// Run runs every case in the directory testdata of the package under test. Build must have been called.
func Run(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: nobody else may set anything")
	}
	paths, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".golden")
		for _, locale := range locales {
			t.Run(name+"/"+locale, func(t *testing.T) {
				c, err := ReadCase(path)
				if err != nil {
					t.Fatal(err)
				}
				if len(c.Clean) == 0 { // else it is alone with the host's interfaces
					t.Parallel()
				}
				c.check(t, locale)
			})
		}
	}
}

// binaries is where Build puts the commands.
var binaries string

// Main builds the commands, runs the tests apart from the host, and removes what was built. A package's TestMain calls it.
func Main(m *testing.M) {
	if exit, done := apart(); done {
		os.Exit(exit)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "carp")
		if err == nil {
			defer os.RemoveAll(dir)
			binaries = dir
			err = errors.Join(build(dir), plug())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "golden:", err)
			return 1
		}
		return m.Run()
	}())
}

// build makes the commands in dir, and in system what stands in for the system's.
func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil { // nobody must reach them
		return err
	}
	for name, pkg := range commands {
		out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, name), pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("failed to build %s: %w\n%s", pkg, err, out)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "system"), 0o755); err != nil {
		return err
	}
	for name := range commands {
		if err := os.WriteFile(filepath.Join(dir, "system", name), []byte(theirs), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// commands are ours, by the names that cases call them by.
var commands = map[string]string{"ifconfig": "carp/ifconfig-carp", "sysctl": "carp/sysctl-carp", "netstat": "carp/netstat-carp"}

// theirs stands in for each of the system's own commands: it tells what it was asked.
const theirs = `#!/bin/sh
printf "the system's %s:" "${0##*/}"
for word; do printf ' <%s>' "$word"; done
echo
exit "$SYSTEM_EXIT"
`

// A bench is what a case is run on.
type bench struct {
	t      *testing.T
	dir    string // working directory
	state  statedir.Dir
	locale string
	system int // what the system's commands exit with
}

// check runs the case and compares.
func (c *Case) check(t *testing.T, locale string) {
	dir, err := os.MkdirTemp("", "carp") // not t.TempDir: the name is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := &bench{t, dir, statedir.Dir(filepath.Join(dir, "state")), locale, c.System}
	for name, text := range c.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c.Kernelsim == "" {
		defer b.serve(c, true)()
	}
	for _, s := range c.Setup {
		if _, stderr, exit := b.command(s.Words, false, false); (exit != 0) != s.Fails {
			t.Fatalf("%q exits %d: %s", s.Words, exit, stderr)
		}
	}
	if c.Kernelsim == "silent" {
		defer b.serve(c, false)()
	}
	stdout, stderr, exit := b.command(c.Run, c.Nobody, c.Full)
	for _, words := range c.Clean {
		if _, stderr, exit := b.command(words, false, false); exit != 0 {
			t.Errorf("%q exits %d: %s", words, exit, stderr)
		}
	}
	if stdout != c.Stdout {
		t.Errorf("%q prints\n%s\nnot\n%s", c.Run, stdout, c.Stdout)
	}
	if stderr != c.Stderr {
		t.Errorf("%q prints on standard error\n%s\nnot\n%s", c.Run, stderr, c.Stderr)
	}
	if exit != c.Exit {
		t.Errorf("%q exits %d, not %d", c.Run, exit, c.Exit)
	}
}

// serve stands in for kernelsim until the returned function is called. It answers only if it is to.
func (b *bench) serve(c *Case, answer bool) (end func()) {
	held, err := statedir.Acquire(b.state)
	if err != nil {
		b.t.Fatal(err)
	}
	m := newMachine(c)
	m.server = statedir.NewServer(held.Listener, m)
	m.publish()
	if answer {
		m.server.Start()
	}
	return func() {
		m.server.Close()
		held.Close()
	}
}

// command runs a command and returns what it prints and its exit code.
func (b *bench) command(words []string, asNobody, full bool) (stdout, stderr string, exit int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, words[0]), words[1:]...)
	cmd.Dir = b.dir
	cmd.Env = []string{"LC_ALL=" + b.locale, "CARP_STATEDIR=" + string(b.state), "SYSTEM_EXIT=" + strconv.Itoa(b.system),
		"PATH=" + filepath.Join(binaries, "system")}
	cmd.Stdout, cmd.Stderr = &out, &errs
	if full {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		defer f.Close()
		cmd.Stdout = f
	}
	if asNobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		b.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
