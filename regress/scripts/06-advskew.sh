#!/bin/sh
ifconfig carp0 | awk '/vhid/{for(i=1;i<NF;i++)if($i=="advskew")print $(i+1)}'
