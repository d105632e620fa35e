#!/bin/sh
[ $(sysctl -n net.inet.carp.preempt) -eq 1 ]
