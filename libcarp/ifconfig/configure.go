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
	for _, note := range cmd.Notes {
		p.warn(note)
	}
	if cmd.Err != nil {
		if _, err := p.submit(cmd, p.carp.Check); err != nil {
			return err
		}
		return cmd.Err
	}
	r, err := p.submit(cmd, p.carp.Change)
	if err == nil {
		p.stored(r.Remark)
	}
	return err
}

// submit sends the steps. Where OpenBSD's ifconfig warns and goes on, the step is left out and the others are sent again. A
// refusal with a sentence to it is none that an ioctl could give, and is told as it is.
func (p *program) submit(cmd Command, send func(config.Change) (libcarp.Result, error)) (libcarp.Result, error) {
	steps := cmd.Steps
	for len(steps) > 0 {
		r, err := send(config.Change{Kind: config.ForInterface, Name: cmd.Name, Clauses: steps})
		if err == nil {
			return r, nil
		}
		var refused *config.Error
		if !errors.As(err, &refused) || refused.Msg != "" || refused.Clause >= len(steps) {
			return r, err
		}
		failed := steps[refused.Clause]
		call := ioctls[failed.Word]
		switch {
		case failed.Word == config.Need && refused.Errno == config.EPERM: // who may not create hears of it from the next word
		case call.warns:
			p.warn(call.message(cmd.Name, refused.Errno))
		default:
			return r, errors.New(call.message(cmd.Name, refused.Errno))
		}
		steps = slices.Delete(slices.Clone(steps), refused.Clause, refused.Clause+1)
	}
	return libcarp.Result{}, nil
}

// An ioctl is what ifconfig calls for a word, as its messages name it.
type ioctl struct {
	get   string // what it calls first, to see what is there
	set   string
	named bool // the message names the interface
	warns bool // ifconfig goes on when it fails, and exits 0
}

var (
	ifcreate = ioctl{get: "SIOCIFCREATE", set: "SIOCIFCREATE", named: true}
	ifflags  = ioctl{get: "SIOCGIFFLAGS", set: "SIOCSIFFLAGS", named: true}
	vh       = ioctl{get: "SIOCGVH", set: "SIOCSVH", named: true}
	ifdescr  = ioctl{get: "SIOCSIFDESCR", set: "SIOCSIFDESCR", warns: true}
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
	config.Description:   ifdescr,
	config.NoDescription: ifdescr,
	config.AddAddr:       {get: "SIOCAIFADDR", set: "SIOCAIFADDR"},
	config.DelAddr:       difaddr,
	config.DelFirst:      difaddr,
	config.DropFirst:     difaddr,
	config.DropAll:       {get: "SIOCIFAFDETACH", set: "SIOCIFAFDETACH", named: true, warns: true},
}

// message tells which call failed and why. What is no carp, or is not there, is found out by the first call.
func (i ioctl) message(name string, errno config.Errno) string {
	call := i.set
	if errno == config.ENXIO || errno == config.ENOTTY {
		call = i.get
	}
	if !i.named {
		return fmt.Sprintf("%s: %s", call, errno)
	}
	return fmt.Sprintf("%s: %s: %s", name, call, errno)
}
