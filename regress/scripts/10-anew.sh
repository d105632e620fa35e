#!/bin/sh
# changes the host
ifconfig carp0 destroy && sh /etc/netstart carp0
