package sysctl

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A fake has the variables themselves, and stands in for the system's command.
type fake struct {
	values config.Sysctl
	remark statedir.Remark
	err    error
	root   string // of the translations
	none   bool   // the system has no command
	exits  int    // what it exits with

	asked   []string // what it was asked: each time a line
	becomes string   // what it was handed
}

func (f *fake) Change(ch config.Change) (libcarp.Result, error) {
	if f.err != nil {
		return libcarp.Result{}, f.err
	}
	at := f.values.At(ch.Clauses[0].Text)
	r := libcarp.Result{Old: *at, Remark: f.remark}
	*at = ch.Clauses[0].N
	return r, nil
}

func (f *fake) Check(config.Change) (libcarp.Result, error)     { return libcarp.Result{}, f.err }
func (f *fake) Sysctl() (config.Sysctl, statedir.Remark, error) { return f.values, f.remark, f.err }

func (f *fake) run(words ...string) (stdout, stderr string, exit int) {
	var out, errs strings.Builder
	p := &program{
		stdout: &out, stderr: &errs, carp: f, said: map[string]bool{}, translated: translations(f.root),
		exec: func(args []string) error {
			if f.none {
				return fs.ErrNotExist
			}
			f.becomes = strings.Join(args, " ")
			return nil
		},
		ask: func(args []string) (int, error) {
			if f.none {
				return 0, fs.ErrNotExist
			}
			f.asked = append(f.asked, strings.Join(args, " "))
			return f.exits, nil
		},
	}
	exit = p.main(words)
	return out.String(), errs.String(), exit
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		line string
		want options
	}{
		{"", options{words: []string{}}},
		{"-n a", options{bare: true, letters: []string{"-n"}, words: []string{"a"}}},
		{"-nqw -a", options{bare: true, quiet: true, all: true, letters: []string{"-n", "-q", "-w"}, words: []string{}}},
		{"-A", options{all: true, tables: true, words: []string{}}},
		{"-f x", options{read: true, file: "x", words: []string{}}},
		{"-nfx -q y", options{bare: true, quiet: true, read: true, file: "x", letters: []string{"-n", "-q"}, words: []string{"y"}}},
		{"-f -n", options{read: true, file: "-n", words: []string{}}},
		{"-n -- -q", options{bare: true, letters: []string{"-n"}, words: []string{"-q"}}},
		{"- -n", options{words: []string{"-", "-n"}}},
		{"-eNb", options{ignore: true, names: true, joined: true, letters: []string{"-e", "-N", "-b"}, words: []string{}}},
		{"--values --dry-run a", options{bare: true, dry: true, letters: []string{"-n", "--dry-run"}, words: []string{"a"}}},
		{"-j a", options{json: true, words: []string{"a"}}},
	} {
		o, err := parseOptions(strings.Fields(c.line))
		if err != nil || !reflect.DeepEqual(o, c.want) {
			t.Errorf("%q: %+v, %v; want %+v", c.line, o, err, c.want)
		}
	}
	for line, want := range map[string]string{
		"-x":       "sysctl: unknown option -- x\n" + usage,
		"-nx":      "sysctl: unknown option -- x\n" + usage,
		"-n-":      "sysctl: unknown option -- -\n" + usage,
		"-nr":      "sysctl: unknown option -- r\n" + usage,
		"--system": "sysctl: unknown option -- -\n" + usage,
		"-nf":      "sysctl: option requires an argument -- f\n" + usage,
		"-\xff":    "sysctl: unknown option -- \xff\n" + usage,
	} {
		if _, err := parseOptions(strings.Fields(line)); err == nil || err.Error() != want {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// One remark of a kind is enough, and those of changes and of displays are two kinds.
func TestRemarks(t *testing.T) {
	f := &fake{values: config.DefaultSysctl(), remark: statedir.NotRunning}
	stdout, stderr, exit := f.run("net.inet.carp.log=7", "net.inet.carp.log", "net.inet.carp.log=3", "net.inet")
	const out = "net.inet.carp.log: 2 -> 7\nnet.inet.carp.log=7\nnet.inet.carp.log: 7 -> 3\n" +
		"net.inet.carp.allow=1\nnet.inet.carp.preempt=0\nnet.inet.carp.log=3\n"
	const errs = "sysctl: kernelsim is not running; configuration stored\nsysctl: kernelsim is not running\n"
	if stdout != out || stderr != errs || exit != 0 {
		t.Errorf("%s%s%d", stdout, stderr, exit)
	}
}

// What no sysctl(2) could answer ends the command; what it could is warned of.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		word   string
		stderr string
		exit   int
	}{
		{&config.Error{Errno: config.EPERM}, "net.inet.carp.log=1", "sysctl: net.inet.carp.log: Operation not permitted\n" +
			"sysctl: second level name nope in kern.nope is invalid\n", 0},
		{&config.Error{Errno: config.EPERM, Msg: "kernelsim is elsewhere"}, "net.inet.carp.log=1",
			"sysctl: kernelsim is elsewhere: Operation not permitted\n", 1},
		{&config.Error{Errno: config.EPERM, Msg: "kernelsim is elsewhere"}, "net.inet.carp.log=",
			"sysctl: kernelsim is elsewhere: Operation not permitted\n", 1},
		{errors.New("no way to it"), "net.inet.carp.log=1", "sysctl: no way to it\n", 1},
		{errors.New("no way to it"), "net.inet.carp.log", "sysctl: no way to it\n", 1},
		{errors.New("no way to it"), "net", "sysctl: no way to it\n", 1},
	} {
		f := &fake{values: config.DefaultSysctl(), err: c.err}
		if stdout, stderr, exit := f.run(c.word, "kern.nope"); stdout != "" || stderr != c.stderr || exit != c.exit {
			t.Errorf("%s: %q, %q, exit %d", c.word, stdout, stderr, exit)
		}
	}
}

// Every variable is found by its name.
func TestResolveVariables(t *testing.T) {
	for _, v := range config.Variables() {
		name := carpBranch + "." + v.Name
		if found, many, err := new(program).resolve(name); err != nil || many || len(found) != 1 || found[0].carp.Name != v.Name {
			t.Errorf("%s: %v, %v", v.Name, found, err)
		}
	}
}

// Whatever the words are, the command ends in 0 or 1.
func FuzzMain(f *testing.F) {
	f.Add("-f ") // a file without a name
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, " ")
		if o, err := parseOptions(words); err == nil && o.read {
			return // files are not to be read at random
		}
		fk := &fake{values: config.DefaultSysctl(), root: t.TempDir()}
		if _, stderr, exit := fk.run(words...); exit != 0 && (exit != 1 || !strings.HasSuffix(stderr, usage)) {
			t.Errorf("%q: %q, exit %d", line, stderr, exit)
		}
	})
}
