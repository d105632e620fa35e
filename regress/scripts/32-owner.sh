#!/bin/sh
# Whose is the Ethernet address?
for mac in 00:00:5e:00:01:01 00:00:5e:00:01:02 00:00:5e:00:01:03; do
	echo "$mac: $(ifconfig -M $mac)"
done
