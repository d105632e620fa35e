package ifconfig

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/internal/output"
)

// exitTimeout is the exit code of a wait that took too long.
const exitTimeout = 3

// An exitCode is an error that says which exit code a command ends in.
type exitCode struct {
	code int
	text string // "": nothing is said
}

func (e exitCode) Error() string { return e.text }

// An own is a command line that OpenBSD's ifconfig does not have.
type own func(p *program, c *libcarp.Conn) error

// Own does what a command line asks for that OpenBSD's ifconfig does not have, and returns the exit code; ok is false when it is not such a one.
// These are -w and -W, which wait and follow, -v, which tells more, -h for holders of a demotion, and -j.
func Own(args []string, stdout, stderr io.Writer, c *libcarp.Conn, host ordinary.Host) (exit int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	var do own
	var err error
	switch args[0] {
	case "-j":
		do, err = parseJSON(args, c, host)
	case "-w":
		do, err = parseWait(args)
	case "-v":
		if do = parseVerbose(args, c); do == nil {
			return 0, false
		}
	case "-g":
		if do, err = parseHolders(args); do == nil && err == nil {
			return 0, false
		}
	case "-W":
		do, err = parseFollow(args)
	default:
		return 0, false
	}
	out := output.New(stdout)
	p := &program{stdout: out, stderr: stderr, carp: c, host: host}
	if err == nil {
		err = do(p, c)
	}
	if err == nil {
		err = out.Err()
	}
	var code exitCode
	switch {
	case err == nil:
		return 0, true
	case errors.As(err, new(noInterface)), errors.Is(err, errUsage):
		fmt.Fprintln(stderr, err)
	case errors.As(err, &code):
		if code.text != "" {
			p.warn(code.text)
		}
		return code.code, true
	default:
		p.warn(err.Error())
	}
	return 1, true
}

// ownOptions reads words of the form -x argument, as far as there are any of letters; what comes after them is returned.
func ownOptions(args []string, letters string) (values map[byte]string, rest []string, err error) {
	values = map[byte]string{}
	for len(args) > 0 {
		word, ok := strings.CutPrefix(args[0], "-")
		if !ok || len(word) != 1 {
			break
		}
		if strings.IndexByte(letters, word[0]) < 0 {
			return nil, nil, fmt.Errorf("unknown option -- %s", word)
		}
		if len(args) == 1 {
			return nil, nil, fmt.Errorf("option requires an argument -- %s", word)
		}
		values[word[0]], args = args[1], args[2:]
	}
	return values, args, nil
}

// carpName checks the name of an interface to wait for.
func carpName(name string) error {
	if !config.IsCarpName(name) {
		return noInterface(name)
	}
	return nil
}
