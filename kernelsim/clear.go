package main

import (
	"errors"
	"fmt"
	"os"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// clearAll takes away what a kernelsim has left that was killed with its engine: links, gate and settings of carpdevs. What is configured stays,
// and shows as INIT. It fails when one runs.
func clearAll(dir statedir.Dir, verbose bool) (err error) {
	held, err := statedir.Acquire(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	record, err := newMemory("carp-record")
	if err != nil {
		return err
	}
	defer record.Close()
	machine, err := dir.LoadMachine()
	if machine == nil {
		return err
	}
	warn := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	debug := func(string, ...any) {}
	if verbose {
		debug = warn
	}
	host, takeAway, err := openHost(dir, record, config.NewMachine(), false, debug, warn)
	if err != nil {
		return err
	}
	return errors.Join(takeAway(), host.Close(), dir.ShowIdle(machine))
}
