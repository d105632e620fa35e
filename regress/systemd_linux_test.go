package regress

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bootedSystem makes of this host one that has just been installed, with our services enabled, and boots it with its own systemd in the network of a host of a
// lab. It ends when that system is switched off. Of this host's kernel the booted one can set what belongs to its network and nothing else.
const bootedSystem = `set -eu
[ "${1-}" = inside ] || {
	mount --make-rprivate /
	mount -t tmpfs none "$T"
	mkdir "$T/upper" "$T/work" "$T/root" "$T/cgroup"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$T/upper,workdir=$T/work" "$T/root"
	mount -t cgroup2 none "$T/cgroup"
	own=$T/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
	mkdir "$own/$NAME"
	echo 0 >"$own/$NAME/cgroup.procs"
	code=0
	unshare -m -p -u -i -C --fork --kill-child sh "$0" inside || code=$?
	echo 0 >"$own/cgroup.procs"
	n=0
	until find "$own/$NAME" -depth -type d -exec rmdir {} + 2>/dev/null || [ $n -ge 50 ]; do # what was killed takes a moment
		n=$((n + 1))
		sleep 0.1
	done
	exit $code
}
cd "$T/root"
rm -rf etc/systemd/system etc/systemd/network etc/hostname.* etc/netstart run/* var/log/journal
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
for unit in systemd-logind.service getty.target systemd-udevd.service; do
	ln -s /dev/null "etc/systemd/system/$unit"
done
echo 'vhid 1 192.168.1.10' >etc/hostname.carp0
chmod 640 etc/hostname.carp0
echo net.inet.carp.preempt=1 >etc/sysctl.conf
# like a server behind a shared address
cat >etc/systemd/system/server.service <<'EOF'
[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '/usr/local/sbin/ifconfig-carp -g carp >/srv/start; sleep 4; echo ready >>/srv/start'
ExecStop=/bin/sh -c '/usr/local/sbin/ifconfig-carp carp0 >/srv/stop'
EOF
ln -s ../server.service etc/systemd/system/multi-user.target.wants/server.service
make -s -C "$SRC" install DESTDIR="$T/root" >&2
systemctl -q --root="$T/root" enable carp.service
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw proc/sys/net
echo 10.00 5.00 >"$T/uptime"
mount --bind "$T/uptime" proc/uptime
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none dev
for node in null zero full random urandom tty; do
	: >dev/$node
	mount --bind /dev/$node dev/$node
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm
mount -t tmpfs -o mode=755 none run
mount -t tmpfs none tmp
mount --bind "$OUT" srv
pivot_root . mnt
cd /
umount -l /mnt
exec env -i PATH=/usr/sbin:/usr/bin container=other TERM=dumb /lib/systemd/systemd
`

// A real systemd boots the units: a booting host holds back until its services run, a new version is no fail-over, one that hangs is started anew, the first
// command brings back all that stop has stopped, and at shutdown the carps are down before a server that uses them is told to end.
func TestSystemdBoots(t *testing.T) {
	l := newLab(t)
	m := l.machine("a")
	src, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir, out := t.TempDir(), t.TempDir()
	script := filepath.Join(t.TempDir(), "boot")
	if err := os.WriteFile(script, []byte(bootedSystem), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	system := exec.CommandContext(ctx, "ip", "netns", "exec", m.ns, "unshare", "-m", "sh", script)
	system.Env = append(os.Environ(), "T="+dir, "OUT="+out, "SRC="+src, "NAME="+m.ns)
	var words strings.Builder
	system.Stdout, system.Stderr = &words, &words
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- system.Wait() }()
	var init string
	// in runs a command of the booted system.
	in := func(command string) string {
		args := []string{"-t", init, "-m", "-p", "-u", "-i", "-n", "-C", "env", "-i", "LC_ALL=C", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command}
		text, _ := exec.CommandContext(ctx, "nsenter", args...).CombinedOutput()
		return strings.TrimSpace(string(text))
	}
	t.Cleanup(func() {
		if init != "" {
			exec.Command("kill", "-9", init).Run() // and with it all that is in its pid namespace
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cancel()
		}
		if t.Failed() {
			t.Logf("%s", words.String())
		}
	})
	soon := func(what, command, want string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if got = in(command); got == want {
				return
			}
		}
		t.Fatalf("%s: %s\nwant: %s\n%s", what, got, want, in("journalctl -n 40 --no-pager"))
	}
	for end := time.Now().Add(time.Minute); init == "" && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		init = initOf(strconv.Itoa(system.Process.Pid))
	}
	if init == "" {
		t.Fatal("systemd did not start")
	}

	const all, active = "systemctl is-active carp carp-boot carp-up | xargs", "active active active"
	soon("boot", all, active)
	if text, err := os.ReadFile(filepath.Join(out, "start")); err != nil || string(text) != "carp: carp demote count 128\nready\n" {
		t.Errorf("a server starts while %q, %v", text, err)
	}
	soon("after the boot", "ifconfig-carp -g carp", "carp: carp demote count 0")
	if got := in("sysctl-carp -n net.inet.carp.preempt"); got != "1" {
		t.Errorf("preempt is %s", got)
	}
	const state = "ifconfig-carp carp0 | grep -o 'status: .*'"
	soon("a master", state, "status: master")
	soon("the journal, by level", "journalctl -q --no-pager -o cat -p crit -u carp", "carp0: state transition: BACKUP -> MASTER")

	if got := in("journalctl -q --no-pager -o cat -u carp -u carp-boot -u carp-up | grep -i -e unset -e unknown -e ignoring"); got != "" {
		t.Errorf("systemd says of the units: %s", got)
	}

	const main, engine, last = "systemctl show -p MainPID --value carp", "pgrep -f '^kernelsim: engine'", "tail -n 1 /run/carp/events"
	pid, was, event := in(main), in(engine), in(last)
	if got := in("systemctl reload carp"); got != "" {
		t.Errorf("reload: %s", got)
	}
	soon("reload", "journalctl -q --no-pager -o cat -u carp | grep -c 'new program has taken over'", "1")
	if got := in(main); got != pid || in(engine) == was || in(last) != event {
		t.Errorf("reload: process %s, engine %s, %s; was %s, %s, %s", got, in(engine), in(last), pid, was, event)
	}

	in("systemctl kill -s STOP --kill-who=main carp")
	soon("the watchdog", "systemctl show -p NRestarts -p SubState --value carp | sort | xargs", "1 running")
	soon("started anew", all, active)

	in("systemctl stop carp")
	if got := in(all + "; ip link show carp0"); got != "inactive inactive inactive\nDevice \"carp0\" does not exist." {
		t.Errorf("stopped: %s", got)
	}
	if got := in("ifconfig-carp carp0 advskew 1"); got != "" {
		t.Errorf("the first command: %s", got)
	}
	soon("the first command", all, active)
	soon("master again", state, "status: master")

	in("systemctl poweroff")
	select {
	case <-ended:
		init = ""
		ended <- nil
	case <-time.After(time.Minute):
		t.Fatal("the system does not end")
	}
	if text, err := os.ReadFile(filepath.Join(out, "stop")); err != nil || !strings.Contains(string(text), "status: invalid") {
		t.Errorf("a server ends while %s%v", text, err)
	}
}

// initOf is the process number of the systemd among the descendants of a process, "" as long as there is none.
func initOf(pid string) string {
	children, _ := exec.Command("pgrep", "-P", pid).Output() // none is an error
	for _, child := range strings.Fields(string(children)) {
		if comm, _ := os.ReadFile("/proc/" + child + "/comm"); string(comm) == "systemd\n" {
			return child
		}
		if init := initOf(child); init != "" {
			return init
		}
	}
	return ""
}
