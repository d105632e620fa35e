#!/bin/sh
# changes the host
# A new advskew for good: in the file, then in force.
sed 's/advskew [0-9]*/advskew 200/' /etc/hostname.carp0 >/etc/hostname.carp0.new &&
	cat /etc/hostname.carp0.new >/etc/hostname.carp0 && rm /etc/hostname.carp0.new
sh /etc/netstart carp0
ifconfig carp0 2>/dev/null | sed -n 's/.*\(advskew [0-9]*\).*/\1/p'
