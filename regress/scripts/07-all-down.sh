#!/bin/sh
# changes the host
for i in $(ifconfig carp | awk -F: '/^carp/{print $1}'); do ifconfig $i down; done
