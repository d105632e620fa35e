package golden

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"carp/libcarp/config"
)

// A Case is one file.
type Case struct {
	Deviates  []string // ids
	Kernelsim string   // "", off or silent
	Index     int
	System    int               // exit code
	Down      []string          // links without a carrier
	Roles     map[string]string // of the carps
	Stats     config.Stats
	CarpStats map[string]config.Stats
	Files     map[string]string
	Setup     []Step
	Nobody    bool
	Full      bool // standard output takes nothing
	Run       []string
	Clean     [][]string

	Exit           int
	Stdout, Stderr string
}

// A Step is a command that prepares a case.
type Step struct {
	Words []string
	Fails bool
}

// ReadCase reads a file.
func ReadCase(path string) (*Case, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, outputs, _ := strings.Cut(string(data), "\nstdout\n")
	c := &Case{Index: 6, Exit: -1, Roles: map[string]string{}, Files: map[string]string{}, CarpStats: map[string]config.Stats{}}
	for n, line := range strings.Split(head, "\n") {
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		words, err := config.Fields(line)
		if err == nil {
			err = c.take(words[0], words[1:])
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
	}
	stdout, stderr, ok := strings.Cut("\n"+outputs, "\nstderr\n")
	if !ok || c.Exit < 0 || len(c.Run) == 0 {
		return nil, fmt.Errorf("%s: run, exit, stdout or stderr is missing", path)
	}
	c.Stdout, c.Stderr = strings.TrimPrefix(stdout+"\n", "\n"), stderr
	return c, nil
}

func (c *Case) take(key string, args []string) (err error) {
	if len(args) == 0 {
		return fmt.Errorf("%s: nothing follows", key)
	}
	switch key {
	case "deviates":
		c.Deviates = append(c.Deviates, args[0])
	case "kernelsim":
		c.Kernelsim = args[0]
	case "index":
		c.Index, err = strconv.Atoi(args[0])
	case "system":
		c.System, err = strconv.Atoi(args[0])
	case "link":
		c.Down = append(c.Down, args[0])
	case "role":
		c.Roles[args[0]] = args[1]
	case "counts":
		err = c.count(args)
	case "file":
		c.Files[args[0]] = args[1]
	case "setup":
		c.Setup = append(c.Setup, Step{Words: args})
	case "fails":
		c.Setup = append(c.Setup, Step{Words: args, Fails: true})
	case "as":
		c.Nobody = true
	case "full":
		c.Full = true
	case "clean":
		c.Clean = append(c.Clean, args)
	case "run":
		c.Run = args
	case "exit":
		c.Exit, err = strconv.Atoi(args[0])
	default:
		err = fmt.Errorf("%s: unknown key", key)
	}
	return err
}

// count takes in a counter of the host's, or one of a carp's.
func (c *Case) count(args []string) error {
	n, err := strconv.ParseUint(args[len(args)-1], 10, 64)
	if err != nil || len(args) < 2 {
		return fmt.Errorf("counts %q: no number", args)
	}
	name := args[len(args)-2]
	for counter := config.Counter(0); counter < config.Counters; counter++ {
		switch {
		case counter.String() != name:
		case len(args) == 2:
			c.Stats[counter] = n
			return nil
		default:
			s := c.CarpStats[args[0]]
			s[counter] = n
			c.CarpStats[args[0]] = s
			return nil
		}
	}
	return fmt.Errorf("counts %s: no such counter", name)
}
