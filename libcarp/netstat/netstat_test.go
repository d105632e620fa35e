package netstat

import (
	"errors"
	"strings"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

type fake struct{ err error }

func (f fake) Stats() (config.Stats, statedir.Remark, error) { return config.Stats{}, "", f.err }
func (f fake) CarpStats() (map[string]config.Stats, statedir.Remark, error) {
	return map[string]config.Stats{"carp0": {}}, "", f.err
}

// run returns what a command line prints, or that it was handed over.
func run(f fake, line string) (stdout, stderr string, exit int) {
	var out, errs strings.Builder
	p := &program{&out, &errs, f, func([]string) error {
		out.WriteString("the system's\n")
		return nil
	}}
	exit = p.main(strings.Fields(line))
	return out.String(), errs.String(), exit
}

// Every counter of OpenBSD's has its line, except the one that it does not show, and each of ours.
func TestLines(t *testing.T) {
	shown := map[config.Counter]bool{config.Ostates: true}
	for _, l := range append(lines, own...) {
		if shown[l.counter] {
			t.Errorf("%s: twice", l.counter)
		}
		shown[l.counter] = true
	}
	if len(shown) != int(config.Counters) {
		t.Errorf("%d counters of %d have a line", len(shown), config.Counters)
	}
}

// What kernelsim has to say is told, and ends the command.
func TestErrors(t *testing.T) {
	for _, line := range []string{"-sp carp", "-jp carp"} {
		if stdout, stderr, exit := run(fake{errors.New("no way to it")}, line); stdout != "" || stderr != "netstat: no way to it\n" || exit != 1 {
			t.Errorf("%s: %s%s%d", line, stdout, stderr, exit)
		}
	}
}

// Whatever the words are, the command prints the counters or hands over, or ends in 1 with one line.
func FuzzMain(f *testing.F) {
	for _, line := range []string{"-s -p carp", "-ssvjpcarp", "-p", "-sp X", "-w 1 -sp carp", "-- -s", "-", "-s:"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		stdout, stderr, exit := run(fake{}, line)
		switch {
		case exit == 0 && stderr == "" && stdout != "":
		case exit == 1 && stdout == "" && strings.HasPrefix(stderr, "netstat: ") && strings.Count(stderr, "\n") >= 1:
		default:
			t.Errorf("%q: %q, %q, exit %d", line, stdout, stderr, exit)
		}
	})
}
