// Again runs a command that is a go test -v, and runs those of its tests again, alone, that failed while the machine stood still: on a shared machine
// that happens, and says nothing about what is tested. A test says itself for how long. One that fails without that, or again each time, is
// a failure; what was run again is told at the end.
//
//	usage: again go test -v ...
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// stallMin is how long the machine has to have stood still: half an interval of the fastest adverts, of which three are a fail-over.
	stallMin = 45 * time.Millisecond
	tries    = 2  // besides the first
	most     = 20 // so many failures are no accident
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: again go test -v ...")
		os.Exit(2)
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "again:", err)
		os.Exit(1)
	}
}

func run(command []string, out io.Writer) error {
	var story []string
	o, err := once(command, out)
	for n := 0; err != nil && n < tries && o.excused(); n++ {
		var names []string
		for name := range o.failed {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			story = append(story, fmt.Sprintf("again: %s failed while the machine stood still for %v; run again\n", name, o.failed[name]))
		}
		o, err = once(slices.Concat(command, []string{"-parallel", "1", "-run", "^(" + strings.Join(names, "|") + ")$"}), out)
	}
	for _, line := range story {
		io.WriteString(out, line)
	}
	return err
}

// An outcome is how the tests ended.
type outcome struct {
	failed map[string]time.Duration // those that failed, and how long the machine stood still in each
	whole  bool                     // all were run: no panic and no timeout has ended them
}

// excused reports whether every failure may be the machine's.
func (o outcome) excused() bool {
	for _, stall := range o.failed {
		if stall < stallMin {
			return false
		}
	}
	return o.whole && len(o.failed) > 0 && len(o.failed) <= most
}

// once runs the command.
func once(command []string, out io.Writer) (outcome, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return outcome{}, err
	}
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	o, err := read(stdout, out)
	return o, errors.Join(err, cmd.Wait())
}

var (
	failure = regexp.MustCompile(`^--- FAIL: (\w+)`)
	named   = regexp.MustCompile(`^\s*(?:=== \w+ +|--- \w+: )(\w+)`)
	stalled = regexp.MustCompile(`the machine stood still for (\d+) ms$`)
)

// read passes on what go test says.
func read(in io.Reader, out io.Writer) (outcome, error) {
	o, stalls := outcome{failed: map[string]time.Duration{}}, map[string]time.Duration{}
	current := "" // whose lines follow
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	for ended := false; lines.Scan(); {
		line := lines.Text()
		fmt.Fprintln(out, line)
		if m := named.FindStringSubmatch(line); m != nil {
			current = m[1]
		}
		if m := stalled.FindStringSubmatch(line); m != nil {
			ms, err := strconv.Atoi(m[1])
			if err != nil {
				return o, err
			}
			stalls[current] = max(stalls[current], time.Duration(ms)*time.Millisecond)
		}
		if m := failure.FindStringSubmatch(line); m != nil {
			o.failed[m[1]] = 0
		}
		// The tests' own last word; go test repeats it after the package's line.
		o.whole = o.whole || line == "FAIL" && !ended
		ended = ended || strings.HasPrefix(line, "FAIL\t")
	}
	for name := range o.failed {
		o.failed[name] = stalls[name]
	}
	return o, lines.Err()
}
