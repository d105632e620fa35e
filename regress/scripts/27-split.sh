#!/bin/sh
# From cron: complains when the host is master of some and backup of others, or takes no part.
states=$(ifconfig carp | awk '/status:/{print $2}' | sort -u)
[ "$(echo "$states" | wc -l)" -eq 1 ] || { echo "$states" | paste -sd " " -; echo mixed; exit 1; }
[ "$states" != invalid ] || { echo 'no part taken'; exit 1; }
