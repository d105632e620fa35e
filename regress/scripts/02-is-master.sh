#!/bin/sh
ifconfig carp0 | grep -q 'status: master'
