// Package service starts the installed service for a command that finds it not running, so that the first `ifconfig carp0 vhid 1 192.168.1.10` on a fresh
// system is the only one.
package service

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// boot is the script that starts it, beside the directory of the commands. It refuses where the administrator has not enabled the service.
const boot = "../lib/carp/boot"

// starting is in the environment of the script: what it runs must not start it again.
const starting = "CARP_STARTING"

// within is how long the service may take to start; the change is stored for it otherwise.
const within = 30 * time.Second

// A Conn is a libcarp.Conn whose first change starts the service, if kernelsim does not run, the state directory is the usual one, and it is root who
// asks. Otherwise, and if it does not start, the change is stored as without it.
type Conn struct {
	*libcarp.Conn
	tried bool
}

// New wraps a Conn of the usual state directory.
func New(c *libcarp.Conn) *Conn { return &Conn{Conn: c} }

// Change is libcarp.Conn's.
func (c *Conn) Change(ch config.Change) (libcarp.Result, error) {
	if !c.tried {
		c.tried = true
		c.start()
	}
	return c.Conn.Change(ch)
}

func (c *Conn) start() {
	if os.Geteuid() != 0 || os.Getenv("CARP_STATEDIR") != "" || os.Getenv(starting) != "" {
		return
	}
	if _, remark, err := c.Sysctl(); err != nil || remark != statedir.NotRunning {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), boot), "start")
	cmd.Env = append(os.Environ(), starting+"=1")
	_ = cmd.Run() // the change tells by its remark whether kernelsim runs
}
