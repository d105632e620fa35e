package ifconfig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"carp/libcarp"
	"carp/libcarp/config"
)

// parseHolders reads -g group -v and -g group -h name [-]carpdemote [n] [while command ...]. do is nil when it is another command line.
func parseHolders(args []string) (do own, err error) {
	if len(args) < 3 || args[2] != "-v" && args[2] != "-h" {
		return nil, nil
	}
	group, rest := args[1], args[3:]
	if args[2] == "-v" {
		if len(rest) > 0 {
			return nil, errUsage
		}
		return func(p *program, c *libcarp.Conn) error { return p.showHolders(c, group) }, nil
	}
	if len(rest) < 2 {
		return nil, errUsage
	}
	holder, words := rest[0], rest[1:]
	if !config.IsName(holder) {
		return nil, fmt.Errorf("%s: no name of a holder", holder)
	}
	var command []string
	for n, word := range words {
		if word == "while" {
			words, command = words[:n], words[n+1:]
			if len(command) == 0 || n == 0 {
				return nil, errUsage
			}
			break
		}
	}
	steps, err := parseDemotion(group, words)
	if err != nil {
		return nil, err
	}
	n := steps[0].N
	if steps[0].Word == config.Undemote {
		n = 0
	}
	if command != nil {
		if n == 0 {
			return nil, fmt.Errorf("%s: nothing to hold", holder)
		}
		return func(p *program, c *libcarp.Conn) error { return p.holdWhile(c, group, holder, n, command) }, nil
	}
	steps = []config.Clause{{Word: config.Holder, Text: holder, N: n}}
	return func(p *program, _ *libcarp.Conn) error { return p.setGroup(Command{Name: group, Steps: steps}) }, nil
}

// showHolders prints the demotion of a group, and what it is made of.
func (p *program) showHolders(c *libcarp.Conn, group string) error {
	if err := p.showGroup(group); err != nil {
		return err
	}
	holders, _, err := c.Holders()
	if err != nil {
		return err
	}
	for _, name := range holders.Of(group) {
		fmt.Fprintf(p.stdout, "\t%s %d\n", name, holders[group][name])
	}
	return nil
}

// holdWhile demotes the group as long as a command runs, and ends as that does: with its exit code, or 128 and the number of the signal that ended it.
func (p *program) holdWhile(c *libcarp.Conn, group, holder string, n int, command []string) error {
	hold, err := c.Hold(group, holder, n)
	var refused *config.Error
	switch {
	case errors.As(err, &refused) && refused.Msg == "":
		return fmt.Errorf("%s: SIOCSIFGATTR: %w", group, refused.Errno)
	case err != nil:
		return without(err)
	}
	defer hold.Release()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return exitCode{127, command[0] + ": " + reason(err)}
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM || s == syscall.SIGHUP { // the others a terminal sends to both
				cmd.Process.Signal(s)
			}
		}
	}()
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return err
	}
	code := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	return exitCode{code, ""}
}
