#!/bin/sh
# changes the host
# Demote for as long as the work takes, and wait until the other host has taken over.
work() { echo working; }

ifconfig -g carp carpdemote 50 || exit 1
trap 'ifconfig -g carp -carpdemote 50' EXIT
n=0
while ifconfig carp | grep -q 'status: master'; do
	n=$((n + 1))
	[ $n -le 50 ] || { echo "still master" >&2; exit 1; }
	sleep 0.1
done
work
ifconfig -g carp
