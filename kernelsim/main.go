// Command kernelsim stands in for the kernel: it holds the carp interfaces of a machine. See kernelsim(8).
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"carp/libcarp"
	"carp/libcarp/statedir"
)

// engineName is argv[0] of the engine process, for ps(1) and for main to know itself by.
const engineName = "kernelsim: engine"

func main() {
	if os.Args[0] == engineName {
		os.Exit(runEngine(os.Args[1:]))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is kernelsim as the administrator starts it; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("kernelsim", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("s", libcarp.Dir(), "")
	clear := flags.Bool("c", false, "")
	check := flags.Bool("n", false, "")
	verbose := flags.Bool("v", false, "")
	noGate := flags.Bool("g", false, "")
	toStderr := flags.Bool("e", false, "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "usage: kernelsim [-cegnv] [-s dir]")
		return 1
	}
	if err := supported(); err != nil {
		fmt.Fprintf(stderr, "kernelsim: %v\n", err)
		return 1
	}
	path, err := filepath.Abs(*dir) // links are marked with it
	if err != nil {
		fmt.Fprintf(stderr, "kernelsim: %v\n", err)
		return 1
	}
	if *check {
		return checkAll(statedir.Dir(path), stdout)
	}
	if *clear {
		if err := clearAll(statedir.Dir(path), *verbose); err != nil {
			fmt.Fprintf(stderr, "kernelsim: %v\n", err)
			return 1
		}
		return 0
	}
	s := supervisor{dir: statedir.Dir(path), verbose: *verbose, noGate: *noGate, toStderr: *toStderr}
	if err := s.run(); err != nil {
		fmt.Fprintf(stderr, "kernelsim: %v\n", err)
		return 1
	}
	return 0
}
