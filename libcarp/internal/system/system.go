// Package system hands a command line over to the system's own command of the same name, as ifconfig-carp, sysctl-carp and netstat-carp do with
// what is not theirs to answer.
//
// Ours may stand before the system's in PATH under its name, and more than once: as a link, a copy, another version or a script that starts it.
// A link is known by the file it leads to. The system's own may have been put aside for it, as NAME.distrib: see carp-names(8). What else starts us
// again is known by [passed], a list in the environment of the files that were tried; no file is tried twice, so a hand-over ends, whatever PATH holds.
package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// passed is the variable that holds the files that a hand-over has tried, each as device:inode, separated by blanks.
const passed = "CARP_PASSED"

// aside is what the name of a command ends in whose place ours has taken.
const aside = ".distrib"

// places are looked into after PATH: a script's PATH may lack the directories of an administrator's commands.
var places = []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"}

// Passed reports whether another of our commands, or this one in another file, has handed its command line over to us already.
func Passed() bool { return os.Getenv(passed) != "" }

// Exec replaces this process by the system's command of that name; args do not hold the name. It returns when there is none that can be executed;
// the error wraps fs.ErrNotExist then.
func Exec(name string, args []string) error {
	return each(name, func(path string, env []string) error {
		return syscall.Exec(path, append([]string{name}, args...), env)
	})
}

// Run runs the system's command of that name on our standard input, output and error, and returns its exit code: 128 and the signal's number where
// a signal ended it, as sh(1) has it. The error is as Exec's.
func Run(name string, args []string) (exit int, err error) {
	err = each(name, func(path string, env []string) error {
		cmd := exec.Cmd{Path: path, Args: append([]string{name}, args...), Env: env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
		err := cmd.Run()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			return err
		}
		if exit = cmd.ProcessState.ExitCode(); exit < 0 {
			exit = 128 + int(cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
		}
		return nil
	})
	return exit, err
}

// each starts the first command that can be.
func each(name string, start func(path string, env []string) error) error {
	tried := strings.Fields(os.Getenv(passed))
	seen := map[string]bool{own(): true}
	for _, id := range tried {
		seen[id] = true
	}
	for _, path := range candidates(name) {
		id, ok := executable(path)
		if !ok || seen[id] {
			continue
		}
		seen[id] = true
		tried = append(tried, id)
		err := start(path, environ(tried))
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.ENOEXEC) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("failed to execute %s: %w", path, err)
		}
	}
	return fmt.Errorf("the system has no %s of its own: %w", name, fs.ErrNotExist)
}

// candidates are the files that may be the system's command, in the order in which they are looked for.
func candidates(name string) (paths []string) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), places...) {
		if filepath.IsAbs(dir) {
			path := filepath.Join(dir, name)
			paths = append(paths, path, path+aside)
		}
	}
	return paths
}

// environ is our environment with the list of what was tried.
func environ(tried []string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, passed+"=") {
			env = append(env, v)
		}
	}
	return append(env, passed+"="+strings.Join(tried, " "))
}

// own is the file that we run from. Its path may lead to a newer one by now.
func own() string {
	id, ok := executable("/proc/self/exe")
	if path, err := os.Executable(); !ok && err == nil {
		id, _ = executable(path)
	}
	return id
}

// executable tells which file a path leads to, and whether it may be executed.
func executable(path string) (id string, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", false
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), true
}
