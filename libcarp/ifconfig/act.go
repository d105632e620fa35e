package ifconfig

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"syscall"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/statedir"
)

// An Act is what a word asks of an interface that is no carp. Unlike the clauses of a change, acts are done one by one, as on OpenBSD.
type Act struct {
	config.Clause               // a word that carps have, too
	Own           string        // or one that they do not: mtu, arp, -arp, vnetid, parent, patch, -patch, add, del; flags: those that cannot be set
	Addr          ordinary.Addr // what AddAddr adds, after a DropFirst that may come before it
}

func (p *parser) act(word, arg string, n int) {
	p.acts = append(p.acts, Act{Own: word, Clause: config.Clause{Text: arg, N: n}})
}

// notty warns that a carp does not know a call, where ifconfig goes on after that.
func (p *parser) notty(call string) { p.note(call + ": " + config.ENOTTY.Error()) }

func (p *parser) mtu(word, arg string) error {
	n, reason := config.ParseNumber(arg, 0, math.MaxInt32)
	switch {
	case reason != "":
		return &config.NumberError{What: word, Given: arg, Reason: reason}
	case p.own == nil:
		p.notty("SIOCSIFMTU")
	default:
		p.act(word, "", int(n))
	}
	return nil
}

func (p *parser) arp(word, _ string) error {
	if p.own == nil {
		return p.ignore(word, "")
	}
	p.act(word, "", 0)
	return nil
}

// vnetid is vnetid and vlan.
func (p *parser) vnetid(_, arg string) error {
	n, reason := config.ParseNumber(arg, 0, math.MaxInt32)
	switch {
	case reason != "":
		return &config.NumberError{What: "vnetid", Given: arg, Reason: reason}
	case p.own == nil:
		p.notty("SIOCSVNETID")
	default:
		p.act("vnetid", "", int(n))
	}
	return nil
}

// parent is parent and vlandev.
func (p *parser) parent(_, arg string) error {
	switch {
	case len(arg) > config.NameMax:
		return errors.New("parent: parent too long")
	case p.own == nil:
		p.notty(p.name + ": " + arg + ": SIOCSIFPARENT")
	default:
		p.act("parent", arg, 0)
	}
	return nil
}

func (p *parser) patch(word, arg string) error {
	if p.own == nil {
		p.notty("SIOCSIFPAIR")
		return nil
	}
	p.act(word, arg, 0)
	return nil
}

// member is add and del, of a bridge.
func (p *parser) member(word, arg string) error {
	if p.own == nil {
		return fmt.Errorf("%s: %s: %w", p.name, arg, config.ENOTTY)
	}
	p.act(word, arg, 0)
	return nil
}

// linkLocalMAC returns what stands in the lower half of the interface's link-local address, as if it were made of a link-level address.
func (p *parser) linkLocalMAC() (config.MAC, error) {
	i, err := p.own.Interface(p.name)
	return i.Lladdr, err
}

// act does the acts of a command line in their order.
func (p *program) act(cmd Command) error {
	notes := cmd.Notes
	noted := func(upTo int) {
		for ; len(notes) > 0 && notes[0].At <= upTo; notes = notes[1:] {
			p.warn(notes[0].Text)
		}
	}
	o := options(cmd.Acts)
	there, attached := exists(p.host, cmd.Name), false
	for n, a := range cmd.Acts {
		if n > 0 || a.Own != "" || a.Word != config.Create && a.Word != config.Need {
			attached = p.attachOwn(cmd, attached)
		}
		noted(n)
		var err error
		if cmd.Check {
			there, err = p.try(cmd.Name, a, there, o)
		} else {
			err = p.perform(cmd.Name, a, o)
		}
		if err == nil {
			continue
		}
		text, warns := a.message(cmd.Name, errnoOf(err))
		if !warns {
			return errors.New(text)
		}
		p.warn(text)
	}
	noted(len(cmd.Acts))
	return cmd.Err
}

// attachOwn is what ifconfig does for inet6 before it looks at a word, once: see attach.
func (p *program) attachOwn(cmd Command, attached bool) bool {
	switch {
	case attached || cmd.Family != "inet6":
	case !exists(p.host, cmd.Name) && !cmd.Check:
		p.attach(cmd.Name, config.ENXIO)
	case !p.host.Allowed():
		p.attach(cmd.Name, config.EPERM)
	}
	return true
}

// errnoOf is OpenBSD's number. Linux's ENODEV is the ENXIO of a name that no interface has.
func errnoOf(err error) config.Errno {
	if errors.Is(err, syscall.ENODEV) {
		return config.ENXIO
	}
	return statedir.ErrnoOf(err)
}

func exists(h ordinary.Host, name string) bool {
	_, err := h.Interface(name)
	return err == nil
}

// options are what the line says of an interface that it creates.
func options(acts []Act) (o ordinary.Options) {
	for _, a := range acts {
		switch a.Own {
		case "parent":
			o.Parent = a.Text
		case "vnetid":
			o.VNetID = a.N
		}
	}
	return o
}

// try tells what perform would answer as far as that can be known, and does nothing. It reports whether there would be the interface then.
func (p *program) try(name string, a Act, there bool, o ordinary.Options) (bool, error) {
	err := p.early(a, func() bool { return there })
	if err != nil {
		return there, err
	}
	switch creates := a.Own == "" && a.Word == config.Create; {
	case a.Own == "" && a.Word == config.Need:
		return there || p.host.Allowed() && canCreate(p.host, name, o), nil
	case creates && there:
		return true, config.EEXIST
	case creates && !canCreate(p.host, name, o):
		return false, config.EINVAL
	case !creates && !there:
		return false, config.ENXIO
	}
	if err := impossible(a); err != nil {
		return true, err
	}
	return true, p.tryDelete(name, a)
}

// tryDelete tells when there is no address to be removed. An interface that the line itself would make is not looked into.
func (p *program) tryDelete(name string, a Act) error {
	removes := a.Own == "" && (a.Word == config.DelAddr || a.Word == config.DelFirst)
	i, err := p.host.Interface(name)
	if !removes || err != nil || slices.ContainsFunc(i.Addrs, func(b ordinary.Addr) bool {
		return a.Word == config.DelAddr && b.Addr() == a.Clause.Addr.Addr() || a.Word == config.DelFirst && isFirst(a.Text, b)
	}) {
		return nil
	}
	return config.EADDRNOTAVAIL
}

// isFirst reports whether an address may be the first of a family. A link-local one comes of the interface.
func isFirst(family string, a ordinary.Addr) bool {
	return a.Addr().Is4() == (family == "inet") && !(a.Addr().IsLinkLocalUnicast() && a.Addr().Is6())
}

// impossible is the error of an act that no interface takes.
func impossible(a Act) error {
	switch {
	case a.Own != "":
		return nil
	case a.Word == config.Description && len(a.Text) > config.DescriptionMax:
		return config.ENAMETOOLONG
	case a.Word == config.Lladdr && a.MAC.IsMulticast(),
		a.Word == config.InGroup && !config.IsName(a.Text),
		a.Word == config.AddAddr && (a.Addr.Addr().IsUnspecified() || a.Addr.Addr().IsMulticast()):
		return config.EINVAL
	}
	return nil
}

// early is the error that a kernel has before it looks at what is asked: of a word that is for carps, and of who may change nothing (if.c: ifioctl). An
// interface that is to be made or removed is not looked for before that.
func (p *program) early(a Act, there func() bool) error {
	allowed := p.host.Allowed()
	switch {
	case a.Own == "" && a.Word == config.Need, allowed && !isCarpWord(a):
		return nil
	case a.Own == "" && (a.Word == config.Create || a.Word == config.Destroy):
		return config.EPERM
	case !there():
		return config.ENXIO
	case isCarpWord(a):
		return config.ENOTTY
	}
	return config.EPERM
}

func canCreate(h ordinary.Host, name string, o ordinary.Options) bool {
	class, ok := ordinary.Unit(name)
	for _, c := range h.Classes() {
		if c == class {
			return ok && (class != "vlan" || o.Parent != "" && o.VNetID > 0)
		}
	}
	return false
}

// isCarpWord reports whether an act is for carps alone.
func isCarpWord(a Act) bool {
	_, isIoctl := ioctls[a.Word]
	return a.Own == "" && isIoctl && ioctls[a.Word].get == vh.get
}

// perform does one act.
func (p *program) perform(name string, a Act, o ordinary.Options) error {
	h := p.host
	if err := p.early(a, func() bool { return exists(h, name) }); err != nil {
		return err
	}
	if err := impossible(a); err != nil && exists(h, name) {
		return err
	}
	switch a.Own {
	case "":
		return p.performShared(name, a, o)
	case "flags":
		return h.SetFlags(name, 0, 0)
	case "mtu":
		return h.SetMTU(name, a.N)
	case "arp":
		return h.SetFlags(name, 0, ordinary.NoARP)
	case "-arp":
		return h.SetFlags(name, ordinary.NoARP, 0)
	case "patch", "-patch":
		return h.Patch(name, a.Text)
	case "add":
		return h.AddMember(name, a.Text)
	case "del":
		return h.DelMember(name, a.Text)
	}
	i, err := h.Interface(name) // vnetid and parent, which were said when it was created
	switch {
	case err != nil:
		return err
	case i.Class != "vlan":
		return config.ENOTTY
	case a.Own == "parent" && i.Parent != a.Text, a.Own == "vnetid" && i.VNetID != a.N:
		return config.EBUSY
	}
	return nil
}

// performShared does an act that carps know, too.
func (p *program) performShared(name string, a Act, o ordinary.Options) error {
	h := p.host
	switch a.Word {
	case config.Create:
		return h.Create(name, o)
	case config.Need: // fails in silence, and the next word says what is wrong
		if !exists(h, name) {
			_ = h.Create(name, o)
		}
		return nil
	case config.Destroy:
		return h.Destroy(name)
	case config.Up:
		return h.SetFlags(name, ordinary.Up, 0)
	case config.Down:
		return h.SetFlags(name, 0, ordinary.Up)
	case config.Description, config.NoDescription:
		return h.SetDescription(name, a.Text)
	case config.Lladdr:
		return h.SetLladdr(name, a.MAC)
	case config.InGroup:
		return h.Join(name, a.Text)
	case config.LeaveGroup:
		return h.Leave(name, a.Text)
	}
	return p.performAddr(name, a)
}

// performAddr does what acts do to addresses.
func (p *program) performAddr(name string, a Act) error {
	i, err := p.host.Interface(name)
	if err != nil {
		return err
	}
	switch a.Word {
	case config.AddAddr:
		addr := a.Addr
		switch {
		case i.Flags&ordinary.PointToPt == 0:
			addr.Broadcast, addr.Dest = addr.Dest, netip.Addr{}
		case addr.Dest.IsValid(): // as there, no route to a subnet follows from such an address
			addr.Prefix = netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen())
		}
		if addr.Valid == 0 { // it is over before it begins (in6.c: in6_update_ifa)
			if err := p.host.DelAddr(name, addr.Addr()); !errors.Is(err, config.EADDRNOTAVAIL) {
				return err
			}
			return nil
		}
		if err := p.host.AddAddr(name, addr); err != nil {
			return err
		}
		return p.host.SetFlags(name, ordinary.Up, 0) // as if_ethersubr.c: ether_ioctl does
	case config.DelAddr:
		return p.host.DelAddr(name, a.Clause.Addr.Addr())
	}
	if a.Word == config.DropAll { // the last first: Linux takes the others of a subnet away with its first, and they would be put back
		slices.Reverse(i.Addrs)
	}
	removed := false
	for _, b := range i.Addrs {
		if a.Word == config.DropAll && b.Addr().Is4() != (a.Text == "inet") || a.Word != config.DropAll && !isFirst(a.Text, b) {
			continue
		}
		if a.Word == config.DropFirst && b.Addr() == a.Addr.Addr() { // the one that is to come: the routes through it must stay
			break
		}
		if err := p.host.DelAddr(name, b.Addr()); err != nil {
			return err
		}
		if removed = true; a.Word != config.DropAll {
			break
		}
	}
	if !removed && a.Word == config.DelFirst {
		return config.EADDRNOTAVAIL
	}
	return nil
}

// message tells what failed and why, and whether ifconfig goes on.
func (a Act) message(name string, errno config.Errno) (text string, warns bool) {
	switch a.Own {
	case "":
		i := ioctls[a.Word]
		return i.message(name, a.Clause, errno), i.warns
	case "mtu":
		return "SIOCSIFMTU: " + errno.Error(), true
	case "vnetid":
		return "SIOCSVNETID: " + errno.Error(), true
	case "parent":
		return fmt.Sprintf("%s: %s: SIOCSIFPARENT: %s", name, a.Text, errno), true
	case "patch", "-patch":
		if errno == config.ENOENT {
			return fmt.Sprintf("%s %s: %s", a.Own, a.Text, errno), false
		}
		return "SIOCSIFPAIR: " + errno.Error(), true
	case "add", "del":
		return fmt.Sprintf("%s: %s: %s", name, a.Text, errno), false
	}
	return ifflags.message(name, a.Clause, errno), false
}
