#!/bin/sh
# Runs every fuzz target for a time, one after the other, and says which failed; go test has then written down what makes it fail, in
# testdata/fuzz beside the target. usage: fuzz.sh [time [package ...]]
set -u
time=${1:-5s}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- ./...
: "${GO:=go}"
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' INT TERM

# go at times takes the end of its own time for a failure (golang/go issue 75804); a real one writes down its input.
only_late() {
	grep -q '^ *context deadline exceeded$' "$out" && ! grep -Eq 'Failing input|panic|failure while testing|fuzzing process' "$out"
}

status=0 targets=0
for package in $("$GO" list "$@"); do
	for target in $("$GO" test -list '^Fuzz' "$package" | grep '^Fuzz'); do
		targets=$((targets + 1))
		# Without a limit go spends a minute on making each new input smaller.
		if "$GO" test -run '^$' -timeout 0 -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 200x "$package" >"$out" 2>&1 ||
			only_late; then
			execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$out" | tail -n 1)
			echo "ok	$package $target: $execs inputs"
			continue
		fi
		cat "$out"
		echo "FAIL	$package $target"
		status=1
	done
done
[ "$targets" -gt 0 ] || {
	echo 'no fuzz target found' >&2
	status=1
}
exit $status
