#!/bin/sh
# changes the host
# Give the address away and take part again.
ifconfig carp0 | grep -q 'status: master' || { echo "not master"; exit 0; }
ifconfig carp0 down && sleep 0.2 && ifconfig carp0 up
ifconfig carp0 | grep -c RUNNING
