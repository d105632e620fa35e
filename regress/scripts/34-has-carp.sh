#!/bin/sh
# Does this system have carp?
ifconfig -C | tr ' ' '\n' | grep -qx carp && echo "carp is there"
sysctl -n net.inet.carp.allow >/dev/null && echo "and has variables"
