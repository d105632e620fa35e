package golden

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// inside is set in the environment of the test's own second run.
const inside = "GOLDEN_INSIDE"

// apart runs the test again in network and host name namespaces of its own: the commands under test are root's, and what they set is the host's.
// done is false in that second run.
func apart() (exit int, done bool) {
	if os.Getenv(inside) != "" {
		return 0, false
	}
	runtime.LockOSThread() // the child dies with the thread that made it
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		os.Stderr.WriteString("golden: " + err.Error() + "\n")
		return 1, true
	}
	return cmd.ProcessState.ExitCode(), true
}
