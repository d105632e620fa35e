package regress

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed copies a file of rc.d into a directory as make install does, with the given prefix and other changes, each of which must apply once.
func installed(t *testing.T, file, dir, prefix string, changes ...string) string {
	t.Helper()
	data, err := os.ReadFile("../rc.d/" + file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "@PREFIX@", prefix)
	for i := 0; i < len(changes); i += 2 {
		if n := strings.Count(text, changes[i]); n != 1 {
			t.Fatalf("%q stands %d times in %s", changes[i], n, file)
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	path, mode := filepath.Join(dir, file), os.FileMode(0o755)
	if strings.HasSuffix(file, ".service") {
		mode = 0o644
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// recorder makes a command that prints its words.
func recorder(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"${0##*/} $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// systemd finds no fault with the units, nor with what they may do.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, command := range []string{"sbin/kernelsim", "sbin/ifconfig-carp", "lib/carp/boot"} {
		recorder(t, filepath.Join(dir, command))
	}
	var units []string
	for _, unit := range []string{"carp.service", "carp-boot.service", "carp-up.service"} {
		units = append(units, installed(t, unit, dir, dir))
	}
	verify := func(units ...string) (string, error) {
		out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(units...); err != nil || strings.Contains(out, "carp") {
		t.Errorf("%v\n%s", err, out)
	}
	broken := filepath.Join(dir, "broken.service") // the judge is one
	if err := os.WriteFile(broken, []byte("[Service]\nType=notify\nExecStart=/nonexistent\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := verify(broken); err == nil {
		t.Errorf("a unit without its command is right:\n%s", out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=60", units[0]).CombinedOutput()
	if err != nil {
		t.Errorf("exposed: %v\n%s", err, out)
	}
}

// The scripts of the BSDs say to their rc.subr what they must.
func TestServiceScriptsOfBSD(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, subr, stub, action, want string }{
		{"carp.openbsd", ". /etc/rc.d/rc.subr", `rc_cmd() { echo "rc_cmd $1 daemon=$daemon bg=$rc_bg pexp=$pexp logger=$daemon_logger"; [ "$1" != stop ] || rc_post; }`,
			"start", "rc_cmd start daemon=P/sbin/kernelsim bg=YES pexp=P/sbin/kernelsim logger=daemon.notice\n"},
		{"carp.openbsd", ". /etc/rc.d/rc.subr", `daemon_flags=-v; rc_cmd() { echo "rc_cmd $1 pexp=$pexp"; [ "$1" != stop ] || rc_post; }`,
			"stop", "rc_cmd stop pexp=P/sbin/kernelsim -v\nkernelsim -c\n"},
		{"carp.freebsd", ". /etc/rc.subr", `load_rc_config() { carp_flags=-v; }
run_rc_command() { echo "$1 $name $rcvar=$carp_enable $command $command_args"; echo "$pidfile $procname $extra_commands"; $start_postcmd; $stop_postcmd; }`,
			"start", "start carp carp_enable=NO /usr/sbin/daemon -f -p /var/run/carp.pid P/sbin/kernelsim -v\n/var/run/carp.pid P/sbin/kernelsim reload\n" +
				"boot up\nkernelsim -c\n"},
		{"carp.netbsd", "$_rc_subr_loaded . /etc/rc.subr", `load_rc_config() { carp_flags=-v; }
run_rc_command() { echo "$1 $name $rcvar $command $extra_commands"; $start_cmd; wait; $start_postcmd; $stop_postcmd; }`,
			"start", "start carp carp P/sbin/kernelsim reload\nStarting carp.\nboot up\nkernelsim -c\n"},
	} {
		for _, shell := range []string{"dash", "ksh", "busybox sh"} {
			dir := t.TempDir()
			recorder(t, filepath.Join(dir, "sbin/kernelsim"))
			recorder(t, filepath.Join(dir, "lib/carp/boot"))
			subr := filepath.Join(dir, "rc.subr")
			if err := os.WriteFile(subr, []byte(c.stub+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			script := installed(t, c.file, dir, dir, c.subr, ". "+subr)
			out, err := exec.Command("sh", "-c", shell+` "$0" "$1"`, script, c.action).CombinedOutput()
			if got := strings.ReplaceAll(string(out), dir, "P"); err != nil || got != c.want {
				t.Errorf("%s under %s: %v\n%s\nwant:\n%s", c.file, shell, err, got, c.want)
			}
		}
	}
}

// rcorder(8) finds in the scripts of FreeBSD and NetBSD where they belong.
func TestServiceScriptsHaveAnOrder(t *testing.T) {
	for _, file := range []string{"carp.freebsd", "carp.netbsd"} {
		data, err := os.ReadFile("../rc.d/" + file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(data), "\n#\n")
		for _, line := range []string{"# PROVIDE: carp\n", "# REQUIRE: NETWORKING", "# BEFORE: LOGIN\n", "# KEYWORD: shutdown"} {
			if !strings.Contains(head, line) {
				t.Errorf("%s: no line %q", file, line)
			}
		}
	}
}

// openrcStub is what openrc-run(8) gives a script, as far as ours need it.
const openrcStub = `RC_SVCNAME=$2
ebegin() { echo "ebegin $*"; }
eend() { echo "eend $*"; return "$1"; }
eerror() { echo "eerror $*"; }
need() { echo "need $*"; }
use() { echo "use $*"; }
after() { echo "after $*"; }
set -f
. "$1"
[ "$3" != show ] || { echo "$command $command_args $command_background $pidfile $extra_started_commands $CARP_STATEDIR"; exit; }
"$3"
[ "$3" != start_pre ] || echo "$error_log,$start_stop_daemon_args"
`

// The scripts for OpenRC do what they must, in its shell.
func TestOpenRCScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, command := range []string{"sbin/kernelsim", "lib/carp/boot"} {
		recorder(t, filepath.Join(dir, command))
	}
	if err := os.WriteFile(filepath.Join(dir, "sbin/sysctl-carp"), []byte("#!/bin/sh\necho 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	stub := filepath.Join(dir, "openrc-run")
	if err := os.WriteFile(stub, []byte(openrcStub), 0o755); err != nil {
		t.Fatal(err)
	}
	stopping := filepath.Join(dir, "rc.stopping")
	carp := installed(t, "carp.openrc", dir, dir, "/run/${RC_SVCNAME}.pid", dir+"/${RC_SVCNAME}.pid")
	up := installed(t, "carp-up.openrc", dir, dir, "/run/openrc/rc.stopping", stopping)
	run := func(script, name, action, want string) {
		t.Helper()
		cmd := exec.Command("busybox", "sh", stub, script, name, action)
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "KERNELSIM_OPTS=-v"}
		out, err := cmd.CombinedOutput()
		if got := strings.ReplaceAll(string(out), dir, "P"); err != nil || got != want {
			t.Errorf("%s %s: %v\n%s\nwant:\n%s", name, action, err, got, want)
		}
	}
	run(carp, "carp", "show", "P/sbin/kernelsim -v yes P/carp.pid reload /var/run/carp\n")
	run(carp, "carp", "depend", "use localmount net logger\nafter firewall nftables iptables\n")
	for help, want := range map[string]string{ // OpenRC's, Debian's, busybox's
		"  -1, --stdout <arg>\n  -2, --stderr <arg>\n":        "/var/log/carp.log,\n",
		"  -O, --output <filename>  send stdout and stderr\n": ",--output /var/log/carp.log\n",
		"  -b  Background\n":                                  ",\n",
	} {
		script := fmt.Sprintf("#!/bin/sh\nprintf '%s' >&2\n", help)
		if err := os.WriteFile(filepath.Join(dir, "start-stop-daemon"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		run(carp, "carp", "start_pre", want)
	}
	run(carp, "carp", "start_post", "boot up\n")
	run(carp, "carp", "stop_post", "kernelsim -c\n")
	sleeper := exec.Command("env", "--default-signal=HUP", "sleep", "60") // nohup(1) ignores it
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "carp.pid"), []byte(fmt.Sprintln(sleeper.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	run(carp, "carp", "reload", "ebegin Reloading carp\neend 0\n")
	if err := sleeper.Wait(); err == nil || err.Error() != "signal: hangup" {
		t.Errorf("reload sent %v", err)
	}
	run(up, "carp-up", "depend", "use carp\nafter *\n")
	run(up, "carp-up", "start", "ebegin Ending the demotion of a booting host\nboot multiuser\neend 0\n")
	run(up, "carp-up", "stop", "") // somebody restarts it
	if err := os.WriteFile(stopping, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run(up, "carp-up", "stop", "ebegin Taking carp interfaces down\nboot down\neend 0\n")

	// what the first command needs: the one that is stopped first at shutdown has to be started, too
	for _, command := range []string{"rc-service", "systemctl"} {
		recorder(t, filepath.Join(dir, "sbin", command))
	}
	if err := os.WriteFile(filepath.Join(dir, "sbin/rc-update"), []byte("#!/bin/sh\necho '   carp | default'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("busybox", "sh", installed(t, "boot", dir, dir, "/run/systemd/system", dir+"/no"), "start")
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if want := "rc-service -q carp start\nrc-service -q carp-up start\n"; err != nil || string(out) != want {
		t.Errorf("boot start: %v\n%s\nwant:\n%s", err, out, want)
	}
}
