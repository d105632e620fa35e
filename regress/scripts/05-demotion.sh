#!/bin/sh
ifconfig -g carp | awk '{print $NF}'
