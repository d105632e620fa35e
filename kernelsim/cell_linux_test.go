package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carp/libcarp/statedir"
)

// prisonerName is argv[0] of the test binary as it is started in a cell.
const prisonerName = "carp prisoner"

func TestMain(m *testing.M) {
	if os.Args[0] == prisonerName {
		prisoner(os.Args[1])
		return
	}
	os.Exit(m.Run())
}

// attempts are what a prisoner tries, and whether it has to succeed.
func attempts(dir string) map[string]attempt {
	file := func(path string, flags int) func() error {
		return func() error {
			f, err := os.OpenFile(path, flags, 0o600)
			if err == nil {
				err = f.Close()
			}
			return err
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	return map[string]attempt{
		"make a file of the state directory": {true, file(in("made"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)},
		"replace one": {true, func() error {
			return errors.Join(os.WriteFile(in("want/.new.x"), nil, 0o600), os.Rename(in("want/.new.x"), in("want/x")), os.Remove(in("want/x")))
		}},
		"list it":                          {true, func() error { _, err := os.ReadDir(in("want")); return err }},
		"read a sysctl":                    {true, func() error { _, err := os.ReadFile("/proc/sys/net/ipv4/conf/lo/arp_ignore"); return err }},
		"open a sysctl to write":           {true, file("/proc/sys/net/ipv4/conf/lo/arp_ignore", os.O_WRONLY)},
		"open a sysctl of IPv6 to write":   {true, file("/proc/sys/net/ipv6/conf/lo/accept_ra", os.O_WRONLY)},
		"open a packet socket":             {true, packetSocket},
		"read another sysctl":              {false, func() error { _, err := os.ReadFile("/proc/sys/kernel/hostname"); return err }},
		"read /etc/passwd":                 {false, file("/etc/passwd", os.O_RDONLY)},
		"list /":                           {false, func() error { _, err := os.ReadDir("/"); return err }},
		"read about itself":                {false, file("/proc/self/status", os.O_RDONLY)},
		"write beside the state directory": {false, file(dir+".beside", os.O_WRONLY|os.O_CREATE)},
		"make a directory":                 {false, func() error { return os.Mkdir(in("directory"), 0o700) }},
		"make a link":                      {false, func() error { return os.Symlink("/etc/passwd", in("link")) }},
		"run a program":                    {false, func() error { return exec.Command("/bin/true").Run() }},
		"send a signal outside":            {false, func() error { return syscall.Kill(os.Getppid(), 0) }},
		"connect over TCP":                 {false, func() error { _, err := net.Dial("tcp", "127.0.0.1:9"); return err }},
		"change its root":                  {false, func() error { return unix.Chroot(dir) }},
		"become somebody else":             {false, func() error { return syscall.Setuid(1) }},
		"leave its namespaces":             {false, func() error { return unix.Unshare(unix.CLONE_NEWUTS) }},
	}
}

type attempt struct {
	allowed bool
	try     func() error
}

func packetSocket() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// prisoner tries everything on several threads, says what is not as it should be, and waits to be looked at.
func prisoner(dir string) {
	var tried sync.WaitGroup
	for what, a := range attempts(dir) {
		tried.Add(1)
		go func() {
			defer tried.Done()
			err := a.try()
			denied := errors.Is(err, os.ErrPermission) // EACCES or EPERM
			if a.allowed && err != nil || !a.allowed && !denied {
				fmt.Printf("%s: %v\n", what, err)
			}
		}()
	}
	tried.Wait()
	fmt.Println("done")
	bufio.NewReader(os.Stdin).ReadByte()
}

// An engine process has three capabilities and sees the state directory and the sysctls of the network, on each of its threads.
func TestCell(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "want"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := newCell(statedir.Dir(dir), self())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 2 { // one cell serves for many
		var errs strings.Builder
		cmd := exec.Command(self())
		cmd.Args, cmd.Stderr = []string{prisonerName, dir}, &errs
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.start(cmd); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for said.Scan() && said.Text() != "done" {
			t.Error(said.Text())
		}
		statuses, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
		if err != nil || len(statuses) < 2 {
			t.Fatalf("%d threads, %v", len(statuses), err)
		}
		for _, name := range statuses {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, set := range []string{"Inh", "Prm", "Eff", "Bnd", "Amb"} {
				if want := fmt.Sprintf("\nCap%s:\t%016x\n", set, uint64(engineCaps)); !strings.Contains(string(data), want) {
					t.Errorf("no %q in %s of\n%s", want, name, data)
				}
			}
			if !strings.Contains(string(data), "\nNoNewPrivs:\t1\n") {
				t.Errorf("%s has new privileges:\n%s", name, data)
			}
		}
		in.Close()
		if err := cmd.Wait(); err != nil || errs.Len() > 0 {
			t.Errorf("%v\n%s", err, errs.String())
		}
	}
	if self, err := os.ReadFile("/proc/self/status"); err != nil || strings.Contains(string(self), "\nNoNewPrivs:\t1\n") {
		t.Errorf("this process is locked in too: %v\n%s", err, self)
	}
}
