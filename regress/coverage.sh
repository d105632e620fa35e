#!/bin/sh
# Fails when the tests of a pure room reach less than 95 % of its statements. usage: coverage.sh [go]
set -eu
go=${1:-go}
least=95
cd "$(dirname "$0")/.."
profile=$(mktemp)
trap 'rm -f "$profile"' EXIT
trap 'exit 1' HUP INT TERM
bad=0
for room in wire config engine; do
	out=$("$go" test -count=1 -coverprofile="$profile" "./libcarp/$room" 2>&1) || { echo "$out" >&2; exit 1; }
	# file.go:1.2,3.4 STATEMENTS TIMES
	awk -v room="$room" -v least="$least" '
		NR > 1 { all += $2; if ($3 > 0) reached += $2 }
		END {
			if (all == 0) { print "coverage: " room ": no statements"; exit 1 }
			printf "coverage: %s: %d of %d statements, %.1f %%\n", room, reached, all, 100 * reached / all
			exit 100 * reached < least * all
		}' "$profile" || { echo "coverage: $room: below $least %" >&2; bad=1; }
done
exit $bad
