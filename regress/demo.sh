#!/bin/sh
# Shows a fail-over: two hosts and a client on a bridge, each in a network namespace of its own. Needs root, and the
# commands in PATH; see `make demo`.
set -eu

id=carp-demo-$$
tmp=$(mktemp -d)
clean() {
	trap - EXIT INT TERM
	for h in a b client switch; do
		for pid in $(ip netns pids "$id-$h" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || :; done
		ip netns del "$id-$h" 2>/dev/null || :
	done
	rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 1' INT TERM

on() { # on HOST COMMAND...: runs it there, with the host's own state directory
	host=$1
	shift
	CARP_STATEDIR=$tmp/$host ip netns exec "$id-$host" "$@"
}
show() { # the same, as typed at the host's prompt
	h=$1
	shift
	printf '%s# %s\n' "$h" "$*"
	on "$h" "$@"
}
fail() {
	echo "demo: $1" >&2
	exit 1
}
status() { on "$1" ifconfig-carp carp0 2>/dev/null | sed -n 's/.*status: //p'; }
wait_for() { # wait_for HOST STATE
	n=0
	until [ "$(status "$1")" = "$2" ]; do
		n=$((n + 1))
		[ $n -lt 100 ] || fail "$1 did not become $2"
		sleep 0.1
	done
}

echo 'A LAN: hosts a and b, a client, and a switch between them.'
ip netns add "$id-switch"
ip -n "$id-switch" link add br0 type bridge
ip -n "$id-switch" link set br0 up
n=1
for h in a b client; do
	ip netns add "$id-$h"
	ip -n "$id-switch" link add "to-$h" type veth peer name eth0 netns "$id-$h"
	ip -n "$id-switch" link set "to-$h" master br0 up
	ip -n "$id-$h" link set lo up
	ip -n "$id-$h" addr add "192.168.1.$n/24" dev eth0
	ip -n "$id-$h" link set eth0 up
	n=$((n + 1))
done

for h in a b; do
	printf '%s# kernelsim &\n' $h
	on $h kernelsim -e 2>"$tmp/$h.log" &
	until [ -S "$tmp/$h/ctl" ]; do sleep 0.01; done # as long as it takes to type the next line
	show $h ifconfig-carp carp0 vhid 1 192.168.1.10
done
show b ifconfig-carp carp0 advskew 100
for h in a b; do show $h sysctl-carp net.inet.carp.preempt=1; done
wait_for a master
wait_for b backup
show a ifconfig-carp carp0
show b ifconfig-carp carp0

printf '\nThe client pings 192.168.1.10 ten times a second.\n'
on client ping -n -D -i 0.1 -c 120 192.168.1.10 >"$tmp/ping" 2>&1 &
pinger=$!
sleep 2
grep -q 'bytes from' "$tmp/ping" || fail 'nobody answers'
echo 'Now host a dies: its cable is cut and its processes are killed.'
ip -n "$id-switch" link del to-a
for pid in $(ip netns pids "$id-a"); do kill -9 "$pid"; done
wait_for b master
show b ifconfig-carp carp0
wait $pinger || :

# [1700000000.123456] 64 bytes from ...: the longest time between two answers
gap=$(sed -n 's/^\[\([0-9]*\)\.\([0-9][0-9][0-9]\).*bytes from.*/\1\2/p' "$tmp/ping" |
	awk 'NR > 1 && $1 - last > max { max = $1 - last } { last = $1 } END { print max }')
answers=$(grep -c 'bytes from' "$tmp/ping")
printf '\nHost b took over. For %s ms nobody answered; %s of 120 pings were answered.\n' "$gap" "$answers"
