#!/bin/sh
ifconfig -a | sed -n 's/^\(carp[0-9]*\):.*/\1/p'
