// Package sysctl is OpenBSD's sysctl(8): its names, its order of evaluation, its messages and exit codes.
//
// The rules come from sbin/sysctl/sysctl.c (OpenBSD 7.7). The variables of net.inet.carp are kernelsim's. A few other names of OpenBSD's are
// translated into what the system has (translate_linux.go). Every other name is the system's, and so is an option that only its own command has:
// those it is asked, in the order of the command line.
package sysctl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/internal/output"
	"carp/libcarp/internal/system"
	"carp/libcarp/statedir"
)

// A Carp is what holds the variables. *libcarp.Conn is one.
type Carp interface {
	Change(config.Change) (libcarp.Result, error)
	Check(config.Change) (libcarp.Result, error)
	Sysctl() (config.Sysctl, statedir.Remark, error)
}

// A program is one run of the command.
type program struct {
	options
	stdout, stderr io.Writer
	carp           Carp
	translated     []translation
	exec           func(args []string) error // becomes the system's command
	ask            func(args []string) (exit int, err error)
	passed         bool            // on from another of ours, which has listed what is ours
	said           map[string]bool // the remarks that were made: one of a kind is enough
	shown          object          // with -j
	exit           int             // what the system's command ended with, if that was not 0
}

// Main does what the words after the program's name ask for, and returns the exit code: 0 also when names or values of ours were wrong, which is
// only warned of; else the system's command's.
func Main(args []string, stdout, stderr io.Writer, c Carp) int {
	out := output.New(stdout)
	p := &program{
		stdout: out, stderr: stderr, carp: c, said: map[string]bool{}, translated: translations("/"), passed: system.Passed(),
		exec: func(args []string) error { return system.Exec("sysctl", args) },
		ask:  func(args []string) (int, error) { return system.Run("sysctl", args) },
	}
	exit := p.main(args)
	if err := out.Err(); err != nil {
		p.warn("%v", err)
		return 1
	}
	return exit
}

func (p *program) main(args []string) int {
	err := p.run(args)
	if p.json && err == nil {
		fmt.Fprintf(p.stdout, "%s\n", p.shown)
	}
	switch {
	case err == nil:
		return p.exit
	case errors.As(err, new(usageError)), errors.As(err, new(unknownOption)):
		fmt.Fprint(p.stderr, err)
	default:
		p.warn("%v", err)
	}
	return 1
}

func (p *program) run(args []string) error {
	var err error
	p.options, err = parseOptions(args)
	if p.isWhollyTheirs(args, err) {
		if failed := p.exec(args); !errors.Is(failed, fs.ErrNotExist) {
			return failed
		}
		p.ask = nobody
	}
	if err != nil {
		return err
	}
	if p.all || len(p.words) == 0 && !p.read {
		return p.listAll()
	}
	if p.read {
		if err := p.readFile(); err != nil {
			return err
		}
	}
	return p.doWords(p.words)
}

// isWhollyTheirs reports whether a command line is for the system's command as it stands; err is what parsing it ended in.
func (p *program) isWhollyTheirs(args []string, err error) bool {
	var u unknownOption
	if errors.As(err, &u) {
		return u.whole || !p.namesOurs(args)
	}
	return err == nil && len(p.words) > 0 && !p.read && !p.all && !p.json && !p.namesOurs(args)
}

// nobody stands in for a system without a command of its own.
func nobody([]string) (int, error) { return 0, fs.ErrNotExist }

// namesOurs reports whether a word may name something that is not the system's.
func (p *program) namesOurs(args []string) bool {
	for _, word := range args {
		name, _, _ := strings.Cut(word, "=")
		if o := p.ownerOf(name); o != systems && (o != nobodys || !strings.HasPrefix(word, "-")) {
			return true
		}
	}
	return false
}

// doWords does what each word asks for. What stands together of the system's is one question to it.
func (p *program) doWords(words []string) error {
	for len(words) > 0 {
		name, _, _ := strings.Cut(words[0], "=")
		n := 0
		for n < len(words) && p.isSystems(words[n]) {
			n++
		}
		var err error
		switch o := p.ownerOf(name); {
		case n > 0:
			err = p.askSystem(words[:n])
		case o == both:
			if !p.passed {
				err = p.do(words[0])
			}
			if err == nil && !p.json {
				err = p.askSystem(words[:1])
			}
			n = 1
		default:
			err, n = p.do(words[0]), 1
		}
		if err != nil {
			return err
		}
		words = words[n:]
	}
	return nil
}

func (p *program) isSystems(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	return p.ownerOf(name) == systems
}

// askSystem has the system's command show or set words. Where there is none, they are names that nobody knows.
func (p *program) askSystem(words []string) error {
	if p.json {
		for _, word := range words {
			p.warn("%s: not shown with -j, which is for OpenBSD's names", word)
		}
		return nil
	}
	exit, err := p.ask(append(append([]string{}, p.letters...), words...))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, word := range words {
			if p.isSystems(word) {
				p.do(word)
			}
		}
		return nil
	case err != nil:
		return err
	case exit != 0:
		p.exit = exit
	}
	return nil
}

// listAll shows net.inet.carp, and then all that the system has.
func (p *program) listAll() error {
	if !p.passed {
		if err := p.list(carpBranch); err != nil {
			return err
		}
		if p.tables {
			p.do(carpBranch + "." + stats)
		}
		if p.json {
			return nil
		}
	}
	exit, err := p.ask(append([]string{"-a"}, p.letters...))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case exit != 0:
		p.exit = exit
	}
	return err
}

// readFile does what the lines of -f ask for. A line ends at its first blank, so that one that begins with a blank has an empty name, which is said
// to be wrong (sysctl.c: main). But the system's names may have blanks around the equal sign and in the value, as they may in its own files.
func (p *program) readFile() error {
	data, err := os.ReadFile(p.file)
	switch {
	case errors.Is(err, fs.ErrPermission): // of a file, which an ioctl calls EPERM
		return fmt.Errorf("fopen: %w", config.EACCES)
	case err != nil:
		return fmt.Errorf("fopen: %w", statedir.ErrnoOf(err))
	}
	for _, line := range strings.SplitAfter(string(data), "\n") {
		word := line
		if end := strings.IndexAny(line, " \t\n#"); end >= 0 {
			word = line[:end]
		}
		if word == "" && (strings.Trim(line, " \t") == "" || line[0] == '\n' || line[0] == '#') {
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && word != "" && p.isSystems(strings.TrimSpace(name)) {
			value, _, _ = strings.Cut(value, "#")
			word = strings.TrimSpace(name) + "=" + strings.TrimSpace(value)
		}
		if err := p.doWords([]string{word}); err != nil {
			return err
		}
	}
	return nil
}

// warn says something as warnx(3) does. The program is called sysctl, whatever its file is called.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.stderr, "sysctl: "+format+"\n", args...)
}

func (p *program) remark(text string) {
	if text != "" && !p.said[text] {
		p.said[text] = true
		p.warn("%s", text)
	}
}
