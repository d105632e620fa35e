package regress

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// freshSystem makes of this host one that has just been set up, for a shell script that runs in a host of a lab: a system of its own with sysvinit, as far as
// files go. Nothing of it remains.
const freshSystem = `set -eu
mount --make-rprivate /
mount -t tmpfs none "$T"
for d in usr etc var; do
	mkdir "$T/$d" "$T/$d.work"
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=$T/$d,workdir=$T/$d.work" "/$d"
done
mount -t tmpfs none /run
rm -f /usr/bin/systemctl /etc/hostname.* /etc/netstart /etc/init.d/* /etc/init.d/.depend.* /etc/rc?.d/*
echo >/etc/sysctl.conf
soon() { n=0; until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 100 ] || { echo "not soon: $*"; exit 1; }; sleep 0.1; done; }
serves() { [ -z "$(sysctl-carp -n net.inet.carp.log 2>&1 >/dev/null)" ]; }
is() { ifconfig carp0 | grep -q "status: $1"; }
`

func (m *machine) fresh(t *testing.T, script string) string {
	t.Helper()
	src, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "ip", "netns", "exec", m.ns, "unshare", "-m", "sh", "-c", freshSystem+script)
	c.Env = append(os.Environ(), "T="+t.TempDir(), "SRC="+src, "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"+os.Getenv("PATH"))
	c.WaitDelay = time.Second // a daemon that the script has left has its output
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	return string(out)
}

// From make install to a reboot and back: the announcement of 2003 is the only command, a booting host holds back, one that stops takes its carps down
// before a server is told to end, and everything goes as it came.
func TestFreshSystem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.machine("a")
	out := m.fresh(t, `
cat >/etc/init.d/server <<'EOF'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          server
# Required-Start:    $network $remote_fs $syslog
# Required-Stop:     $network $remote_fs $syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
### END INIT INFO
EOF
chmod 755 /etc/init.d/server
update-rc.d server defaults
all() { ls -R /etc /usr/local | sed 's/^\([SK]\)[0-9][0-9]/\1/'; } # insserv gives nobody an earlier place again
all >"$T/before"
make -s -C "$SRC" install enable
ls /etc/rc?.d/* | sort | tr '\n' ' '
carp-names on
echo "== a command, a moment after the boot"
echo 10.00 5.00 >"$T/uptime"
mount --bind "$T/uptime" /proc/uptime
ifconfig carp0 vhid 1 192.168.1.10
undemoted() { [ "$(ifconfig -g carp)" = "carp: carp demote count 0" ]; }
soon undemoted
soon is master
/etc/init.d/carp status
ifconfig carp1 -group carp vhid 2 192.168.1.11
echo "== shutdown"
RUNLEVEL=6 /etc/init.d/carp-up stop
is invalid && ifconfig carp1 | grep -q 'status: invalid' && echo "down"
/etc/init.d/carp stop
echo "== boot"
rm -rf /run/*
echo 'vhid 1 advskew 100 192.168.1.10' >/etc/hostname.carp0
chmod 640 /etc/hostname.carp0
echo 'net.inet.carp.preempt=1 # both legs together' >/etc/sysctl.conf
/etc/init.d/carp start
ifconfig -g carp
sysctl net.inet.carp.preempt
ifconfig carp0 | grep -o 'vhid 1 advbase 1 advskew 100'
/etc/init.d/carp-up start
soon undemoted
ifconfig -g carp
echo "== a restart is no boot"
ifconfig carp0 advskew 50
/etc/init.d/carp restart
ifconfig carp0 | grep -o 'advskew 50'
echo "== gone"
rm /etc/hostname.carp0
make -s -C "$SRC" uninstall
all >"$T/after"
diff "$T/before" "$T/after" && echo "as before"
`)
	const want = `/etc/rc0.d/K01carp-up /etc/rc0.d/K02carp /etc/rc0.d/K02server /etc/rc1.d/K01carp-up /etc/rc1.d/K02carp /etc/rc1.d/K02server ` +
		`/etc/rc2.d/S01carp /etc/rc2.d/S01server /etc/rc2.d/S02carp-up /etc/rc3.d/S01carp /etc/rc3.d/S01server /etc/rc3.d/S02carp-up ` +
		`/etc/rc4.d/S01carp /etc/rc4.d/S01server /etc/rc4.d/S02carp-up /etc/rc5.d/S01carp /etc/rc5.d/S01server /etc/rc5.d/S02carp-up ` +
		`/etc/rc6.d/K01carp-up /etc/rc6.d/K02carp /etc/rc6.d/K02server == a command, a moment after the boot
carp: kernelsim runs
== shutdown
down
carp: kernelsim stopped
== boot
carp: kernelsim started
net.inet.carp.preempt: 0 -> 1
carp: carp demote count 128
net.inet.carp.preempt=1
vhid 1 advbase 1 advskew 100
carp: carp demote count 0
== a restart is no boot
carp: kernelsim stopped
carp: kernelsim started
advskew 50
== gone
carp: kernelsim stopped
as before
`
	if out != want {
		t.Errorf("%s\nwant:\n%s", out, want)
	}
}

// Every right-hand side of carp-migrate(7) works, from top to bottom.
func TestMigratePage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../man/carp-migrate.7")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	commands := regexp.MustCompile(`(?m)^\.Dl # (.*)$`).FindAllStringSubmatch(string(data), -1)
	unescape := strings.NewReplacer(`\(dq`, `"`, `\(aq`, `'`, `\e`, `\`)
	script.WriteString("cd \"$SRC\"\n")
	for _, c := range commands {
		line := unescape.Replace(c[1])
		run := "{ " + line + "\n} >\"$T/out\" 2>&1"
		switch {
		case strings.Contains(line, "ifconfig -W"): // has no end
			run = "timeout 2 sh -c '" + strings.ReplaceAll(line, "'", `'\''`) + "' >\"$T/out\" 2>&1 || [ $? -eq 124 ]"
		case strings.Contains(line, "grep -q"), strings.Contains(line, "tcpdump"):
			script.WriteString("soon is master\n")
		}
		script.WriteString(run + " || { echo '" + strings.ReplaceAll(line, "'", `'\''`) + ":'; cat \"$T/out\"; }\n")
	}
	script.WriteString("/etc/init.d/carp stop >/dev/null\n")
	if len(commands) < 30 {
		t.Fatalf("%d commands", len(commands))
	}
	l := newLab(t)
	if out := l.machine("a").fresh(t, script.String()); out != "" {
		t.Error(out)
	}
}
