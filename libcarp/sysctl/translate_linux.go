package sysctl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// A root is where /proc and /sys are; tests have their own.
type root string

// translations are the names of OpenBSD's that we know on Linux. The manual lists them.
func translations(at string) []translation {
	r := root(at)
	list := []translation{
		{name: "kern.ostype", get: r.read("proc/sys/kernel/ostype")},
		{name: "kern.osrelease", get: r.read("proc/sys/kernel/osrelease")},
		{name: "kern.osversion", get: r.read("proc/sys/kernel/version")},
		{name: "kern.version", get: r.read("proc/version")},
		r.file("kern.hostname", "proc/sys/kernel/hostname"),
		r.file("kern.domainname", "proc/sys/kernel/domainname"),
		{name: "kern.maxfiles", number: true, get: r.read("proc/sys/fs/file-max"), put: r.write("proc/sys/fs/file-max")},
		{name: "kern.nfiles", number: true, get: r.field("proc/sys/fs/file-nr", 0)},
		{name: "vm.loadavg", get: r.loadavg},
		r.switches("net.inet.ip.forwarding", "proc/sys/net/ipv4/ip_forward"),
		{name: "net.inet.ip.mforwarding", number: true, get: r.read("proc/sys/net/ipv4/conf/all/mc_forwarding")},
		r.switches("net.inet.ip.redirect", "proc/sys/net/ipv4/conf/*/send_redirects"),
		r.numbers("net.inet.ip.ttl", 1, 255, "proc/sys/net/ipv4/ip_default_ttl"),
		r.switches("net.inet.icmp.rediraccept", "proc/sys/net/ipv4/conf/*/accept_redirects"),
		r.inverted("net.inet.icmp.bmcastecho", "proc/sys/net/ipv4/icmp_echo_ignore_broadcasts"),
		r.switches("net.inet6.ip6.forwarding", "proc/sys/net/ipv6/conf/all/forwarding"),
		r.numbers("net.inet6.ip6.hlim", 1, 255, "proc/sys/net/ipv6/conf/*/hop_limit"),
		{name: "hw.machine", get: machine},
		{name: "hw.model", get: r.model},
		{name: "hw.ncpu", number: true, get: r.cpus("sys/devices/system/cpu/online")},
		{name: "hw.ncpufound", number: true, get: r.cpus("sys/devices/system/cpu/present")},
		{name: "hw.ncpuonline", number: true, get: r.cpus("sys/devices/system/cpu/online")},
		{name: "hw.byteorder", number: true, get: byteOrder},
		{name: "hw.pagesize", number: true, get: func() (string, error) { return strconv.Itoa(os.Getpagesize()), nil }},
		{name: "hw.physmem", number: true, get: r.physmem},
		{name: "hw.vendor", get: r.read("sys/class/dmi/id/sys_vendor")},
		{name: "hw.product", get: r.read("sys/class/dmi/id/product_name")},
	}
	return list
}

// read returns what reads a file's only line.
func (r root) read(path string) func() (string, error) {
	return func() (string, error) {
		data, err := os.ReadFile(filepath.Join(string(r), path))
		if errors.Is(err, fs.ErrNotExist) {
			err = config.EOPNOTSUPP // OpenBSD: the name is known, the machine has no such thing
		}
		return strings.TrimSpace(string(data)), err
	}
}

// write returns what writes a value to a file that is there.
func (r root) write(path string) func(string) error {
	return func(value string) error {
		f, err := os.OpenFile(filepath.Join(string(r), path), os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(value + "\n")
		return errors.Join(err, f.Close())
	}
}

// file is a text that can be set.
func (r root) file(name, path string) translation {
	return translation{name: name, get: r.read(path), put: r.write(path)}
}

// numbers is a number that stands in all the files of a pattern, which for an interface of its own each may differ: the greatest is shown, since
// each of them alone does what it says, and all are set, those of interfaces to come among them.
func (r root) numbers(name string, least, most int, pattern string) translation {
	files := func() ([]string, error) {
		paths, err := filepath.Glob(filepath.Join(string(r), pattern))
		if err == nil && len(paths) == 0 {
			err = config.EOPNOTSUPP
		}
		slices.Sort(paths)
		return paths, err
	}
	get := func() (string, error) {
		paths, err := files()
		greatest := 0
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) { // an interface that has gone
				continue
			}
			n, numErr := strconv.Atoi(strings.TrimSpace(string(data)))
			if err := errors.Join(err, numErr); err != nil {
				return "", err
			}
			greatest = max(greatest, n)
		}
		return strconv.Itoa(greatest), err
	}
	put := func(value string) error {
		paths, err := files()
		for _, path := range paths {
			if err := root("/").write(path)(value); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return err
	}
	return translation{name: name, number: true, least: least, most: most, get: get, put: put}
}

// switches is 0 or 1.
func (r root) switches(name, pattern string) translation { return r.numbers(name, 0, 1, pattern) }

// inverted is a switch that Linux has the other way round.
func (r root) inverted(name, path string) translation {
	not := map[string]string{"0": "1", "1": "0"}
	t := r.switches(name, path)
	get, put := t.get, t.put
	t.get = func() (string, error) {
		value, err := get()
		return not[value], err
	}
	t.put = func(value string) error { return put(not[value]) }
	return t
}

// field returns what reads one of the words of a file.
func (r root) field(path string, n int) func() (string, error) {
	return func() (string, error) {
		line, err := r.read(path)()
		if f := strings.Fields(line); err == nil && n < len(f) {
			return f[n], nil
		}
		return "", errors.Join(err, config.EIO)
	}
}

func (r root) loadavg() (string, error) {
	line, err := r.read("proc/loadavg")()
	f := strings.Fields(line)
	return strings.Join(f[:min(3, len(f))], " "), err
}

// cpus returns what counts a list like 0-3,7.
func (r root) cpus(path string) func() (string, error) {
	return func() (string, error) {
		line, err := r.read(path)()
		if err != nil {
			return "", err
		}
		n := 0
		for _, part := range strings.Split(line, ",") {
			first, last, isRange := strings.Cut(part, "-")
			if !isRange {
				last = first
			}
			a, errA := strconv.Atoi(first)
			b, errB := strconv.Atoi(last)
			if errA != nil || errB != nil || b < a {
				return "", config.EIO
			}
			n += b - a + 1
		}
		return strconv.Itoa(n), nil
	}
}

// model is what the first processor calls itself. Not every architecture tells.
func (r root) model() (string, error) {
	text, err := r.read("proc/cpuinfo")()
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.Join(err, config.EOPNOTSUPP)
}

// physmem is in bytes, as OpenBSD's.
func (r root) physmem() (string, error) {
	text, err := r.read("proc/meminfo")()
	for _, line := range strings.Split(text, "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kB, err := strconv.ParseUint(f[1], 10, 50)
			return strconv.FormatUint(kB<<10, 10), err
		}
	}
	return "", errors.Join(err, config.EIO)
}

// machines are OpenBSD's names of architectures that uname(2) calls otherwise.
var machines = map[string]string{
	"x86_64": "amd64", "i386": "i386", "i486": "i386", "i586": "i386", "i686": "i386", "aarch64": "arm64", "armv7l": "armv7",
	"ppc64": "powerpc64", "ppc64le": "powerpc64", "ppc": "macppc", "mips64": "octeon",
}

func machine() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	name := unix.ByteSliceToString(u.Machine[:])
	if bsd, ok := machines[name]; ok {
		return bsd, nil
	}
	return name, nil
}

func byteOrder() (string, error) {
	switch runtime.GOARCH {
	case "mips", "mips64", "ppc64", "s390x":
		return "4321", nil
	}
	return "1234", nil
}
