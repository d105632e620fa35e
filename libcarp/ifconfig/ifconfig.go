// Package ifconfig is OpenBSD's ifconfig(8) for carp interfaces: its words, its order of evaluation, its messages and exit
// codes, and its display.
//
// The rules come from sbin/ifconfig/ifconfig.c (OpenBSD 7.5 to 7.7). One of them is changed on purpose: there each word is an
// ioctl that runs at once, here the words of a command line are one change, made whole or not at all. [Parse] reads a
// command line, [Main] carries it out.
package ifconfig

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A Carp is what holds the interfaces. *libcarp.Conn is one.
type Carp interface {
	Change(config.Change) (libcarp.Result, error)
	Check(config.Change) (libcarp.Result, error)
	Interface(name string) (statedir.Status, statedir.Remark, error)
	Interfaces() ([]statedir.Status, statedir.Remark, error)
	Groups() (map[string]int, statedir.Remark, error)
}

// Names are what the system knows by a name.
type Names interface {
	// Host returns an address of a host. The network is ip4 or ip6.
	Host(network, name string) (netip.Addr, error)
	// Index returns the index of an interface, 0 if there is none of that name.
	Index(name string) int
}

// errUsage is the error of a command line that has no meaning.
var errUsage = errors.New("usage: ifconfig [-AaC] [-M lladdr] [interface] [address_family]\n" +
	"\t\t[address [dest_address]] [parameters]")

// errSilent is an error that the exit code alone tells.
var errSilent = errors.New("no single answer")

// A program is one run of the command.
type program struct {
	stdout, stderr io.Writer
	carp           Carp
}

// Main does what the words after the program's name ask for, and returns the exit code.
func Main(args []string, stdout, stderr io.Writer, c Carp, names Names) int {
	p := &program{stdout, stderr, c}
	err := p.run(Parse(args, names, c))
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
	case errors.Is(err, errUsage), errors.As(err, new(noInterface)):
		fmt.Fprintln(stderr, err)
	default:
		p.warn(err.Error())
	}
	return 1
}

func (p *program) run(cmd Command) error {
	switch cmd.Mode {
	case Show:
		return p.show(cmd)
	case Owner:
		return p.owner(cmd.Lladdr)
	case Cloners:
		fmt.Fprintln(p.stdout, "carp")
		return nil
	case ShowGroup:
		return p.showGroup(cmd.Name)
	case SetGroup:
		return p.setGroup(cmd)
	}
	return p.configure(cmd)
}

// warn says something as err(3) does. The program is called ifconfig, whatever its file is called: scripts look for that.
func (p *program) warn(text string) { fmt.Fprintf(p.stderr, "ifconfig: %s\n", text) }

// remark tells that what was shown is not what holds.
func (p *program) remark(r statedir.Remark) {
	if r != "" {
		p.warn(string(r))
	}
}

// stored tells that a change is not in force yet.
func (p *program) stored(r statedir.Remark) {
	if r != "" {
		p.warn(string(r) + "; configuration stored")
	}
}
