#!/bin/sh
# changes the host
# Configuration management: change it only where it is not so, and say whether it was.
want=10
for n in 1 2; do
	is=$(ifconfig carp0 2>/dev/null | sed -n 's/.* advskew \([0-9]*\).*/\1/p')
	if [ "$is" = $want ]; then
		echo "run $n: unchanged"
	else
		ifconfig carp0 advskew $want 2>/dev/null && echo "run $n: changed from $is to $want"
	fi
done
