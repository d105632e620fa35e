// Mutate finds out what the tests would not notice. It changes the sources of the engine's rules in one place at a time, a comparison,
// a constant, a condition, and runs the package's tests on each changed copy (go test -c -overlay; nothing in the tree is touched). A
// mutant that passes has to stand in equivalent.txt with the reason why it behaves like the original; an entry there that no longer
// passes, or whose source is gone, is a failure too.
//
//	usage: mutate [-v] rules|all	(from the root of the tree)
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A target is a file whose mutants are made. Rules are the decision rules, which every run of the tests covers: who is master, ties, the
// machine, deadlines. The rest takes longer and is for `make mutate`.
type target struct {
	file  string
	rules bool
}

var targets = []target{
	{"libcarp/engine/decide.go", true},
	{"libcarp/engine/machine.go", true},
	{"libcarp/engine/timer.go", true},
	{"libcarp/engine/engine.go", true},
	{"libcarp/engine/memory.go", true},
	{"libcarp/engine/resume.go", false},
	{"libcarp/engine/receive.go", false},
	{"libcarp/engine/send.go", false},
	{"libcarp/engine/demote.go", false},
	{"libcarp/engine/clock.go", false},
	{"libcarp/engine/configure.go", false},
	{"libcarp/engine/claim.go", false},
	{"libcarp/wire/wire.go", false},
	{"libcarp/wire/auth.go", false},
	{"libcarp/wire/seal.go", false},
	{"libcarp/wire/ip.go", false},
	{"libcarp/wire/vrrp.go", false},
}

// equivalentFile lists the mutants that no test can kill, and why.
const equivalentFile = "regress/mutate/equivalent.txt"

func main() {
	verbose := flag.Bool("v", false, "tell the fate of every mutant")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: mutate [-v] rules|all")
		os.Exit(64)
	}
	flag.Parse()
	if flag.NArg() != 1 || flag.Arg(0) != "rules" && flag.Arg(0) != "all" {
		flag.Usage()
	}
	ok, err := mutate(flag.Arg(0) == "all", *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// rooms returns the Go files that a run is about, by their names. Each is read more than once: mutants of one text built from another mean nothing.
func rooms() (map[string]string, error) {
	texts := map[string]string{}
	for _, room := range []string{"wire", "config", "engine"} {
		names, err := filepath.Glob(filepath.Join("libcarp", room, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			texts[name] = string(text)
		}
	}
	return texts, nil
}

// mutate judges the mutants of the targets and prints what is wrong.
func mutate(all, verbose bool) (ok bool, err error) {
	start := time.Now()
	before, err := rooms()
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(equivalentFile)
	if err != nil {
		return false, err
	}
	known, err := parseList(string(text))
	if err != nil {
		return false, fmt.Errorf("%s: %w", equivalentFile, err)
	}
	var mutants []mutant
	var names []string
	for _, t := range targets {
		names = append(names, t.file)
		if !t.rules && !all {
			continue
		}
		src, err := os.ReadFile(t.file)
		if err != nil {
			return false, err
		}
		found, err := mutantsOf(t.file, src)
		if err != nil {
			return false, err
		}
		mutants = append(mutants, found...)
	}
	if err := judge(mutants); err != nil {
		return false, err
	}
	if after, err := rooms(); err != nil || !maps.Equal(before, after) {
		return false, errors.Join(err, errors.New("the tree has changed meanwhile, so this says nothing: run it again"))
	}

	ok = true
	counts := map[fate]int{}
	listed := map[identity]bool{}
	for _, m := range mutants {
		counts[m.fate]++
		_, equivalent := known[m.identity]
		listed[m.identity] = equivalent
		switch {
		case m.fate == survived && !equivalent:
			ok = false
			fmt.Printf("survived:\n%s\n", m.identity)
		case m.fate != survived && equivalent:
			ok = false
			fmt.Printf("stands in %s, and is %s:\n%s\n", equivalentFile, m.fate, m.identity)
		case verbose:
			fmt.Printf("%s:\n%s\n", m.fate, m.identity)
		}
	}
	for id := range known {
		judged := slices.ContainsFunc(targets, func(t target) bool { return t.file == id.file && (t.rules || all) })
		switch {
		case !slices.Contains(names, id.file):
			ok = false
			fmt.Printf("%s names %s, which is not mutated\n", equivalentFile, id.file)
		case judged && !listed[id]:
			ok = false
			fmt.Printf("stands in %s, and no such mutant is made:\n%s\n", equivalentFile, id)
		}
	}
	made := counts[killed] + counts[endless] + counts[survived]
	fmt.Printf("mutate: %d mutants, %d killed, %d by their CPU time, %d equivalent or survived, %d do not compile; %v\n",
		made, counts[killed], counts[endless], counts[survived], counts[invalid], time.Since(start).Round(time.Second))
	return ok, nil
}
