// Package sysctl is OpenBSD's sysctl(8) for net.inet.carp: its names, its order of evaluation, its messages and exit codes.
//
// The rules come from sbin/sysctl/sysctl.c (OpenBSD 7.7). Of every name outside net.inet.carp it is said what OpenBSD says of one
// that it does not know.
package sysctl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A Carp is what holds the variables. *libcarp.Conn is one.
type Carp interface {
	Change(config.Change) (libcarp.Result, error)
	Check(config.Change) (libcarp.Result, error)
	Sysctl() (config.Sysctl, statedir.Remark, error)
}

// A program is one run of the command.
type program struct {
	options
	stdout, stderr io.Writer
	carp           Carp
	said           map[string]bool // the remarks that were made: one of a kind is enough
}

// Main does what the words after the program's name ask for, and returns the exit code: 0 also when names or values were wrong,
// which is only warned of.
func Main(args []string, stdout, stderr io.Writer, c Carp) int {
	p := &program{stdout: stdout, stderr: stderr, carp: c, said: map[string]bool{}}
	err := p.run(args)
	var u usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u):
		fmt.Fprint(stderr, u)
	default:
		p.warn("%v", err)
	}
	return 1
}

func (p *program) run(args []string) error {
	var err error
	if p.options, err = parseOptions(args); err != nil {
		return err
	}
	if p.all || len(p.names) == 0 && p.file == "" {
		return p.list()
	}
	if p.file != "" {
		if err := p.readFile(); err != nil {
			return err
		}
	}
	for _, name := range p.names {
		if err := p.do(name); err != nil {
			return err
		}
	}
	return nil
}

// readFile does what the lines of -f ask for. A line ends at its first blank, so that one that begins with a blank is empty.
func (p *program) readFile() error {
	data, err := os.ReadFile(p.file)
	if err != nil {
		return fmt.Errorf("fopen: %w", statedir.ErrnoOf(err))
	}
	for _, line := range strings.Split(string(data), "\n") {
		if end := strings.IndexAny(line, " \t#"); end >= 0 {
			line = line[:end]
		}
		if line == "" {
			continue
		}
		if err := p.do(line); err != nil {
			return err
		}
	}
	return nil
}

// warn says something as warnx(3) does. The program is called sysctl, whatever its file is called.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.stderr, "sysctl: "+format+"\n", args...)
}

func (p *program) remark(text string) {
	if text != "" && !p.said[text] {
		p.said[text] = true
		p.warn("%s", text)
	}
}
