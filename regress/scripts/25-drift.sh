#!/bin/sh
# changes the host
# Configuration management: is what is in force what the files say?
sh /etc/netstart -n -d >/dev/null
echo "exit $?"
ifconfig carp1 descr 'changed by hand' 2>/dev/null
sh /etc/netstart -n -d
echo "exit $?"
