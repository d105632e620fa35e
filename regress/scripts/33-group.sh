#!/bin/sh
# changes the host
# Demote those of one service alone.
ifconfig carp1 group web
ifconfig -g web carpdemote 20
ifconfig -g web
ifconfig -g carp
ifconfig web | awk -F: '/^carp/{print $1}'
ifconfig -g web -carpdemote 20
ifconfig carp1 -group web
ifconfig -g web
