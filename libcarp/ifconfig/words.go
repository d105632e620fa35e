package ifconfig

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
)

// A keyword is a word with a meaning of its own; every other one is an address.
type keyword struct {
	args arity
	do   func(p *parser, word, arg string) error
}

// keywords is the part of ifconfig.c's cmds[] that is done, with a few of ours. A spelling is compared whole.
var keywords = map[string]keyword{
	"up":           {alone, (*parser).clause},
	"down":         {alone, (*parser).clause},
	"destroy":      {alone, (*parser).clause},
	"vhid":         {one, (*parser).clause},
	"advbase":      {one, (*parser).clause},
	"advskew":      {one, (*parser).clause},
	"state":        {one, (*parser).clause},
	"pass":         {one, (*parser).pass},
	"passfile":     {one, (*parser).passfile},
	"carpdev":      {one, (*parser).carpdev},
	"carppeer":     {one, (*parser).carppeer},
	"-carppeer":    {alone, (*parser).clause},
	"carppeer6":    {one, (*parser).carppeer6},
	"-carppeer6":   {alone, (*parser).clause},
	"lladdr":       {one, (*parser).lladdr},
	"group":        {one, (*parser).group},
	"-group":       {one, (*parser).leaveGroup},
	"description":  {one, (*parser).clause},
	"descr":        {one, (*parser).clause},
	"-description": {alone, (*parser).clause},
	"-descr":       {alone, (*parser).clause},
	"alias":        {alone, (*parser).alias},
	"-alias":       {alone, (*parser).alias},
	"delete":       {alone, (*parser).alias},
	"netmask":      {one, (*parser).netmask},
	"prefixlen":    {one, (*parser).prefixlen},
	"broadcast":    {one, (*parser).broadcast},
	"-inet":        {alone, (*parser).noFamily},
	"-inet6":       {alone, (*parser).noFamily},
	"anycast":      {alone, (*parser).flag6},
	"-anycast":     {alone, (*parser).flag6},
	"tentative":    {alone, (*parser).flag6},
	"-tentative":   {alone, (*parser).flag6},
	"pltime":       {one, (*parser).lifetime},
	"vltime":       {one, (*parser).lifetime},
	"eui64":        {alone, (*parser).eui64},
	"autoconf":     {alone, (*parser).autoconf},
	"-autoconf":    {alone, (*parser).autoconf},
	"temporary":    {alone, (*parser).autoconf},
	"-temporary":   {alone, (*parser).autoconf},
	"mtu":          {one, (*parser).mtu},
	"arp":          {alone, (*parser).arp},
	"-arp":         {alone, (*parser).arp},
	"vnetid":       {one, (*parser).vnetid},
	"vlan":         {one, (*parser).vnetid},
	"parent":       {one, (*parser).parent},
	"vlandev":      {one, (*parser).parent},
	"patch":        {one, (*parser).patch},
	"-patch":       {alone, (*parser).patch},
	"add":          {one, (*parser).member},
	"del":          {one, (*parser).member},
}

// A parser reads the words after the name, from left to right.
type parser struct {
	name  string
	inet6 bool
	names Names
	carp  Carp
	own   ordinary.Host // of an interface that is no carp, else nil
	addr  addresses
	steps []config.Clause // for a carp
	acts  []Act           // for another interface
	notes []Note
	shows int // words that ask for something to be shown
}

// parse ends at the first word without a meaning; the steps of those before it stand then, but nothing is done to addresses,
// which ifconfig leaves for the end.
func (p *parser) parse(words []string) error {
	for len(words) > 0 {
		word := words[0]
		k, done := keywords[word]
		n, ignore := ignored[word]
		if !done && !ignore {
			if err := p.address(word); err != nil {
				return err
			}
			words = words[1:]
			continue
		}
		if done {
			n = k.args
		}
		words = words[1:]
		arg, given := "", false
		switch {
		case n == one && len(words) == 0:
			return fmt.Errorf("'%s' requires argument", word)
		case n == one, n == maybe && len(words) > 0 && !isKeyword(words[0]):
			arg, given, words = words[0], true, words[1:]
		}
		if ignore {
			if err := p.ignore(word, arg); err != nil {
				return err
			}
			if n == maybe && !given {
				p.shows++
			}
			continue
		}
		if err := k.do(p, word, arg); err != nil {
			return err
		}
	}
	return p.addressSteps()
}

func (p *parser) step(c config.Clause) {
	if p.own != nil {
		p.acts = append(p.acts, Act{Clause: c})
		return
	}
	p.steps = append(p.steps, c)
}

func (p *parser) note(text string) { p.notes = append(p.notes, Note{text, len(p.steps) + len(p.acts)}) }

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
	c.Text = c.Text[:min(len(c.Text), tooLong)]
	if err == nil {
		p.step(c)
	}
	return err
}

// tooLong is more than a description or the name of a state can have. What comes after it would not fit into a request, and changes no answer.
const tooLong = 1024

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
