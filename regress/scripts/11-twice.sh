#!/bin/sh
# changes the host
ifconfig carp0 create 2>/dev/null; ifconfig carp0 vhid 1 carpdev eth0 pass geheim advskew 40 192.168.1.10/24
ifconfig carp0 create 2>/dev/null; ifconfig carp0 vhid 1 carpdev eth0 pass geheim advskew 40 192.168.1.10/24
