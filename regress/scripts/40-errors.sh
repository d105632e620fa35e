#!/bin/sh
# What goes wrong is told by the exit code.
ifconfig carp9 2>/dev/null || echo "no carp9"
ifconfig carp0 vhid 256 || echo "refused: $?"
ifconfig -g carp carpdemote 500 || echo "refused: $?"
sysctl net.inet.carp.nonsense && echo "sysctl exits 0 all the same"
