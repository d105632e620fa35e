package regress

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// An example is a command of a page's EXAMPLES as it is typed, and what the page prints below it: "" where it shows nothing. Of a script, a literal
// block without a prompt, it is the whole text.
type example struct {
	command, prints string
	script          bool
}

var literal = regexp.MustCompile(`(?s)\n\.Bd -literal[^\n]*\n(.*?)\n\.Ed\n`)

// examplesOf returns those of a page, in their order.
func examplesOf(t *testing.T, page string) (all []example) {
	t.Helper()
	data, err := os.ReadFile("../man/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(data), "\n.Sh EXAMPLES\n")
	if !ok {
		t.Fatalf("%s has no EXAMPLES", page)
	}
	text, _, _ = strings.Cut(text, "\n.Sh ")
	whose := regexp.MustCompile(` +\((first|second) host\)$`)
	for _, block := range literal.FindAllStringSubmatch("\n"+text+"\n", -1) {
		lines, typed := strings.Split(strings.ReplaceAll(block[1], "\\e\n", ""), "\n"), false
		for _, line := range lines {
			line = manualText.Replace(line)
			switch {
			case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "$ "):
				all, typed = append(all, example{command: whose.ReplaceAllString(line[2:], "")}), true
			case typed:
				all[len(all)-1].prints += line + "\n"
			}
		}
		if !typed {
			all = append(all, example{command: manualText.Replace(block[1]), script: true})
		}
	}
	return all
}

// What stands in the EXAMPLES of these pages works as it is typed, one after the other, prints what the page shows, and complains of nothing;
// hostname.carp(5) has a test of its own.
func TestExamplesOfPages(t *testing.T) {
	installed, err := install()
	if err != nil {
		t.Fatal(err)
	}
	const daemon = "kernelsim -e >/dev/null 2>&1 & P=$!; soon serves\n"
	const carps = daemon + "ifconfig-carp carp0 vhid 1 advbase 0 advskew 25 192.168.1.10; soon master\n"
	for page, c := range map[string]struct {
		before  string
		lines   int    // at least
		scripts string // what they print, or a newline for nothing; "" where none can be run
		differs string // what differs from host to host in what is printed
	}{
		"carp.4":       {daemon, 15, "", `advbase=[01] advskew=[0-9]+|counter=[0-9]+`},
		"carp-names.8": {"PATH=" + installed + "/sbin:$PATH\nrm -f /usr/bin/dpkg-divert\n" + daemon, 4, "", ""},
		"carpstate.5":  {"mkdir -p /var/run; " + carps, 1, "master\n", ""},
		"ifconfig-carp.8": {daemon + "ifconfig-carp carp1 vhid 11 192.168.1.21; ifconfig-carp carp2 vhid 12 192.168.1.22\n" +
			"echo mekmitasdigoat >/etc/carp.key; chmod 600 /etc/carp.key\n" +
			"mkdir -p /usr/local/sbin; ln -sf /bin/true /usr/local/sbin/backup\n" +
			"ip route add default via 192.168.1.254; ip link add eth1 type veth peer name to-eth1\n", 20, "", ""},
		"kernelsim.8": {"ip netns add red; ip -n red link add eth0 type veth peer name to-eth0\n" +
			"ip -n red addr add 10.0.0.2/24 dev eth0; ip -n red link set eth0 up\n", 6, "", ""},
		"netstat-carp.8": {carps +
			"some() { netstat-carp -sp carp | grep -Ec '([2-9]|[1-9][0-9]+) (discarded for bad auth|packets sent .IPv4)' | grep 2; }; soon some\n",
			3, "", `[2-9]|[1-9][0-9]+`},
		"sysctl-carp.8": {daemon, 7, "\n", ""},
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			m := l.machine("a")
			if page == "netstat-carp.8" { // somebody is there with another pass phrase
				l.host("b").must("ifconfig-carp carp0 vhid 1 pass other advbase 0 advskew 50 192.168.1.10")
			}
			var script strings.Builder
			same := "cat"
			if c.differs != "" {
				same = "sed -E " + quoted("s/"+c.differs+"/N/g")
			}
			script.WriteString("P= PATH=" + bin + ":$PATH\nsame() { " + same + " \"$T/$1\"; }\n" +
				"master() { ifconfig-carp carp0 | grep -q 'status: master'; }\n" + c.before)
			typed := 0
			for _, e := range examplesOf(t, page) {
				run, quiet := e.command, true
				switch {
				case e.script && c.scripts == "":
					continue
				case e.script:
					e.prints = strings.TrimPrefix(c.scripts, "\n")
				case strings.HasPrefix(run, "tail -F"): // has no end
					run = "timeout 1 " + run + " || [ $? -eq 124 ]"
				case strings.HasPrefix(run, "tcpdump"):
					run, quiet = "timeout 10 tcpdump -tc 1 "+strings.TrimPrefix(run, "tcpdump "), false
				case strings.HasPrefix(run, "kernelsim -e"): // instead of those that run
					run = "unset CARP_STATEDIR; kill $P 2>/dev/null; wait; " + run + " P=$!; soon serves"
				case strings.HasSuffix(run, "&"):
					run, quiet = run+" P=\"$P $!\"; sleep 1", false
				}
				if !e.script {
					typed++
				}
				script.WriteString("{ " + run + "\n} >\"$T/out\" 2>\"$T/err\" ||\n{ printf 'exit %s of %s\\n' $? " + quoted(e.command) + "; cat \"$T/out\"; }\n")
				if !quiet {
					script.WriteString(": >\"$T/err\"\n")
				}
				if e.prints != "" {
					script.WriteString("printf %s " + quoted(e.prints) + " >\"$T/page\"; same page >\"$T/want\"\n" +
						"same out | diff \"$T/want\" - >>\"$T/err\" || :\n")
				}
				script.WriteString("[ ! -s \"$T/err\" ] || { printf '%s:\\n' " + quoted(e.command) + "; cat \"$T/err\"; }\n")
			}
			if typed < c.lines {
				t.Fatalf("%d lines", typed)
			}
			script.WriteString("kill $P; wait\n")
			if out := m.fresh(t, script.String()); out != "" {
				t.Error(out)
			}
		})
	}
}
