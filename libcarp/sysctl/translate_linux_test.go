package sysctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carp/libcarp/config"
)

// host makes a /proc and a /sys of files.
func host(t *testing.T) string {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"proc/sys/kernel/ostype":                        "Linux\n",
		"proc/sys/kernel/osrelease":                     "6.1.0\n",
		"proc/sys/kernel/version":                       "#1 SMP\n",
		"proc/version":                                  "Linux version 6.1.0\n",
		"proc/sys/kernel/hostname":                      "left\n",
		"proc/sys/kernel/domainname":                    "(none)\n",
		"proc/sys/fs/file-max":                          "9223372036854775807\n",
		"proc/sys/fs/file-nr":                           "1024\t0\t9223372036854775807\n",
		"proc/loadavg":                                  "0.10 0.20 0.30 1/200 4711\n",
		"proc/cpuinfo":                                  "processor\t: 0\nmodel name\t: A fast one\n",
		"proc/meminfo":                                  "MemFree: 1 kB\nMemTotal:       4096 kB\n",
		"proc/sys/net/ipv4/ip_forward":                  "0\n",
		"proc/sys/net/ipv4/ip_default_ttl":              "64\n",
		"proc/sys/net/ipv4/icmp_echo_ignore_broadcasts": "1\n",
		"proc/sys/net/ipv4/conf/all/mc_forwarding":      "0\n",
		"proc/sys/net/ipv4/conf/all/send_redirects":     "0\n",
		"proc/sys/net/ipv4/conf/eth0/send_redirects":    "1\n",
		"proc/sys/net/ipv4/conf/all/accept_redirects":   "0\n",
		"proc/sys/net/ipv6/conf/all/forwarding":         "0\n",
		"proc/sys/net/ipv6/conf/all/hop_limit":          "64\n",
		"proc/sys/net/ipv6/conf/eth0/hop_limit":         "32\n",
		"sys/devices/system/cpu/online":                 "0-1,4\n",
		"sys/devices/system/cpu/present":                "0-7\n",
		"sys/class/dmi/id/sys_vendor":                   "Makers\n",
		"sys/class/dmi/id/product_name":                 "Machine\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Every name has its value, and the manual page has every name.
func TestTranslations(t *testing.T) {
	page, err := os.ReadFile("../../man/sysctl-carp.8")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kern.ostype": "Linux", "kern.osrelease": "6.1.0", "kern.osversion": "#1 SMP", "kern.version": "Linux version 6.1.0",
		"kern.hostname": "left", "kern.domainname": "(none)", "kern.maxfiles": "9223372036854775807", "kern.nfiles": "1024",
		"vm.loadavg": "0.10 0.20 0.30", "net.inet.ip.forwarding": "0", "net.inet.ip.mforwarding": "0", "net.inet.ip.redirect": "1",
		"net.inet.ip.ttl": "64", "net.inet.icmp.rediraccept": "0", "net.inet.icmp.bmcastecho": "0", "net.inet6.ip6.forwarding": "0",
		"net.inet6.ip6.hlim": "64", "hw.model": "A fast one", "hw.ncpu": "3", "hw.ncpufound": "8", "hw.ncpuonline": "3",
		"hw.physmem": "4194304", "hw.vendor": "Makers", "hw.product": "Machine",
	}
	for _, v := range translations(host(t)) {
		value, err := v.get()
		if w, ok := want[v.name]; err != nil || ok && value != w || value == "" {
			t.Errorf("%s: %q, %v, not %q", v.name, value, err, w)
		}
		delete(want, v.name)
		if !strings.Contains(string(page), ".It Va "+v.name+" Ta ") {
			t.Errorf("sysctl-carp(8) does not list %s", v.name)
		}
		if v.put == nil {
			f := &fake{root: host(t)}
			if stdout, stderr, _ := f.run(v.name + "=1"); stdout != "" || stderr != "sysctl: "+v.name+": Operation not permitted\n" {
				t.Errorf("%s=1: %s%s", v.name, stdout, stderr)
			}
		}
	}
	for name := range want {
		t.Errorf("%s is not translated", name)
	}
}

// What is set stands in every file, and is shown as OpenBSD shows it.
func TestTranslatedSet(t *testing.T) {
	dir := host(t)
	f := &fake{values: config.DefaultSysctl(), root: dir}
	stdout, stderr, exit := f.run("net.inet.ip.forwarding=1", "net.inet.ip.redirect= 0", "net.inet.icmp.bmcastecho=1", "kern.hostname=a b",
		"net.inet6.ip6.hlim=+65", "net.inet.ip.ttl=256", "net.inet.ip.ttl=0", "net.inet.ip.forwarding")
	const out = "net.inet.ip.forwarding: 0 -> 1\nnet.inet.ip.redirect: 1 -> 0\nnet.inet.icmp.bmcastecho: 0 -> 1\n" +
		"kern.hostname: left -> a b\nnet.inet6.ip6.hlim: 64 -> 65\nnet.inet.ip.forwarding=1\n"
	const errs = "sysctl: net.inet.ip.ttl: Invalid argument\nsysctl: net.inet.ip.ttl: Invalid argument\n"
	if stdout != out || stderr != errs || exit != 0 || len(f.asked) != 0 {
		t.Errorf("%s%s%d %q", stdout, stderr, exit, f.asked)
	}
	for path, want := range map[string]string{
		"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0", "ipv4/conf/eth0/send_redirects": "0",
		"ipv4/icmp_echo_ignore_broadcasts": "0", "ipv6/conf/all/hop_limit": "65", "ipv6/conf/eth0/hop_limit": "65",
	} {
		if data, err := os.ReadFile(filepath.Join(dir, "proc/sys/net", path)); err != nil || string(data) != want+"\n" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}

// A machine without the thing has a name without a value; --dry-run and the same value again write nothing.
func TestTranslatedAbsent(t *testing.T) {
	f := &fake{root: t.TempDir()}
	if stdout, stderr, exit := f.run("net.inet6.ip6.forwarding", "hw.vendor"); stdout != "" || exit != 0 ||
		stderr != "sysctl: net.inet6.ip6.forwarding: value is not available\nsysctl: hw.vendor: value is not available\n" {
		t.Errorf("%s%s%d", stdout, stderr, exit)
	}
	if stdout, stderr, exit := f.run("net.inet6.ip6.forwarding=1"); stdout != "" || exit != 0 ||
		stderr != "sysctl: net.inet6.ip6.forwarding: value is not available\n" {
		t.Errorf("%s%s%d", stdout, stderr, exit)
	}
	if stdout, stderr, exit := f.run("-n", "hw"); strings.Count(stdout, "\n") != 3 || stderr != "" || exit != 0 { // machine, byteorder, pagesize
		t.Errorf("a list with %s%s%d", stdout, stderr, exit)
	}
	f.root = host(t)
	path := filepath.Join(f.root, "proc/sys/net/ipv4/ip_forward")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, _ := f.run("--dry-run", "net.inet.ip.forwarding=1")
	again, stderr2, _ := f.run("net.inet.ip.forwarding=0")
	after, err := os.Stat(path)
	if stdout != "net.inet.ip.forwarding: 0 -> 1\n" || again != "net.inet.ip.forwarding: 0 -> 0\n" || stderr+stderr2 != "" || err != nil ||
		!after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%s%s%s%s%v", stdout, again, stderr, stderr2, err)
	}
}

// Where the system has no command of its own, its names are unknown ones, and a list is what is ours.
func TestNoSystem(t *testing.T) {
	f := &fake{values: config.DefaultSysctl(), none: true, root: host(t)}
	for line, want := range map[string]string{
		"-n -a":                        "1\n0\n2\n",
		"-n net":                       "1\n0\n2\n",
		"nope":                         "sysctl: top level name nope in nope is invalid\n",
		"net.ipv4.x net.inet.carp.log": "sysctl: second level name ipv4 in net.ipv4.x is invalid\nnet.inet.carp.log=2\n",
		"-x":                           "sysctl: unknown option -- x\n" + usage,
		"--system":                     "sysctl: unknown option -- -\n" + usage,
	} {
		stdout, stderr, _ := f.run(strings.Fields(line)...)
		if stderr+stdout != want {
			t.Errorf("%s: %s%s", line, stderr, stdout)
		}
	}
}

// One of ours that hands over to another of ours has said what is ours.
func TestPassed(t *testing.T) {
	for _, line := range []string{"-a", "net"} {
		var asked []string
		var out strings.Builder
		p := &program{stdout: &out, carp: &fake{}, translated: translations("/nowhere"), passed: true, ask: func(args []string) (int, error) {
			asked = args
			return 0, nil
		}}
		if exit := p.main([]string{line}); exit != 0 || out.String() != "" || strings.Join(asked, " ") != line {
			t.Errorf("%s: %q %q %d", line, asked, out.String(), exit)
		}
	}
}
