// Package ifconfig is OpenBSD's ifconfig(8) for carp interfaces, and for the host's own: its words, its order of evaluation, its messages and exit
// codes, and its display.
//
// The rules come from sbin/ifconfig/ifconfig.c (OpenBSD 7.5 to 7.7). One of them is changed on purpose: there each word is an
// ioctl that runs at once, here the words of a command line for a carp are one change, made whole or not at all. [Parse] reads a
// command line, [Main] carries it out.
package ifconfig

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/internal/output"
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
	host           ordinary.Host // nil: no interfaces but carps
}

// Main does what the words after the program's name ask for, and returns the exit code. What is not ours goes to the system's ifconfig, which takes the
// place of this process; without a host, all that is not about carps.
func Main(args []string, stdout, stderr io.Writer, c Carp, names Names, host ordinary.Host) int {
	out := output.New(stdout)
	p := &program{out, stderr, c, host}
	err := error(nil)
	if (host != nil || ordinary.Elsewhere) && isTheirs(args) {
		err = handOver(args)
	}
	if err == nil {
		err = p.run(Parse(args, names, c, host))
	}
	if err == nil {
		err = out.Err()
	}
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
		return p.cloners()
	case ShowGroup:
		return p.showGroup(cmd.Name)
	case SetGroup:
		return p.setGroup(cmd)
	}
	if len(cmd.Acts) > 0 {
		return p.act(cmd)
	}
	return p.configure(cmd)
}

// cloners names the kinds of interfaces that can be created.
func (p *program) cloners() error {
	fmt.Fprintln(p.stdout, strings.Join(p.classes(), " "))
	return nil
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
