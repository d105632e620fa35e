#!/bin/sh
# A line for /etc/motd.
for i in $(ifconfig carp 2>/dev/null | sed -n 's/^\(carp[0-9]*\):.*/\1/p'); do
	ifconfig "$i" 2>/dev/null | awk -v i="$i" '
		/description:/ { sub(/.*description: /, ""); text = " (" $0 ")" }
		/status:/ { status = toupper($2) }
		/inet / { addr = addr " " $2 }
		END { printf "This host is %s for%s%s\n", status, addr, text }'
done
