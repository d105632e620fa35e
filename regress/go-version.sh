#!/bin/sh
# Says in one line what is wrong with the Go that is here, if anything is. usage: go-version.sh [go]
go=${1:-go}
want=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
have=$(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null | sed -n 's/^go\([0-9]*\.[0-9]*\).*/\1/p')
if [ -z "$have" ]; then
	echo "carp: needs Go $want or newer, and there is no Go here (README.md says how to get it)" >&2
	exit 1
fi
if [ "${have%%.*}" -lt "${want%%.*}" ] || { [ "${have%%.*}" -eq "${want%%.*}" ] && [ "${have#*.}" -lt "${want#*.}" ]; }; then
	echo "carp: needs Go $want or newer, this is Go $have (README.md says how to get it)" >&2
	exit 1
fi
