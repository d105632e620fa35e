#!/bin/sh
# For whoever wants JSON.
sep='['
for i in $(ifconfig carp 2>/dev/null | awk -F: '/^carp/{print $1}'); do
	printf '%s{"name":"%s","status":"%s"}' "$sep" "$i" "$(ifconfig "$i" 2>/dev/null | awk '/status:/{print $2}')"
	sep=,
done
echo ']'
