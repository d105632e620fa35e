#!/bin/sh
# For a node exporter's text collector.
ifconfig carp 2>/dev/null | awk '
	/^carp/ { name = $1; sub(/:$/, "", name) }
	/carp:/ {
		state["INIT"] = 0; state["BACKUP"] = 1; state["MASTER"] = 2
		printf "carp_state{interface=\"%s\",vhid=\"%s\"} %d\n", name, $6, state[$2]
		printf "carp_advskew{interface=\"%s\"} %d\n", name, $10
	}'
echo "carp_demotion $(ifconfig -g carp 2>/dev/null | awk '{print $NF}')"
sysctl net.inet.carp 2>/dev/null | sed 's/net.inet./node_/; s/\./_/; s/=/ /'
