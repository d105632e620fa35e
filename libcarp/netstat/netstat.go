// Package netstat is OpenBSD's netstat(1) for carp's counters: netstat -s -p carp, its text, messages and exit codes. What else netstat is asked is
// handed over to the system's own.
//
// The rules come from usr.bin/netstat, main.c and inet.c (OpenBSD 5.4 to 6.0).
package netstat

import (
	"fmt"
	"io"
	"slices"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/internal/output"
	"carp/libcarp/internal/system"
	"carp/libcarp/statedir"
)

// A Carp is what has counted. *libcarp.Conn is one.
type Carp interface {
	Stats() (config.Stats, statedir.Remark, error)
	CarpStats() (map[string]config.Stats, statedir.Remark, error)
}

var _ Carp = (*libcarp.Conn)(nil)

// A program is one run of the command.
type program struct {
	stdout, stderr io.Writer
	carp           Carp
	exec           func(args []string) error // becomes the system's command
}

// Main does what the words after the program's name ask for, and returns the exit code.
func Main(args []string, stdout, stderr io.Writer, c Carp) int {
	out := output.New(stdout)
	p := &program{out, stderr, c, func(args []string) error { return system.Exec("netstat", args) }}
	exit := p.main(args)
	if err := out.Err(); err != nil {
		p.warn(err)
		return 1
	}
	return exit
}

func (p *program) main(args []string) int {
	if err := p.run(args); err != nil {
		p.warn(err)
		return 1
	}
	return 0
}

func (p *program) run(args []string) error {
	o, ok := parseOptions(args)
	switch {
	case !ok || o.protocol == "" || o.other:
		return p.exec(args)
	case o.protocol == "carp" && o.s == 0 && !o.json: // carp has no sockets
		return fmt.Errorf("no protocol handler for protocol %s", o.protocol)
	case o.protocol == "carp":
		return p.show(o)
	case o.s > 0 && !slices.Contains(protocols, o.protocol):
		return fmt.Errorf("%s: unknown or uninstrumented protocol", o.protocol)
	}
	return p.exec(args)
}

// show prints the counters.
func (p *program) show(o options) error {
	stats, remark, err := p.carp.Stats()
	if err != nil {
		return err
	}
	if remark != "" {
		p.warn(remark)
	}
	if !o.json {
		printStats(p.stdout, &stats, o.s > 1, o.verbose)
		return nil
	}
	carps, _, err := p.carp.CarpStats()
	if err != nil {
		return err
	}
	printJSON(p.stdout, &stats, carps)
	return nil
}

// warn says something as errx(3) does. The program is called netstat, whatever its file is called.
func (p *program) warn(what any) { fmt.Fprintf(p.stderr, "netstat: %v\n", what) }
