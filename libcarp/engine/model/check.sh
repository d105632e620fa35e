#!/bin/sh
# Checks the model with spin: with our rule for ties every run must end with one master, and with the rule of the BSDs the
# counterexample that it is known to have must be found. Needs spin and a C compiler.
set -eu
model=$(cd "$(dirname "$0")" && pwd)/carp.pml
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir"

# build OPTION...: the verifier for these options of the model. To build the search with more optimisation takes longer than most searches.
build() {
	options=$*
	spin -a "$@" "$model" >spin.log 2>&1 || { cat spin.log; exit 1; }
	${CC:-cc} -O1 -o pan pan.c 2>cc.log || { cat cc.log; exit 1; }
}

# check holds|fails CLAIM: what the claim must do
check() {
	want=$1 claim=$2
	./pan -a -m2000000 -N "$claim" >pan.log 2>&1 || { cat pan.log; exit 1; }
	errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.log)
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)
	# a search that was cut short proves nothing, and of the errors only the endless run counts
	got=unsure
	if grep -q 'pan:1: acceptance cycle' pan.log; then
		got=fails
	elif [ "$errors" = 0 ] && ! grep -qE 'max search depth too small|truncated|out of memory' pan.log; then
		got=holds
	fi
	echo "model: $claim $options: $got, $states states"
	[ "$got" = "$want" ] || { cat pan.log; echo "model: $claim $options: $got, want $want" >&2; exit 1; }
}

for n in 2 3; do
	build -DN=$n
	check holds heals
	build -DN=$n -DPREEMPT
	check holds heals
	build -DN=$n -DBSD
	check fails heals
	check fails settles
	build -DN=$n -DSAME
	check fails settles
done
