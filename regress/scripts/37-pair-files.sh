#!/bin/sh
# The whole of a firewall's files: what would be done at boot.
sh /etc/netstart -n -s
sh /etc/netstart -n
