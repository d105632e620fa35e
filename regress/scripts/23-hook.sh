#!/bin/sh
# What ifstated would run: start or stop what belongs to the address.
start() { echo "starting haproxy"; }
stop() { echo "stopping haproxy"; }

case "$(ifconfig carp0 2>/dev/null | grep status:)" in
*master) start ;;
*backup) stop ;;
*)
	echo "carp0 takes no part" >&2
	exit 1
	;;
esac
