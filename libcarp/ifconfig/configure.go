package ifconfig

import (
	"errors"
	"fmt"
	"slices"

	"carp/libcarp"
	"carp/libcarp/config"
)

// configure makes the change that the words ask for. If they end in one without a meaning, nothing is changed, but as OpenBSD
// would have carried out the words before it, it is an error of theirs, if there is one, that is told.
func (p *program) configure(cmd Command) error {
	if cmd.Err != nil {
		if _, err := p.submit(cmd, p.carp.Check); err != nil {
			return err
		}
		return cmd.Err
	}
	send := p.carp.Change
	if cmd.Check {
		send = p.carp.Check
	}
	r, err := p.submit(cmd, send)
	if err == nil && !cmd.Check {
		p.stored(r.Remark)
	}
	return err
}

// submit sends the steps, and makes the notes. Where OpenBSD's ifconfig warns and goes on, the step is left out and the others are sent
// again. A refusal with a sentence to it is none that an ioctl could give, and is told as it is.
func (p *program) submit(cmd Command, send func(config.Change) (libcarp.Result, error)) (libcarp.Result, error) {
	notes, steps := cmd.Notes, cmd.Steps
	noted := func(upTo int) {
		for ; len(notes) > 0 && notes[0].At <= upTo; notes = notes[1:] {
			p.warn(notes[0].Text)
		}
	}
	var r libcarp.Result
	for gone, attached := 0, cmd.Family != "inet6"; len(steps) > 0; gone++ {
		var err error
		r, err = send(config.Change{Kind: config.ForInterface, Name: cmd.Name, Clauses: steps})
		if err == nil {
			break
		}
		var refused *config.Error
		if !errors.As(err, &refused) || refused.Msg != "" || refused.Clause >= len(steps) {
			noted(len(cmd.Steps))
			return r, err
		}
		failed := steps[refused.Clause]
		if !attached && failed.Word != config.Create { // the family is added before any word; who may do nothing may not do that
			attached = true
			p.attach(cmd.Name, refused.Errno)
		}
		noted(refused.Clause + gone)
		call := ioctls[failed.Word]
		switch {
		case failed.Word == config.Need && refused.Errno == config.EPERM: // who may not create hears of it from the next word
		case call.warns:
			p.warn(call.message(cmd.Name, failed, refused.Errno))
		default:
			return r, errors.New(call.message(cmd.Name, failed, refused.Errno))
		}
		steps = slices.Delete(slices.Clone(steps), refused.Clause, refused.Clause+1)
	}
	noted(len(cmd.Steps))
	return r, nil
}

// attach warns that the family inet6 could not be added to an interface, which OpenBSD's ifconfig does before it looks at a word.
func (p *program) attach(name string, errno config.Errno) {
	if errno == config.EPERM || errno == config.ENXIO {
		p.warn(fmt.Sprintf("%s: SIOCIFAFATTACH: %s", name, errno))
	}
}

// An ioctl is what ifconfig calls for a word, as its messages name it.
type ioctl struct {
	get   string // what it calls first, to see what is there
	set   string
	named bool // the message names the interface
	group bool // the message names the group
	warns bool // ifconfig goes on when it fails, and exits 0
}

var (
	ifcreate = ioctl{get: "SIOCIFCREATE", set: "SIOCIFCREATE", named: true}
	ifflags  = ioctl{get: "SIOCGIFFLAGS", set: "SIOCSIFFLAGS", named: true}
	vh       = ioctl{get: "SIOCGVH", set: "SIOCSVH", named: true}
	ifdescr  = ioctl{get: "SIOCSIFDESCR", set: "SIOCSIFDESCR", warns: true}
	iflladdr = ioctl{get: "SIOCSIFLLADDR", set: "SIOCSIFLLADDR", warns: true}
	aifgroup = ioctl{get: "SIOCAIFGROUP", set: "SIOCAIFGROUP", group: true}
	difgroup = ioctl{get: "SIOCDIFGROUP", set: "SIOCDIFGROUP", named: true}
	aifaddr  = ioctl{get: "SIOCAIFADDR", set: "SIOCAIFADDR"}
	difaddr  = ioctl{get: "SIOCDIFADDR", set: "SIOCDIFADDR"}
)

// ioctls tells which calls stand behind a word (ifconfig.c).
var ioctls = map[config.Word]ioctl{
	config.Create:        ifcreate,
	config.Need:          ifcreate,
	config.Destroy:       {get: "SIOCIFDESTROY", set: "SIOCIFDESTROY", named: true},
	config.Up:            ifflags,
	config.Down:          ifflags,
	config.VHID:          vh,
	config.Advbase:       vh,
	config.Advskew:       vh,
	config.PassPhrase:    vh,
	config.Carpdev:       vh,
	config.State:         vh,
	config.Carppeer:      vh,
	config.NoCarppeer:    vh,
	config.Carppeer6:     vh,
	config.NoCarppeer6:   vh,
	config.Lladdr:        iflladdr,
	config.InGroup:       aifgroup,
	config.LeaveGroup:    difgroup,
	config.Description:   ifdescr,
	config.NoDescription: ifdescr,
	config.AddAddr:       aifaddr,
	config.DelAddr:       difaddr,
	config.DelFirst:      difaddr,
	config.DropFirst:     difaddr,
	config.DropAll:       {get: "SIOCIFAFDETACH", set: "SIOCIFAFDETACH", named: true, warns: true},
}

// message tells which call failed and why. What is no carp, or is not there, is found out by the first call.
func (i ioctl) message(name string, c config.Clause, errno config.Errno) string {
	call := i.set
	if errno == config.ENXIO || errno == config.ENOTTY {
		call = i.get
	}
	switch {
	case i.group:
		return fmt.Sprintf("%s: %s: %s", c.Text, call, errno)
	case i.named:
		return fmt.Sprintf("%s: %s: %s", name, call, errno)
	}
	return fmt.Sprintf("%s: %s", call, errno)
}
