#!/bin/sh
# Runs every fuzz target for a time, one after the other, and says which failed; go test has then written down what makes it fail, in
# testdata/fuzz beside the target. usage: fuzz.sh [time [package ...]]
set -u
time=${1:-5s}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- ./...
: "${GO:=go}"
dir=$(mktemp -d) || exit 1
out=$dir/out bin=$dir/fuzz.test cache=$("$GO" env GOCACHE)/fuzz
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# go at times takes the end of its own time for a failure (golang/go issue 75804); a real one writes down its input.
only_late() {
	grep -q '^ *context deadline exceeded$' "$out" && ! grep -Eq 'Failing input|panic|failure while testing|fuzzing process' "$out"
}

status=0 targets=0
# run runs one target of the package that is in $bin. Without a limit go spends a minute on making each new input smaller.
run() (
	cd "$2" && "$bin" -test.run '^$' -test.timeout 0 -test.fuzz "^$3\$" -test.fuzztime "$time" -test.fuzzminimizetime 200x \
		-test.fuzzcachedir "$cache/$1" >"$out" 2>&1
)

status=0 targets=0
"$GO" list -f '{{.ImportPath}} {{.Dir}}' "$@" >"$dir/packages" || status=1
while read -r package at; do
	grep -qs '^func Fuzz' "$at"/*_test.go || continue
	# Built once for all its targets; 'go test -fuzz' would link it again for each.
	"$GO" test -c -vet=off -fuzz . -o "$bin" "$package" || { status=1; continue; }
	for target in $(cd "$at" && "$bin" -test.list '^Fuzz'); do
		targets=$((targets + 1))
		if { run "$package" "$at" "$target" || only_late; } && ! grep -q 'not built with coverage' "$out"; then
			execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$out" | tail -n 1)
			echo "ok	$package $target: $execs inputs"
			continue
		fi
		cat "$out"
		echo "FAIL	$package $target"
		status=1
	done
done <"$dir/packages"
[ "$targets" -gt 0 ] || {
	echo 'no fuzz target found' >&2
	status=1
}
exit $status
