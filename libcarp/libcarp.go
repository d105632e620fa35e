// Package libcarp lets programs see and change the carp interfaces of a machine, as ifconfig(8) and sysctl(8) do.
//
// A [Conn] names a state directory. Each call connects to kernelsim's socket in it, sends one request and reads one answer;
// while kernelsim does not run, root's changes are stored for its start and everybody sees what is stored, in state INIT.
package libcarp

import (
	"os"
	"slices"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// DefaultDir is the state directory when CARP_STATEDIR does not name another.
const DefaultDir = statedir.DefaultDir

// A Conn is a way to the kernelsim of one state directory. It holds nothing open between calls, and any number of goroutines may use it.
//
// A display comes with a Remark. If that is not empty, kernelsim does not run or does not answer within a second, and what comes with it is
// what is stored, with every interface INIT.
type Conn struct {
	dir   statedir.Dir
	await bool // CARP_AWAIT is set
}

// A Result is what a change that is in force answers.
type Result struct {
	Old    int             // the value before, for a sysctl
	Remark statedir.Remark // NotRunning when it was stored for kernelsim's start
}

// Dir returns the state directory that CARP_STATEDIR names, else DefaultDir.
func Dir() string {
	if dir := os.Getenv("CARP_STATEDIR"); dir != "" {
		return dir
	}
	return DefaultDir
}

// Open returns the Conn of a state directory. With an empty dir it is that of CARP_STATEDIR, else DefaultDir. If CARP_AWAIT is set,
// its changes of an interface may name a carpdev that does not exist, or an address that no interface has the subnet of: kernelsim waits for them.
func Open(dir string) *Conn {
	if dir == "" {
		dir = Dir()
	}
	return &Conn{statedir.Dir(dir), os.Getenv("CARP_AWAIT") != ""}
}

// Change asks for all of ch, or nothing. When it returns without an error, the change is in force and survives every process of
// ours, though not a reboot. The error is a *config.Error when the request was refused; config.EPERM for a user who is not root.
func (c *Conn) Change(ch config.Change) (Result, error) { return result(c.dir.Change(c.awaiting(ch))) }

// Check tells what Change would answer, and changes nothing.
func (c *Conn) Check(ch config.Change) (Result, error) { return result(c.dir.Check(c.awaiting(ch))) }

// awaiting adds the word to the end, where it moves no clause that an error may name.
func (c *Conn) awaiting(ch config.Change) config.Change {
	if c.await && ch.Kind == config.ForInterface && len(ch.Clauses) > 0 {
		ch.Clauses = append(slices.Clip(ch.Clauses), config.Clause{Word: config.Await})
	}
	return ch
}

func result(a statedir.Answer, err error) (Result, error) {
	return Result{Old: a.Old, Remark: a.Remark}, err
}

// Interface returns one carp interface; the error is config.ENXIO when there is none.
func (c *Conn) Interface(name string) (statedir.Status, statedir.Remark, error) {
	return c.dir.Interface(name)
}

// Interfaces returns all carp interfaces in the order of their creation.
func (c *Conn) Interfaces() ([]statedir.Status, statedir.Remark, error) { return c.dir.Interfaces() }

// Groups returns the demotion of each group.
func (c *Conn) Groups() (map[string]int, statedir.Remark, error) { return c.dir.Groups() }

// Sysctl returns net.inet.carp's variables.
func (c *Conn) Sysctl() (config.Sysctl, statedir.Remark, error) { return c.dir.Sysctl() }

// Stats returns the machine's counters; all zero while kernelsim does not run.
func (c *Conn) Stats() (config.Stats, statedir.Remark, error) { return c.dir.Stats() }

// CarpStats returns the counters of each carp interface that has counted something, as they were within the last second.
func (c *Conn) CarpStats() (map[string]config.Stats, statedir.Remark, error) {
	return c.dir.CarpStats()
}

// Wait returns once the interface is in one of the states ("MASTER", "BACKUP", "INIT"), with the state that it then has, or
// after timeout with config.ETIMEDOUT. It does not poll. The error is config.ENXIO when there is no such interface, or none any
// more, and config.EAGAIN when kernelsim does not run.
func (c *Conn) Wait(name string, states []string, timeout time.Duration) (string, error) {
	return c.dir.WaitState(name, states, timeout)
}
