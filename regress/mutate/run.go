package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fate is what became of a mutant.
type fate int

const (
	unjudged fate = iota
	killed        // a test failed
	endless       // the tests did not end within their share of CPU time
	survived
	invalid // it does not compile
)

func (f fate) String() string {
	return [...]string{"not judged", "killed", "killed, being endless", "alive", "not valid Go"}[f]
}

// The tests of a room take well below a second of CPU time, whatever else the machine does. A mutant that loops may neither run nor eat
// memory for long.
const (
	cpuSeconds = 2
	memoryKiB  = 4 << 20
	wallClock  = 2 * time.Minute
)

// A lab is where mutants are built and run, outside of the tree.
type lab struct {
	root  string // of the tree
	tmp   string
	cache string // GOCACHE, thrown away afterwards: nobody needs a mutant's object twice
}

// judge sets the fate of every mutant. Those within functions and tables are built together, a room at a time: each function gets a changed copy
// for every mutant, and hands over to the one that the environment names, and so does a table before the tests begin. The others, in constants
// and types, are built one by one.
func judge(mutants []mutant) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	l := lab{root: root, tmp: tmp, cache: filepath.Join(tmp, "cache")}

	rooms := map[string][]*mutant{}
	for i := range mutants {
		r := filepath.Dir(mutants[i].file)
		rooms[r] = append(rooms[r], &mutants[i])
	}
	for room, of := range rooms {
		if err := l.judgeRoom(room, of); err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
	}
	return nil
}

func (l lab) judgeRoom(room string, mutants []*mutant) error {
	var together []*mutant
	for _, m := range mutants {
		if m.alone = m.host == nil; !m.alone {
			together = append(together, m)
		}
	}
	bin := filepath.Join(l.tmp, filepath.Base(room)+".test")
	if err := l.buildTogether(room, bin, together); err != nil {
		return err
	}
	// No number: the unchanged room, in the shape that all of them have.
	if f, out, err := l.run(room, bin, 0); err != nil || f != survived {
		return fmt.Errorf("the tests fail without any mutant (%s): %v\n%s", f, err, out)
	}
	numbers := map[*mutant]int{}
	for i, m := range together {
		numbers[m] = i + 1
	}
	return onAllCores(len(mutants), func(worker, i int) (err error) {
		switch m := mutants[i]; {
		case m.alone:
			m.fate, err = l.judgeAlone(room, m, fmt.Sprint("alone", worker))
		case m.fate != invalid:
			m.fate, _, err = l.run(room, bin, numbers[m])
		}
		return err
	})
}

// buildTogether builds a test binary that holds all the mutants, the i-th of them as number i+1. Those that do not compile become invalid; one of
// a table, or of the head of a function, which cannot be called as the original is, may still do so alone.
func (l lab) buildTogether(room, bin string, mutants []*mutant) error {
	for {
		files, owners, err := weave(mutants)
		if err != nil {
			return err
		}
		files[filepath.Join(room, "mutant_number.go")] = fmt.Sprintf(
			"package %s\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar mutantNumber, _ = strconv.Atoi(os.Getenv(\"MUTANT\"))\n", filepath.Base(room))
		out, err := l.build(room, bin, "together", files)
		if err == nil {
			return nil
		}
		found := false
		for _, at := range regexp.MustCompile(`(?m)^(\S+\.go):(\d+):.*?(?:argument to mutant(\d+)_.*)?$`).FindAllStringSubmatch(string(out), -1) {
			line, _ := strconv.Atoi(at[2])
			switch m := owners[place{filepath.Base(at[1]), line}]; {
			case m != nil && m.host.body != 0:
				m.fate, found = invalid, true
			case m != nil:
				m.alone, found = true, true
			case at[3] != "":
				n, _ := strconv.Atoi(at[3])
				mutants[n-1].alone, found = true, true
			}
		}
		if !found {
			return fmt.Errorf("%w\n%s", err, out)
		}
	}
}

// A place is a line of a file.
type place struct {
	file string
	line int
}

// weave returns the files with all copies in them, and whose copy each line is.
func weave(mutants []*mutant) (files map[string]string, owners map[place]*mutant, err error) {
	files, owners = map[string]string{}, map[place]*mutant{}
	sources, copies := map[string]string{}, map[string]string{}
	hosts, heads := map[string][]*host{}, map[*host]string{} // hosts: in the order of the file, as mutants are
	for i, m := range mutants {
		if m.fate == invalid || m.alone {
			continue
		}
		src, read := sources[m.file]
		if !read {
			b, err := os.ReadFile(m.file)
			if err != nil {
				return nil, nil, err
			}
			src = string(b)
			sources[m.file] = src
		}
		h, name := m.host, fmt.Sprintf("mutant%d_", i+1)
		changed := m.apply(src)
		end := h.end + len(changed) - len(src)
		if h.body == 0 {
			changed = fmt.Sprintf("func init() { if mutantNumber == %d { %s = %s } }", i+1, h.called, changed[h.start:end])
		} else {
			call := h.before + name + h.called + h.args
			if h.returns {
				call = "return " + call
			} else {
				call += "; return"
			}
			if heads[h] == "" {
				hosts[m.file] = append(hosts[m.file], h)
			}
			heads[h] += fmt.Sprintf("case %d: %s; ", i+1, call)
			changed = changed[h.start:h.name] + name + changed[h.name:end]
		}
		line := strings.Count(src+copies[m.file], "\n") + 1
		copies[m.file] += changed + "\n"
		for n := 0; n <= strings.Count(changed, "\n"); n++ {
			owners[place{filepath.Base(m.file), line + n}] = m
		}
	}
	for file, src := range sources {
		var b strings.Builder
		last := 0
		for _, h := range hosts[file] {
			b.WriteString(src[last:h.body] + " switch mutantNumber { " + heads[h] + "}; ")
			last = h.body
		}
		files[file] = b.String() + src[last:] + copies[file]
	}
	return files, owners, nil
}

// judgeAlone builds and runs a mutant that stands outside of any function.
func (l lab) judgeAlone(room string, m *mutant, dir string) (fate, error) {
	src, err := os.ReadFile(m.file)
	if err != nil {
		return unjudged, err
	}
	bin := filepath.Join(l.tmp, dir+".test")
	if _, err := l.build(room, bin, dir, map[string]string{m.file: m.apply(string(src))}); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = nil
		}
		return invalid, err
	}
	f, _, err := l.run(room, bin, 0)
	return f, err
}

// build builds a room's tests with other contents of some files, through an overlay: nothing in the tree is touched.
func (l lab) build(room, bin, dir string, files map[string]string) (out []byte, err error) {
	dir = filepath.Join(l.tmp, dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	replace := map[string]string{}
	for name, text := range files {
		to := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return nil, err
		}
		replace[filepath.Join(l.root, name)] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-e", "-ldflags=-s -w", "-overlay", overlayFile, "-o", bin, "./"+room)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+l.cache)
	return cmd.CombinedOutput()
}

// run runs a test binary as the mutant of that number.
func (l lab) run(room, bin string, number int) (f fate, out []byte, err error) {
	cmd := exec.Command("sh", "-c", fmt.Sprintf("ulimit -t %d && ulimit -v %d && exec %s -test.failfast -test.timeout %s", cpuSeconds, memoryKiB, bin, wallClock))
	cmd.Dir = filepath.Join(l.root, room)
	cmd.Env = append(os.Environ(), fmt.Sprint("MUTANT=", number))
	out, err = cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, out, nil
	case !errors.As(err, &exit):
		return unjudged, out, err
	case !exit.Exited() || strings.Contains(string(out), "SIGXCPU") || strings.Contains(string(out), "panic: test timed out"):
		return endless, out, nil
	}
	return killed, out, nil
}

// onAllCores calls do for 0 to n-1 and returns the first error.
func onAllCores(n int, do func(worker, i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	work := make(chan int)
	for worker := 0; worker < runtime.NumCPU(); worker++ {
		wg.Add(1)
		go func(worker int) {
			defer wg.Done()
			for i := range work {
				if err := do(worker, i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		}(worker)
	}
	for i := 0; i < n; i++ {
		work <- i
	}
	close(work)
	wg.Wait()
	return first
}
