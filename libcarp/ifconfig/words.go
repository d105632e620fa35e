package ifconfig

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"carp/libcarp/config"
)

// A keyword is a word with a meaning of its own; every other one is an address.
type keyword struct {
	takesArg bool
	do       func(p *parser, word, arg string) error
}

// keywords is the part of ifconfig.c's cmds[] that we have. A spelling is compared whole.
var keywords = map[string]keyword{
	"up":           {false, (*parser).clause},
	"down":         {false, (*parser).clause},
	"destroy":      {false, (*parser).clause},
	"vhid":         {true, (*parser).clause},
	"advbase":      {true, (*parser).clause},
	"advskew":      {true, (*parser).clause},
	"state":        {true, (*parser).clause},
	"pass":         {true, (*parser).pass},
	"carpdev":      {true, (*parser).carpdev},
	"carppeer":     {true, (*parser).carppeer},
	"-carppeer":    {false, (*parser).clause},
	"carppeer6":    {true, (*parser).carppeer6},
	"-carppeer6":   {false, (*parser).clause},
	"lladdr":       {true, (*parser).lladdr},
	"group":        {true, (*parser).group},
	"-group":       {true, (*parser).leaveGroup},
	"description":  {true, (*parser).clause},
	"descr":        {true, (*parser).clause},
	"-description": {false, (*parser).clause},
	"-descr":       {false, (*parser).clause},
	"alias":        {false, (*parser).alias},
	"-alias":       {false, (*parser).alias},
	"delete":       {false, (*parser).alias},
	"netmask":      {true, (*parser).netmask},
	"prefixlen":    {true, (*parser).prefixlen},
	"broadcast":    {true, (*parser).broadcast},
	"-inet":        {false, (*parser).noFamily},
	"-inet6":       {false, (*parser).noFamily},
	"anycast":      {false, (*parser).flag6},
	"-anycast":     {false, (*parser).flag6},
	"tentative":    {false, (*parser).flag6},
	"-tentative":   {false, (*parser).flag6},
	"pltime":       {true, (*parser).lifetime},
	"vltime":       {true, (*parser).lifetime},
	"eui64":        {false, (*parser).eui64},
	"autoconf":     {false, (*parser).autoconf},
	"-autoconf":    {false, (*parser).autoconf},
	"temporary":    {false, (*parser).autoconf},
	"-temporary":   {false, (*parser).autoconf},
}

// A parser reads the words after the name, from left to right.
type parser struct {
	name  string
	inet6 bool
	names Names
	carp  Carp
	addr  addresses
	steps []config.Clause
	notes []Note
}

// parse ends at the first word without a meaning; the steps of those before it stand then, but nothing is done to addresses,
// which ifconfig leaves for the end.
func (p *parser) parse(words []string) error {
	for ; len(words) > 0; words = words[1:] {
		word := words[0]
		k, ok := keywords[word]
		if !ok {
			if err := p.address(word); err != nil {
				return err
			}
			continue
		}
		arg := ""
		if k.takesArg {
			if len(words) == 1 {
				return fmt.Errorf("'%s' requires argument", word)
			}
			arg, words = words[1], words[1:]
		}
		if err := k.do(p, word, arg); err != nil {
			return err
		}
	}
	return p.addressSteps()
}

func (p *parser) step(c config.Clause) { p.steps = append(p.steps, c) }

func (p *parser) note(text string) { p.notes = append(p.notes, Note{text, len(p.steps)}) }

func (p *parser) family() string {
	if p.inet6 {
		return "inet6"
	}
	return "inet"
}

// clause is a word that is also one of config's.
func (p *parser) clause(word, arg string) error {
	var args []string
	if _, takesArg, _ := config.Lookup(word); takesArg {
		args = []string{arg}
	}
	c, err := config.ParseClause(word, args...)
	if err == nil {
		p.step(c)
	}
	return err
}

func (p *parser) pass(_, arg string) error {
	if len(arg) > config.PassMax {
		p.note(fmt.Sprintf("%s: pass phrase is longer than %d bytes; only the first %d count", p.name, config.PassMax, config.PassMax))
	}
	p.step(config.Clause{Word: config.PassPhrase, Pass: config.NewPass(arg)})
	return nil
}

// carpdev takes any name. It is cut as strlcpy(3) does into ifconfig's request; an empty one changes nothing.
func (p *parser) carpdev(_, arg string) error {
	if len(arg) > config.NameMax {
		arg = arg[:config.NameMax]
	}
	c, err := config.ParseClause("carpdev", arg)
	if err == nil {
		p.step(c)
		return nil
	}
	// config has no words for a name that no interface can have. OpenBSD would fetch the interface's parameters, which can
	// fail, and then store them, which fails unless the name is empty.
	p.step(config.Clause{Word: config.State})
	if arg == "" {
		return nil
	}
	return fmt.Errorf("%s: SIOCSVH: %w", p.name, config.EINVAL)
}

// lladdr takes a link-level address, or makes one up. One that is malformed changes nothing (ifconfig.c: setiflladdr).
func (p *parser) lladdr(_, arg string) error {
	mac, err := config.ParseMAC(arg)
	if arg == "random" {
		if _, err = rand.Read(mac[:]); err != nil {
			return fmt.Errorf("failed to read random bytes: %w", err)
		}
		mac[0] &^= 3 // neither a group's nor, so as to pass for hardware, locally administered
	}
	if err != nil {
		p.note("malformed link-level address")
		return nil
	}
	p.step(config.Clause{Word: config.Lladdr, MAC: mac})
	return nil
}

// group checks a name as ifconfig does itself (ifconfig.c: setifgroup). What config has no words for can be no group's name here.
func (p *parser) group(word, arg string) error {
	switch {
	case arg == "":
		return errors.New("setifgroup: group name empty")
	case len(arg) > config.NameMax:
		return errors.New("setifgroup: group name too long")
	case endsInDigit(arg):
		return errors.New("setifgroup: group names may not end in a digit")
	}
	c, err := config.ParseClause(word, arg)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", arg, aifgroup.set, config.EINVAL)
	}
	p.step(c)
	return nil
}

// leaveGroup is -group. Nobody is in a group that config has no words for.
func (p *parser) leaveGroup(word, arg string) error {
	if len(arg) > config.NameMax {
		return errors.New("unsetifgroup: group name too long")
	}
	c, err := config.ParseClause(word, arg)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", p.name, difgroup.set, config.ENOENT)
	}
	p.step(c)
	return nil
}

// noFamily is -inet and -inet6.
func (p *parser) noFamily(word, _ string) error {
	p.step(config.Clause{Word: config.DropAll, Text: strings.TrimPrefix(word, "-")})
	return nil
}
