package regress

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// netstartHost is a host with em0 at 10.0.0.250/24 and 2001:db8::fa/64 and em1 at 172.16.0.2/24, both with a carrier, and nobody else on them.
func (l *lab) netstartHost(name string) *machine {
	l.t.Helper()
	m := l.machine(name)
	for em, addrs := range map[string][]string{"em0": {"10.0.0.250/24", "2001:db8::fa/64"}, "em1": {"172.16.0.2/24"}} {
		l.ip(m.ns, "link", "add", em, "type", "veth", "peer", "name", em+"-peer")
		l.ip(m.ns, "link", "set", em+"-peer", "up")
		l.ip(m.ns, "link", "set", em, "addrgenmode", "none", "up")
		for _, a := range addrs {
			l.ip(m.ns, "addr", "add", a, "dev", em)
		}
	}
	m.start()
	m.serves()
	l.t.Cleanup(m.crash)
	return m
}

// forget ends what a case has left, so that each begins with a fresh host.
const forget = `
for i in $(ifconfig carp | sed -n 's/^\(carp[0-9]*\):.*/\1/p'); do ifconfig $i destroy; done
sysctl -q net.inet.carp.preempt=0 net.inet.carp.log=2
ip -4 route del default 2>/dev/null
ip -6 route del default 2>/dev/null
`

// indexes differ from host to host.
var indexes = regexp.MustCompile(`(\tindex |scopeid 0x)[0-9a-f]+`)

// What netstart makes of a file: the commands (-n), what these say, and what is in force then. In CI a case runs under one of the shells, with
// make regress-long under each.
func TestNetstart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.netstartHost("a")
	for n, c := range readTranscripts(t, "testdata/netstart") {
		for s, shell := range shells {
			if !long && n%len(shells) != s {
				continue
			}
			etc := filepath.Join(l.dir, "etc-"+shell+"-"+c.name)
			c.etc(t, etc)
			start := time.Now()
			got, _, _ := strings.Cut(m.script(shell, etc, c.text()+"echo =====\n"+forget), "=====\n")
			if took := time.Since(start); took > 2*time.Second && !strings.Contains(got, "sleep") {
				t.Logf("%s took %v", c.name, took) // whoever waits three intervals becomes master
			}
			if got = indexes.ReplaceAllString(got, "${1}N"); got != c.want {
				t.Errorf("%s under %s prints\n%s\nnot\n%s", c.name, shell, got, c.want)
			}
		}
	}
}

// A line that the shell cannot read is lost by itself: what follows it in its file, and the files after that one, are carried out.
func TestNetstartSyntax(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.netstartHost("a")
	for _, line := range []string{`description "front`, "!for i in 1 2", "!)"} {
		c := transcript{files: map[string]string{
			"hostname.carp1": "vhid 1 carpdev em0\n" + line + "\n10.0.0.1/24\n",
			"hostname.carp2": "vhid 2 carpdev em0 10.0.0.2/24\n",
		}}
		for _, shell := range shells {
			etc, err := os.MkdirTemp(l.dir, "etc")
			if err != nil {
				t.Fatal(err)
			}
			c.etc(t, etc)
			got := m.script(shell, etc, "sh /etc/netstart 2>/etc/complaint; echo $?; test -s /etc/complaint && echo complained\n"+
				"rm /etc/complaint; ifconfig carp | grep -o 'inet 10[0-9.]*'\n"+forget)
			if want := "0\ncomplained\ninet 10.0.0.1\ninet 10.0.0.2\n"; got != want {
				t.Errorf("%q under %s prints\n%s\nnot\n%s", line, shell, got, want)
			}
		}
	}
}

// What -n prints does not depend on the shell.
func TestNetstartShells(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.machine("a")
	for _, c := range readTranscripts(t, "testdata/netstart") {
		var names []string
		for head := range c.files {
			if name, _, _ := strings.Cut(head, " "); strings.HasPrefix(name, "hostname.") {
				names = append(names, strings.TrimPrefix(name, "hostname."))
			}
		}
		text, first := "sh /etc/netstart -n "+strings.Join(names, " ")+"; sh /etc/netstart -n", ""
		for _, shell := range shells {
			etc := filepath.Join(l.dir, "etc-"+shell+"-"+c.name)
			c.etc(t, etc)
			got := m.script(shell, etc, text)
			switch {
			case shell == shells[0]:
				first = got
			case got != first:
				t.Errorf("%s under %s prints\n%s\nand under %s\n%s", c.name, shell, got, shells[0], first)
			}
		}
	}
}

// Every literal of section F of the specification that a user of carp sees stands in a transcript; the sections all have some.
func TestNetstartLiterals(t *testing.T) {
	cases := readTranscripts(t, "testdata/netstart")
	literals := map[string][]string{
		"F.1": {
			"WARNING: /etc/hostname.carp0 is insecure, fixing permissions.\n",
			"netstart: /etc/hostname.carp0: No such file or directory.\n",
			"netstart: create for 'carp00' failed.\n",
		},
		"F.2": {
			"ifconfig carp0 inet 10.0.0.1 netmask 255.255.255.0 broadcast 10.0.0.255 vhid 1 carpdev em0 pass *** advskew 100\n",
			"ifconfig carp0 inet 10.0.0.1 netmask 255.255.255.0 vhid 1 carpdev em0 pass ***\n",
			"ifconfig carp0 inet alias 10.0.0.2 netmask 255.255.255.255\n",
			"ifconfig carp0 inet autoconf\n",
			"ifconfig carp0 inet6 2001:db8::1 prefixlen 64\n",
			"ifconfig carp0 inet6 alias 2001:db8::1 prefixlen 64\n",
			"ifconfig carp0 inet6 autoconf\n",
			"ifconfig carp0 inet 10.0.0.1 10.0.0.9 netmask 255.255.255.0\n",
			"logger -t carp configured carp0\n",
			"ifconfig carp0 10.0.0.1/24 vhid 1 carpdev em0 pass ***\n",
			"ifconfig carp0 vhid 1 carpdev em0 pass *** 10.0.0.1/24\n",
			"ifconfig carp0 inet 10.0.0.1 netmask 255.255.255.0 broadcast vhid 1\n",
			"ifconfig carp0 inet 10.0.0.1/24 netmask vhid broadcast 1 carpdev em0\n",
			"ifconfig carp0 description \"front VIP\"\n",
			"ifconfig carp0 up\n",
		},
		"F.3": {"usage: sh /etc/netstart [-n] [interface ...]\n", "netstart: need root privileges\n"},
		"F.4": {"net.inet.carp.preempt: 0 -> 1\n"},
	}
	hostnames := 0
	for section, all := range literals {
		var text string
		for _, c := range cases {
			if strings.HasPrefix(c.name, section) {
				text += c.want
			}
		}
		for _, literal := range all {
			if !strings.Contains(text, "\n"+literal) && !strings.HasPrefix(text, literal) {
				t.Errorf("%s: no case with %q", section, literal)
			}
		}
	}
	for _, c := range cases {
		for head := range c.files {
			if strings.HasPrefix(head, "hostname.") {
				hostnames++
			}
		}
	}
	if hostnames < 40 {
		t.Errorf("%d files, want 40", hostnames)
	}
}

// A file whose parent is late delays nothing: its lines are kept, the log says so once, and the carp works when the parent comes.
func TestNetstartLateCarpdev(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.netstartHost("a")
	etc := filepath.Join(l.dir, "etc")
	c := transcript{name: "late", files: map[string]string{
		"hostname.carp0": "vhid 1 carpdev late0 advskew 25 advbase 0 pass x 10.9.0.1/24\ninet alias 10.9.0.2 255.255.255.255\n",
		"hostname.carp1": "vhid 2 carpdev em0 advskew 25 advbase 0 10.0.0.1/24\n",
	}}
	c.etc(t, etc)
	start := time.Now()
	if out := m.script("dash", etc, "sh /etc/netstart"); out != "" {
		t.Errorf("netstart says %s", out)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	l.within(5*time.Second, "the other is master", func() bool { return m.status("carp1") == "master" })
	if out := m.must("ifconfig-carp carp0"); !strings.Contains(out, "\tcarp: INIT carpdev none vhid 1 ") || !strings.Contains(out, "\tinet 10.9.0.2 ") {
		t.Errorf("%s", out)
	}
	if n := strings.Count(m.readLog(), "carp0: waiting for carpdev late0"); n != 1 {
		t.Errorf("the log says %d times that it waits:\n%s", n, m.readLog())
	}
	if out := m.script("mksh", etc, "sh /etc/netstart -n -d"); out != "" {
		t.Errorf("a difference while it waits:\n%s", out)
	}
	l.ip(m.ns, "link", "add", "late0", "type", "veth", "peer", "name", "late0-peer")
	l.ip(m.ns, "link", "set", "late0-peer", "up")
	l.ip(m.ns, "link", "set", "late0", "up")
	m.becomes("master", 5*time.Second)
	if info, err := os.Stat(filepath.Join(etc, "hostname.carp0")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// manualText turns a literal block of a manual page into what is typed.
var manualText = strings.NewReplacer(`\e`, `\`, `\(dq`, `"`, `\&`, "")

// EXAMPLES of hostname.carp(5) are what they say: files are put into /etc, and what is typed prints what stands below it.
func TestHostnameCarpExamples(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.netstartHost("a")
	page, err := os.ReadFile("../man/hostname.carp.5")
	if err != nil {
		t.Fatal(err)
	}
	_, examples, _ := strings.Cut(string(page), "\n.Sh EXAMPLES\n")
	examples, _, _ = strings.Cut(examples, "\n.Sh ")
	etc := filepath.Join(l.dir, "etc")
	(&transcript{}).etc(t, etc)
	files, typed := 0, 0
	for _, part := range strings.Split(examples, "\n.\\\" ")[1:] {
		head, block, _ := strings.Cut(part, "\n.Bd -literal -offset indent\n")
		block, _, ok := strings.Cut(block, ".Ed")
		block = manualText.Replace(block)
		switch name, isFile := strings.CutPrefix(head, "file "); {
		case !ok:
			t.Fatalf("%q has no block", head)
		case isFile:
			files++
			if err := os.WriteFile(filepath.Join(etc, name), []byte(block), 0o640); err != nil {
				t.Fatal(err)
			}
		case head == "typed":
			c := transcript{want: block}
			for _, line := range strings.Split(block, "\n") {
				if command, ok := strings.CutPrefix(line, "# "); ok {
					c.commands = append(c.commands, command)
				}
			}
			got := strings.ReplaceAll("\n"+m.script(shells[typed%len(shells)], etc, c.text()), "\n$ ", "\n# ")[1:]
			got = exitLines.ReplaceAllString(got, "")
			if typed++; got != c.want {
				t.Errorf("what is typed prints\n%s\nnot\n%s", got, c.want)
			}
		default:
			t.Errorf("%q is neither a file nor typed", head)
		}
	}
	if blocks := strings.Count(examples, ".Bd -literal"); files < 4 || typed < 6 || files+typed != blocks {
		t.Errorf("%d files and %d typed of %d blocks", files, typed, blocks)
	}
}

// exitLines are what a transcript says of exit codes and a terminal does not.
var exitLines = regexp.MustCompile(`(?m)^exit \d+\n`)

// A vlan is made before its file is read, of what is said anywhere in it; here by a command that writes down what it is asked, since
// not every kernel has vlans.
func TestNetstartVlan(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.machine("a")
	names, log := filepath.Join(l.dir, "libexec/carp"), filepath.Join(l.dir, "asked")
	if err := os.MkdirAll(names, 0o755); err != nil {
		t.Fatal(err)
	}
	stub := "#!/bin/sh\ncase $* in\n-C) echo bridge carp vlan ;;\nvlan5) grep -q create " + log + " ;;\n*) echo \"$*\" >>" + log + " ;;\nesac\n"
	if err := os.WriteFile(filepath.Join(names, "ifconfig"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../rc.d/netstart")
	if err != nil {
		t.Fatal(err)
	}
	etc := filepath.Join(l.dir, "etc")
	(&transcript{files: map[string]string{"hostname.vlan5": "# office\nvnetid 5 # tag\nparent em0\ninet 10.5.0.2 255.255.255.0\n!echo vlan 9 parent nowhere >/dev/null\n"}}).etc(t, etc)
	os.Remove(filepath.Join(etc, "netstart"))
	if err := os.WriteFile(filepath.Join(etc, "netstart"), []byte(strings.ReplaceAll(string(text), "@PREFIX@", l.dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	want := "vlan5 create vnetid 5 parent em0\nvlan5 vnetid 5\nvlan5 parent em0\nvlan5 inet 10.5.0.2 netmask 255.255.255.0\n"
	for _, words := range []string{"", " vlan5"} {
		for _, shell := range shells {
			os.Remove(log)
			said := m.script(shell, etc, "sh /etc/netstart"+words)
			if asked, err := os.ReadFile(log); err != nil || string(asked) != want || said != "" {
				t.Errorf("netstart%s under %s says %q and asks\n%s", words, shell, said, asked)
			}
		}
	}
}
