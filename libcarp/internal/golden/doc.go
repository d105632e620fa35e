// Package golden runs the commands as a script would and compares, byte for byte, what they print. A case is a file, named after
// the section of the specification that it comes from:
//
//	# A.3: what it is about
//	setup ifconfig carp0 create
//	run ifconfig carp0 vhid 256
//	exit 1
//	stdout
//	stderr
//	ifconfig: vhid 256: too large
//
// The expected output is written by hand. Before exit there may be, one a line and in this order of effect,
//
//	deviates ID       where it is not what OpenBSD prints, on purpose: a line of man/deviations
//	kernelsim off     kernelsim does not run
//	kernelsim silent  it runs and does not answer
//	index N           of the first interface; 6 if it is not given
//	link NAME down    the interface of the host has no carrier
//	role NAME MASTER  what a carp is when it can be; BACKUP if it is not given
//	counts NAME N     a counter of the host; with an interface before NAME, one of that
//	system N          what the system's own commands exit with; 0 if it is not given
//	file NAME TEXT    a file in the working directory
//	setup WORDS       a command that succeeds
//	fails WORDS       a command that fails
//	as nobody         another user runs the command
//	full stdout       its standard output takes nothing, as on a full disk
//	run WORDS         the command; ifconfig, sysctl and netstat are ours
//	clean WORDS       a command that takes back what the case has done to the host's own interfaces; such cases run alone
//
// The system's own commands are stand-ins that print what they were asked. Words are separated by blanks; one in double quotes is a string of Go.
// Every case is run under two locales.
package golden
