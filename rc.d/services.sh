#!/bin/sh
# What `make install` does beyond commands and manual pages: services for the init that is here, and files that keep others' hands off carp interfaces.
# usage: PREFIX=/usr/local SYSCONFDIR=/etc DESTDIR= services.sh mkdir dir ...|install|uninstall|rmdir|enable|disable
set -eu
cd "$(dirname "$0")"
root=${DESTDIR-}
etc=$SYSCONFDIR
lib=$PREFIX/lib/carp
made=$root$lib/directories # those that were not there before, to be taken away again

fail() {
	echo "carp: $*" >&2
	exit 1
}

os=$(uname -s)
init=none
case $os in
OpenBSD | FreeBSD | NetBSD) init=$os ;;
Linux)
	init=sysv
	[ ! -x "$root/sbin/openrc-run" ] && [ ! -x "$root/usr/sbin/openrc-run" ] || init=openrc
	;;
esac

# files: FILE MODE PLACE of everything.
files() {
	echo "boot 755 $lib/boot"
	echo "carp-names 755 $PREFIX/sbin/carp-names"
	case $init in
	sysv)
		echo "carp 755 $etc/init.d/carp"
		echo "carp-up 755 $etc/init.d/carp-up"
		;;
	openrc)
		echo "carp.openrc 755 $etc/init.d/carp"
		echo "carp-up.openrc 755 $etc/init.d/carp-up"
		;;
	OpenBSD) echo "carp.openbsd 755 $etc/rc.d/carp" ;;
	FreeBSD) echo "carp.freebsd 755 /usr/local/etc/rc.d/carp" ;;
	NetBSD) echo "carp.netbsd 755 $etc/rc.d/carp" ;;
	esac
	[ "$os" = Linux ] || return 0
	for unit in carp carp-boot carp-up; do
		echo "$unit.service 644 $etc/systemd/system/$unit.service"
	done
	echo "network/10-carp.network 644 $etc/systemd/network/10-carp.network"
	echo "network/10-carp.link 644 $etc/systemd/network/10-carp.link"
	echo "network/NetworkManager.conf 644 $etc/NetworkManager/conf.d/carp.conf"
}

# directory DIR: makes it, and notes what was missing.
new=
directory() {
	[ -n "$1" ] && [ ! -d "$root$1" ] || return 0
	directory "${1%/*}"
	mkdir "$root$1"
	new="$new $1"
}

noted() {
	for dir in $new; do
		echo "$dir"
	done >>"$made"
}

# systemctl_here: systemd manages this system, running or as one that is being put together.
systemctl_here() {
	command -v systemctl >/dev/null 2>&1 || return 1
	[ -d /run/systemd/system ] && return
	case $(readlink -f /sbin/init 2>/dev/null) in
	*/systemd) ;;
	*) return 1 ;;
	esac
}

# here: what is installed is for this very system.
here() { [ -z "$root" ] && [ "$etc" = /etc ]; }

reload() { [ ! -d /run/systemd/system ] || systemctl daemon-reload; }

has() { command -v "$1" >/dev/null 2>&1; }

# stop: the service, whose script is about to go, so that its masters bow out. What was started by hand stays, and the script says so.
stop() {
	if [ -d /run/systemd/system ]; then
		systemctl -q stop carp.service
	elif [ -d /run/openrc ]; then
		rc-service -q carp stop
	elif [ "$init" = OpenBSD ]; then
		rcctl stop carp
	elif [ "$init" = FreeBSD ]; then
		service carp onestop
	elif [ "$init" = NetBSD ]; then
		/etc/rc.d/carp onestop
	elif [ -x /etc/init.d/carp ] && /etc/init.d/carp status >/dev/null 2>&1; then
		/etc/init.d/carp stop
	fi
}

# forget takes away what older versions have put somewhere. At a word that it does not know busybox's ifup ends, and configures nothing at all.
forget() {
	old=$root$etc/network/interfaces.d/carp
	! grep -q '^no-scripts carp\*$' "$old" 2>/dev/null || rm -f "$old"
}

case ${1-} in
mkdir)
	shift
	directory "$lib"
	for dir; do
		directory "$dir"
	done
	noted
	;;
install)
	forget
	directory "$lib"
	for dir in $(files | sed 's,.* ,,; s,/[^/]*$,,'); do
		directory "$dir"
	done
	noted
	files | while read -r file mode place; do
		sed "s,@PREFIX@,$PREFIX,g" "$file" >"$root$place.new"
		chmod "$mode" "$root$place.new"
		mv -f "$root$place.new" "$root$place"
	done
	! here || ! systemctl_here || reload
	;;
uninstall)
	if here; then
		stop || :
		[ ! -x "$PREFIX/sbin/carp-names" ] || "$PREFIX/sbin/carp-names" off
		sh ./services.sh disable 2>/dev/null || :
	fi
	forget
	files | while read -r _ _ place; do
		rm -f "$root$place"
	done
	! here || ! systemctl_here || reload
	;;
rmdir) # once everything else is gone
	if [ -r "$made" ]; then
		dirs=$(sort -ru "$made")
		rm -f "$made"
		for dir in $dirs; do
			rmdir "$root$dir" 2>/dev/null || : # somebody else has come to use it
		done
	fi
	;;
enable)
	here || fail 'make enable is for this system, without DESTDIR'
	if systemctl_here; then
		reload
		systemctl -q enable carp.service
	elif [ "$init" = openrc ]; then
		rc-update -q add carp default
		rc-update -q add carp-up default
	elif [ "$init" = OpenBSD ]; then
		rcctl enable carp
	elif [ "$init" = FreeBSD ]; then
		sysrc -q carp_enable=YES
	elif [ "$init" = NetBSD ]; then
		grep -q '^carp=' /etc/rc.conf || echo carp=YES >>/etc/rc.conf
	elif has update-rc.d; then
		update-rc.d carp defaults
		update-rc.d carp-up defaults
	elif has chkconfig; then
		chkconfig --add carp
		chkconfig --add carp-up
	else
		fail 'nothing here that starts services; start kernelsim(8) by hand'
	fi
	;;
disable)
	here || fail 'make disable is for this system, without DESTDIR'
	if systemctl_here; then
		systemctl -q disable carp.service carp-boot.service carp-up.service
	elif [ "$init" = openrc ]; then
		rc-update -q delete carp default
		rc-update -q delete carp-up default
	elif [ "$init" = OpenBSD ]; then
		rcctl disable carp
	elif [ "$init" = FreeBSD ]; then
		sysrc -q -x carp_enable
	elif [ "$init" = NetBSD ]; then
		sed '/^carp=/d' /etc/rc.conf >/etc/rc.conf.new
		cat /etc/rc.conf.new >/etc/rc.conf
		rm -f /etc/rc.conf.new
	elif has update-rc.d; then
		update-rc.d -f carp remove
		update-rc.d -f carp-up remove
	elif has chkconfig; then
		chkconfig --del carp
		chkconfig --del carp-up
	fi
	;;
*)
	echo "usage: services.sh mkdir dir ...|install|uninstall|rmdir|enable|disable" >&2
	exit 2
	;;
esac
