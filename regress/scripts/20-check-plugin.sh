#!/bin/sh
# A plug-in for a monitoring system: 0 is OK, 1 a warning, 2 critical, 3 unknown.
set -- carp0 master

out=$(ifconfig "$1" 2>/dev/null) || { echo "CARP UNKNOWN - no $1"; exit 3; }
state=$(echo "$out" | sed -n 's/^[[:space:]]*status: //p')
demoted=$(ifconfig -g carp 2>/dev/null | sed 's/.* count //')
case $state in
"$2") echo "CARP OK - $1 is $state | demotion=$demoted"; exit 0 ;;
master|backup) echo "CARP WARNING - $1 is $state | demotion=$demoted"; exit 1 ;;
*) echo "CARP CRITICAL - $1 is ${state:-missing} | demotion=$demoted"; exit 2 ;;
esac
