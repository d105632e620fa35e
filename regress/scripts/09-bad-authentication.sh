#!/bin/sh
netstat -sp carp | awk '/bad authentication/{print $3}'
