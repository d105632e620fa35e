package golden

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// cables are the host's own interfaces that the kernel has; machine.go has them, too, with others that take a special one. A command is followed by its
// arguments; what begins with @ is done at the other end.
const cables = `
	link set lo name lo0
	link set lo0 up
	link add em0 address 02:00:00:00:00:10 type veth peer name em0 netns @
	link add em1 address 02:00:00:00:00:11 type veth peer name em1 netns @
	link add vio2 address 02:00:00:00:00:12 type veth peer name vio2 netns @
	@link set em0 up
	@link set em1 up
	@link set vio2 up
	link set em0 addrgenmode none up
	link set em1 addrgenmode none up
	link set vio2 addrgenmode none up
	link property add dev em1 altname lan0
	addr add 192.168.1.1/24 broadcast + dev em0
	addr add 10.0.0.99/24 broadcast + dev em0
	addr add 172.16.0.1/24 broadcast + dev em1
	addr add fe80::1/64 dev em0 nodad
	addr add 2001:db8::a/64 dev em0 nodad
	route add default via 192.168.1.254`

// plugged is set in the environment once that is done.
const plugged = "GOLDEN_PLUGGED"

// plug makes the interfaces. Their other ends are in a namespace that lasts as long as this process.
func plug() error {
	if os.Getenv(plugged) != "" { // a worker of a fuzzer's, which runs the tests' main again
		return nil
	}
	far, err := namespace()
	if err != nil {
		return fmt.Errorf("failed to make a namespace: %w", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(cables), "\n") {
		line, there := strings.CutPrefix(strings.TrimSpace(line), "@")
		words := strings.Fields(strings.Replace(line, "@", far, 1))
		cmd := exec.Command("ip", words...)
		if there {
			cmd = exec.Command("nsenter", append([]string{"--net=" + far, "ip"}, words...)...)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w\n%s", line, err, out)
		}
	}
	return os.Setenv(plugged, "1")
}

// namespace makes a network namespace and returns a path to it.
func namespace() (path string, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(here)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return "", err
	}
	there, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), there), unix.Setns(here, unix.CLONE_NEWNET)
}
