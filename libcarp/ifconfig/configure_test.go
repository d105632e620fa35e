package ifconfig

import (
	"errors"
	"strings"
	"testing"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A fake answers changes with one error after the other, then with success, and displays with what it has.
type fake struct {
	errs   []error
	asked  []string // "change need; vhid 1"
	all    []statedir.Status
	remark statedir.Remark
	err    error // of displays
}

func (f *fake) answer(verb string, ch config.Change) (libcarp.Result, error) {
	var words []string
	for _, c := range ch.Clauses {
		words = append(words, c.String())
	}
	f.asked = append(f.asked, verb+" "+strings.Join(words, "; "))
	if len(f.errs) == 0 {
		return libcarp.Result{}, nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return libcarp.Result{}, err
}

func (f *fake) Change(ch config.Change) (libcarp.Result, error) { return f.answer("change", ch) }
func (f *fake) Check(ch config.Change) (libcarp.Result, error)  { return f.answer("check", ch) }

func (f *fake) Interface(name string) (statedir.Status, statedir.Remark, error) {
	for _, s := range f.all {
		if s.Name == name {
			return s, f.remark, f.err
		}
	}
	return statedir.Status{}, f.remark, errors.Join(f.err, config.ENXIO)
}

func (f *fake) Interfaces() ([]statedir.Status, statedir.Remark, error) {
	return f.all, f.remark, f.err
}

func (f *fake) Groups() (map[string]int, statedir.Remark, error) {
	return map[string]int{"carp": 3}, f.remark, f.err
}

// run runs a command line on the fake.
func (f *fake) run(line string) (stdout, stderr string, exit int) {
	var out, errs strings.Builder
	exit = Main(strings.Fields(line), &out, &errs, f, nameServer(hosts), nil)
	return out.String(), errs.String(), exit
}

func refusal(errno config.Errno, clause int) error {
	return &config.Error{Errno: errno, Clause: clause}
}

func TestSubmit(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, c := range []struct {
		what   string
		line   string
		errs   []error
		asked  string // joined by |
		stderr string
		exit   int
	}{
		{"one change", "carp0 vhid 1 up", nil, "change need; vhid 1; up", "", 0},
		{"a warning, and the rest", "carp0 up descr " + long + " down", []error{refusal(config.ENAMETOOLONG, 2)},
			`change need; up; description "` + long + `"; down|change need; up; down`, "ifconfig: SIOCSIFDESCR: File name too long\n", 0},
		{"a warning, then an error", "carp0 descr x vhid 1", []error{refusal(config.EPERM, 1), refusal(config.EPERM, 1)},
			`change need; description "x"; vhid 1|change need; vhid 1`,
			"ifconfig: SIOCSIFDESCR: Operation not permitted\nifconfig: carp0: SIOCSVH: Operation not permitted\n", 1},
		{"nothing is left", "carp0 descr x", []error{refusal(config.EPERM, 1), refusal(config.EPERM, 0)},
			`change need; description "x"|change need`, "ifconfig: SIOCSIFDESCR: Operation not permitted\n", 0},
		{"creation that fails for another reason", "carp0 up", []error{refusal(config.ENOSPC, 0)},
			"change need; up", "ifconfig: carp0: SIOCIFCREATE: No space left on device\n", 1},
		{"a refusal in words", "carp0 up", []error{&config.Error{Errno: config.EPERM, Msg: "kernelsim is elsewhere"}},
			"change need; up", "ifconfig: kernelsim is elsewhere: Operation not permitted\n", 1},
		{"no refusal", "carp0 up", []error{errors.New("no way to it")}, "change need; up", "ifconfig: no way to it\n", 1},
		{"a refusal of what was not asked", "carp0 up", []error{refusal(config.EIO, 7)}, "change need; up", "ifconfig: Input/output error\n", 1},
		{"a bad word: check, do not change", "carp0 up vhid 0", nil, "check need; up", "ifconfig: vhid 0: too small\n", 1},
		{"a bad word after one that is refused", "carp0 up vhid 0", []error{refusal(config.EPERM, 1)},
			"check need; up", "ifconfig: carp0: SIOCSIFFLAGS: Operation not permitted\n", 1},
		{"warnings in the order of the words", "carp0 autoconf descr x pass 12345678901234567890 up", []error{refusal(config.ENAMETOOLONG, 1)},
			`change need; description "x"; pass "1234567890123456789"; up|change need; pass "1234567890123456789"; up`,
			"ifconfig: carp0: SIOCSIFXFLAGS: Operation not supported\nifconfig: SIOCSIFDESCR: File name too long\n" +
				"ifconfig: carp0: pass phrase is longer than 19 bytes; only the first 19 count\n", 0},
		{"no warning of a word after the one that is refused", "carp0 up lladdr x", []error{refusal(config.EPERM, 1)},
			"change need; up", "ifconfig: carp0: SIOCSIFFLAGS: Operation not permitted\n", 1},
		{"a family that may not be added", "carp0 inet6 lladdr 2:0:0:0:0:1 up", []error{refusal(config.EPERM, 1), refusal(config.EPERM, 1)},
			"change need; lladdr 02:00:00:00:00:01; up|change need; up", "ifconfig: carp0: SIOCIFAFATTACH: Operation not permitted\n" +
				"ifconfig: SIOCSIFLLADDR: Operation not permitted\nifconfig: carp0: SIOCSIFFLAGS: Operation not permitted\n", 1},
		{"a family before there is an interface", "carp0 inet6 create up", []error{refusal(config.EPERM, 0)},
			"change create; up", "ifconfig: carp0: SIOCIFCREATE: Operation not permitted\n", 1},
		{"a bad word alone", "carp vhid 0", nil, "", "ifconfig: vhid 0: too small\n", 1},
		{"nothing to do", "carp alias", nil, "", "", 0},
		{"a group in words", "-g carp carpdemote", []error{&config.Error{Errno: config.ETIMEDOUT, Msg: "kernelsim does not answer"}},
			"change carpdemote 1", "ifconfig: kernelsim does not answer: Operation timed out\n", 1},
	} {
		f := &fake{errs: c.errs}
		stdout, stderr, exit := f.run(c.line)
		if asked := strings.Join(f.asked, "|"); asked != c.asked || stdout != "" || stderr != c.stderr || exit != c.exit {
			t.Errorf("%s: asked %s\nprinted %q, %q, exit %d", c.what, asked, stdout, stderr, exit)
		}
	}
}

// Every word that a line can be made of has a message.
func TestEveryWordHasAMessage(t *testing.T) {
	for _, line := range []string{"carp0 create destroy", "carp0 up down vhid 1 advskew 1 advbase 1 pass x carpdev em0 state init descr x -descr",
		"carp0 -inet delete 10.0.0.1", "carp0 delete", "carp0 10.0.0.1", "carp0 inet6 delete",
		"carp0 carppeer 10.0.0.1 -carppeer carppeer6 fd00::1 -carppeer6 lladdr random group a -group b"} {
		for _, s := range parse(line).Steps {
			if ioctls[s.Word].set == "" || ioctls[s.Word].get == "" {
				t.Errorf("%s: none", s.Word)
			}
		}
	}
}
