#!/bin/sh
# Configuration management: what has a file and is not there is started.
for f in /etc/hostname.carp*; do
	i=${f#/etc/hostname.}
	ifconfig "$i" >/dev/null 2>&1 && continue
	echo "starting $i"
	sh /etc/netstart "$i"
done
