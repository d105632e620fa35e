#!/bin/sh
# A table for the wiki.
printf '%-6s %-8s %-5s %s\n' name parent vhid addresses
ifconfig carp 2>/dev/null | awk '
	function row() { if (name != "") printf "%-6s %-8s %-5s%s\n", name, dev, vhid, addrs }
	/^[a-z]/ { row(); name = $1; sub(/:/, "", name); addrs = "" }
	/carp:/ { for (i = 1; i < NF; i++) { if ($i == "carpdev") dev = $(i + 1); if ($i == "vhid") vhid = $(i + 1) } }
	/inet / { addrs = addrs " " $2 }
	END { row() }'
