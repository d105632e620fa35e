#!/bin/sh
ifconfig carp0 | awk '/carp:/{print $2}'
