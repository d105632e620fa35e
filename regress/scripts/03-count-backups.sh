#!/bin/sh
ifconfig carp | grep -c 'status: backup'
