package regress

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// namesScript is run with copies of /usr and of dpkg's own files in a mount namespace: the packages of before and after an upgrade stand in for those that
// have the commands. Each line that it prints is compared.
const namesScript = `set -eu
mount --make-rprivate /
mount -t tmpfs none "$T"
mkdir "$T/upper" "$T/work"
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$T/upper,workdir=$T/work" /usr
rm -f /sbin/ifconfig /sbin/sysctl /bin/netstat /usr/bin/netstat /usr/sbin/sysctl /usr/sbin/ifconfig
rm -rf /usr/local/sbin/*-carp
for c in ifconfig-carp sysctl-carp netstat-carp; do
	printf '#!/bin/sh\necho %s: $*\n' $c >"$T/$c"
	install -D "$T/$c" /usr/local/sbin/$c
	install -D -m 644 /dev/null /usr/local/share/man/man8/$c.8
done
sed 's,@PREFIX@,/usr/local,' "$SCRIPT" >/usr/local/sbin/carp-names
chmod 755 /usr/local/sbin/carp-names
package() { # package VERSION
	for c in sbin/ifconfig sbin/sysctl bin/netstat; do
		mkdir -p "$T/p$1/${c%/*}" "$T/p$1/DEBIAN"
		printf '#!/bin/sh\necho system %s %s: $*\n' "$1" "${c##*/}" >"$T/p$1/$c"
		chmod 755 "$T/p$1/$c"
	done
	printf 'Package: tools\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: tools\n' "$1" >"$T/p$1/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$T/p$1" "$T/p$1.deb" >/dev/null
}
package 1
package 2
same() { # same VERSION [SUFFIX]: bit for bit, with its mode
	for c in sbin/ifconfig sbin/sysctl bin/netstat; do
		cmp "$T/p$1/$c" "/$c${2-}"
		[ "$(stat -L -c %a "/$c${2-}")" = 755 ]
		[ "$HAVE" != busybox ] || [ -L "/$c${2-}" ]
	done
}
all() { for c in ifconfig sysctl netstat; do "$c" x; done; }
names() { carp-names "$@" && echo "exit 0" || echo "exit $?"; }

if [ "$HAVE" = dpkg ]; then
	mount -t tmpfs none /var/lib/dpkg
	mkdir /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers
	touch /var/lib/dpkg/status /var/lib/dpkg/available
	upgrade() { dpkg --force-all -i "$T/p$1.deb" >/dev/null 2>&1; }
else
	rm -f /usr/bin/dpkg-divert
	upgrade() { for c in sbin/ifconfig sbin/sysctl bin/netstat; do rm -f "/$c" && cp -a "$T/p$1/$c" "/$c"; done; }
fi
if [ "$HAVE" = busybox ]; then # its sh and tools, and commands that are links to one program
	busybox=$(command -v busybox)
	for tool in $($busybox --list); do
		[ ! -e /usr/bin/$tool ] || ln -sf $busybox /usr/bin/$tool
	done
	upgrade() { for c in sbin/ifconfig sbin/sysctl bin/netstat; do rm -f "/$c" && cp -a "$T/p$1/$c" "/$c.real" && ln -s "${c##*/}.real" "/$c"; done; }
fi

names status
upgrade 1
names status
names on
names on
all
same 1 .distrib
readlink /usr/local/share/man/man8/ifconfig.8
upgrade 2
names status
[ "$HAVE" = dpkg ] || names on
all
same 2 .distrib
names off
same 2
all
ls /sbin/*.distrib /bin/*.distrib /usr/local/share/man/man8/ifconfig.8 2>/dev/null || echo nothing left
[ "$HAVE" != dpkg ] || [ -z "$(dpkg-divert --list '*distrib')" ]
names off
same 2
rm -f /sbin/ifconfig /sbin/sysctl /bin/netstat
names on
all
names off
ls /sbin/ifconfig /sbin/sysctl /bin/netstat 2>/dev/null || echo nothing left
names maybe
`

// The real names are ours and the system's again, bit for bit, also when their package was upgraded meanwhile.
func TestNames(t *testing.T) {
	system := func(version string) string {
		return "system " + version + " ifconfig: x\nsystem " + version + " sysctl: x\nsystem " + version + " netstat: x\n"
	}
	const (
		none   = "/sbin/ifconfig: none\n/sbin/sysctl: none\n/sbin/netstat: none\nexit 1\n"
		theirs = "/sbin/ifconfig: the system's\n/sbin/sysctl: the system's\n/bin/netstat: the system's\nexit 1\n"
		ours   = "/sbin/ifconfig: carp\n/sbin/sysctl: carp\n/bin/netstat: carp\nexit 0\n"
		again  = "/sbin/ifconfig: the system's again; carp-names on mends it\n/sbin/sysctl: the system's again; carp-names on mends it\n" +
			"/bin/netstat: the system's again; carp-names on mends it\nexit 1\n"
		all  = "ifconfig-carp: x\nsysctl-carp: x\nnetstat-carp: x\n"
		gone = "nothing left\n"
		ok   = "exit 0\n"
	)
	want := func(upgraded string) string {
		return none + theirs + ok + ok + all + "ifconfig-carp.8\n" + upgraded + all + ok + system("2") + gone + ok + ok + all + ok + gone +
			"usage: carp-names on|off|status\nexit 2\n"
	}
	for _, c := range []struct{ have, want string }{{"dpkg", want(ours)}, {"none", want(again + ok)}, {"busybox", want(again + ok)}} {
		t.Run(c.have, func(t *testing.T) {
			t.Parallel()
			script, err := filepath.Abs("../rc.d/carp-names")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("unshare", "-m", "sh", "-c", namesScript)
			cmd.Env = []string{"T=" + t.TempDir(), "SCRIPT=" + script, "HAVE=" + c.have, "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != c.want {
				t.Errorf("%v\n%s\nwant:\n%s", err, out, c.want)
			}
		})
	}
}
