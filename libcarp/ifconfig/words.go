package ifconfig

import (
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
}

// A parser reads the words after the name, from left to right.
type parser struct {
	name   string
	inet6  bool
	lookup Lookup
	addr   addresses
	steps  []config.Clause
	notes  []string
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
	p.steps = append(p.steps, p.addr.steps(p.family())...)
	return nil
}

func (p *parser) step(c config.Clause) { p.steps = append(p.steps, c) }

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
		p.notes = append(p.notes, fmt.Sprintf("%s: pass phrase is longer than %d bytes; only the first %d count",
			p.name, config.PassMax, config.PassMax))
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

// noFamily is -inet and -inet6.
func (p *parser) noFamily(word, _ string) error {
	p.step(config.Clause{Word: config.DropAll, Text: strings.TrimPrefix(word, "-")})
	return nil
}
