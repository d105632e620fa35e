#!/bin/sh
# changes the host
# More in the log for a while.
old=$(sysctl -n net.inet.carp.log)
sysctl net.inet.carp.log=7
sysctl -q net.inet.carp.log="$old"
sysctl -n net.inet.carp.log
sysctl -w net.inet.carp.preempt=0 net.inet.carp.preempt=1
