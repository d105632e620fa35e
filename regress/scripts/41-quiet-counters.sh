#!/bin/sh
# Alarms on any bad packet.
bad=$(netstat -s -p carp | awk '/bad (checksum|authentication|version)|wrong TTL/ { n += $1 } END { print n + 0 }')
[ "$bad" -eq 0 ] && echo "no bad packets"
