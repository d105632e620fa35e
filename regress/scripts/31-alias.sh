#!/bin/sh
# changes the host
# One more address, and away with it.
ifconfig carp0 alias 192.168.1.12 netmask 255.255.255.255
ifconfig carp0 | grep -c 'inet 192.168.1.12 netmask 0xffffffff'
ifconfig carp0 -alias 192.168.1.12
ifconfig carp0 delete 192.168.1.12
ifconfig carp0 | grep -c inet
