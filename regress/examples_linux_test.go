package regress

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// typed returns the lines of a page's EXAMPLES that stand behind a prompt, as they are typed.
func typed(t *testing.T, page string) (lines []string) {
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
	text = strings.ReplaceAll(text, "\\e\n", "")
	for _, m := range regexp.MustCompile(`(?m)^[#$] (.*?)( +\((first|second) host\))?$`).FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.ReplaceAll(m[1], `\e`, `\`))
	}
	return lines
}

// What stands behind a prompt in the EXAMPLES of these pages works as it is typed, one line after the other; hostname.carp(5) and carp-names(8) have tests of
// their own.
func TestExamplesOfPages(t *testing.T) {
	const daemon = "kernelsim -e >/dev/null 2>&1 & P=$!; soon serves\n"
	const carps = daemon + "ifconfig-carp carp0 vhid 1 192.168.1.10\n"
	for page, c := range map[string]struct {
		before string
		lines  int // at least
	}{
		"carp.4":      {daemon, 15},
		"carpstate.5": {carps, 1},
		"ifconfig-carp.8": {daemon + "ifconfig-carp carp1 vhid 11 192.168.1.21; ifconfig-carp carp2 vhid 12 192.168.1.22\n" +
			"echo mekmitasdigoat >/etc/carp.key; chmod 600 /etc/carp.key\n" +
			"mkdir -p /usr/local/sbin; ln -sf /bin/true /usr/local/sbin/backup\nip route add default via 192.168.1.254; ip link add eth1 type veth peer name to-eth1\n", 20},
		"kernelsim.8":    {"ip netns add red; ip -n red link add eth0 type veth peer name to-eth0; ip -n red addr add 10.0.0.2/24 dev eth0; ip -n red link set eth0 up\n", 6},
		"netstat-carp.8": {carps, 3},
		"sysctl-carp.8":  {daemon, 7},
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			lines := typed(t, page)
			if len(lines) < c.lines {
				t.Fatalf("%d lines", len(lines))
			}
			var script strings.Builder
			script.WriteString("P= PATH=" + bin + ":$PATH\n" + c.before)
			for _, line := range lines {
				run := line
				switch {
				case strings.HasPrefix(line, "tail -F"): // has no end
					run = "timeout 1 " + line + " || [ $? -eq 124 ]"
				case strings.HasPrefix(line, "tcpdump"):
					run = "timeout 10 tcpdump -c 1 " + strings.TrimPrefix(line, "tcpdump ")
				case strings.HasPrefix(line, "kernelsim -e"): // instead of those that run
					run = "unset CARP_STATEDIR; kill $P; wait; " + line + " P=$!; soon serves"
				case strings.HasSuffix(line, "&"):
					run = line + " P=\"$P $!\"; sleep 1"
				}
				script.WriteString("{ " + run + "\n} >\"$T/out\" 2>&1 || { echo '" + strings.ReplaceAll(line, "'", `'\''`) + ":'; cat \"$T/out\"; }\n")
			}
			script.WriteString("kill $P; wait\n")
			l := newLab(t)
			if out := l.machine("a").fresh(t, script.String()); out != "" {
				t.Error(out)
			}
		})
	}
}
