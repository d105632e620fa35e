package ifconfig

import (
	"fmt"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
)

// A Mode is what a command line is about.
type Mode int

// The modes.
const (
	Configure Mode = iota // change an interface
	Show                  // interfaces
	Owner                 // -M: name the interface that has a link-level address
	Cloners               // -C: name the classes of interfaces that can be created
	ShowGroup             // -g
	SetGroup              // -g with [-]carpdemote
)

// A Command is a command line, parsed.
type Command struct {
	Mode    Mode
	All     bool            // -a and -A: there is no name
	Name    string          // of the interface or group
	Lladdr  string          // for Owner
	Family  string          // inet or inet6: show no other addresses; "": show all
	Primary bool            // show the first inet address alone
	Steps   []config.Clause // what to do, in this order
	Acts    []Act           // the same, for an interface that is no carp
	Notes   []Note          // warnings about words that change nothing
	Check   bool            // -n: change nothing, and tell what would be refused
	Err     error           // why the words that follow those of Steps have no meaning
}

// A Note is a warning, and how many steps or acts come before it.
type Note struct {
	Text string
	At   int
}

// Parse reads the words after the program's name, in the order of ifconfig.c's main. Addresses that are no numbers are looked up, and what
// the words do not say of an interface, but mean, is asked of c, or of host where the interface is no carp. Without a host all are carps.
func Parse(args []string, names Names, c Carp, host ordinary.Host) Command {
	if len(args) == 0 {
		return Command{Mode: Show, All: true, Primary: true}
	}
	check := args[0] == "-n" && len(args) > 1 // ours: alone, or beside other letters
	if check {
		args = args[1:]
	}
	cmd, words, err := parseName(args)
	if err != nil {
		return Command{Err: err}
	}
	cmd.Check = cmd.Check || check
	if len(words) > 0 && (words[0] == "inet" || words[0] == "inet6") {
		cmd.Family, words = words[0], words[1:]
	}
	switch {
	case len(words) == 0:
	case cmd.Mode == Cloners:
		return Command{Err: errUsage}
	case cmd.Mode == ShowGroup:
		cmd.Mode = SetGroup
		cmd.Steps, cmd.Err = parseDemotion(cmd.Name, words)
	case cmd.Mode == Show:
		cmd.Mode = Configure
		cmd.parseWords(words, names, c, host)
	}
	return cmd
}

// letters are the options, which can only be in the first word.
type letters struct{ all, aliases, cloners, group, check bool }

// parseName reads the letters and the name. It returns the words after them.
func parseName(args []string) (cmd Command, words []string, err error) {
	var l letters
	if strings.HasPrefix(args[0], "-") {
		for _, letter := range []byte(args[0][1:]) {
			switch letter {
			case 'a':
				l.all = true
			case 'A':
				l.all, l.aliases = true, true
			case 'C':
				l.cloners = true
			case 'g':
				l.group = true
			case 'n': // ours
				l.check = true
			case 'M': // is done at once: no letter after it counts, nor a word after its argument
				if len(args) == 1 {
					return cmd, nil, errUsage
				}
				return Command{Mode: Owner, Lladdr: args[1]}, nil, nil
			default:
				return cmd, nil, errUsage
			}
		}
		args = args[1:]
	}
	if !l.all && !l.cloners { // else there is no name
		if len(args) == 0 {
			return cmd, nil, errUsage
		}
		cmd.Name, args = args[0], args[1:]
		if len(cmd.Name) > config.NameMax {
			return cmd, nil, fmt.Errorf("interface name '%s' too long", cmd.Name)
		}
	}
	cmd.Check = l.check
	switch {
	case l.cloners && l.all:
		return cmd, nil, errUsage
	case l.cloners:
		cmd.Mode = Cloners
	case l.group:
		cmd.Mode = ShowGroup
	default:
		cmd.Mode, cmd.All, cmd.Primary = Show, l.all, l.all && !l.aliases
	}
	return cmd, args, nil
}

// parseWords reads what is to be done with an interface. Words that only ask for something to be shown show the interface.
func (c *Command) parseWords(words []string, names Names, carp Carp, host ordinary.Host) {
	p := parser{name: c.Name, inet6: c.Family == "inet6", names: names, carp: carp}
	p.addr.refused, p.addr.lifetime = map[string]bool{}, map[string]uint32{}
	if !config.IsCarpName(c.Name) && !c.All {
		p.own = host
	}
	switch {
	case words[0] == "create": // only here: later in the line it would be an address
		p.step(config.Clause{Word: config.Create})
		words = words[1:]
	case words[0] != "destroy" && endsInDigit(c.Name):
		p.step(config.Clause{Word: config.Need})
	}
	c.Err = p.parse(words)
	c.Steps, c.Acts, c.Notes = p.steps, p.acts, p.notes
	if p.shows > 0 && p.shows == len(words) {
		*c = Command{Mode: Show, Name: c.Name, Family: c.Family, All: c.All, Primary: c.Primary, Notes: c.Notes}
	}
}

func endsInDigit(name string) bool { return name != "" && isDigit(name[len(name)-1]) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
