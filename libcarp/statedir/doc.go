// Package statedir is the directory that kernelsim and the commands share: its layout, its locks, the protocol of its socket,
// the files that show what holds, and the events. It has both ends of each; [Dir] is the client's, [Acquire], [Server] and
// [Store] are kernelsim's.
//
// # Files
//
//	version       0444  "carp-state 1", then "boot ID": what another boot left is discarded at the next start or change
//	lock          0600  locked with flock(2) as long as kernelsim or its engine lives
//	edit          0600  locked while kernelsim starts and while a command changes want/ itself
//	ctl           0666  the socket
//	want/         0700  the accepted configuration: carp0, ..., groups, sysctl; 0600, with the pass phrases
//	status/       0755  what holds now: carp0, ..., groups, sysctl, stats; 0644
//	status/alive  0644  overwritten each second
//	memory        0600  what must outlive the processes: bytes, mapped by the engine (see [Memory])
//	carpdevs      0600  the sysctls of carpdevs as they were before kernelsim, while they are changed
//	events        0644  one line for each change of state; events.0 is the file before
//
// All files but memory are lines of text. The first line of those in want/ and status/ is a tag with a version, each other one a key and
// its values, separated by blanks; a value with blanks or quotes in it is written as a string of Go. Keys that a reader does
// not know are to be ignored. Every file but alive, events and memory is replaced by renaming, so that a reader sees it whole.
//
// Whoever reads status/ without asking kernelsim must look at the age of status/alive first (stat(2), st_mtime): if it is
// older than 3 seconds or missing, every virtual host is to be taken for INIT, whatever the files say.
//
// A line of events is
//
//	17 2026-01-31T12:00:00.123Z carp0 BACKUP MASTER master timed out
//
// the number, the time in UTC, the interface, the state before, the state after, and the reason in words. Numbers grow by one.
// At 1 MiB the file becomes events.0, and the numbers go on.
//
// # Protocol
//
// A client connects to ctl, sends one request, and reads the answer up to the end of the connection. Both are lines of text.
// The first line of a request is one of
//
//	carp 1 change interface NAME
//	carp 1 change group NAME
//	carp 1 change sysctl
//	carp 1 check ...                 the same; says what change would say
//	carp 1 show interface NAME
//	carp 1 show interfaces
//	carp 1 show groups
//	carp 1 show sysctl
//	carp 1 show stats
//	carp 1 wait interface NAME
//	carp 1 wait event NUMBER
//	carp 1 hold group NAME           a holder of its demotion, as long as the client stays
//
// where 1 is the version of the protocol. Then come, in any order,
//
//	id ID       of a change: 1 to 15 of A-Z a-z 0-9 _ -; the second of two with the same id does nothing
//	net ID      the client's network namespace, as device:inode of /proc/self/ns/net; another than kernelsim's is refused
//	in STATE    of wait interface: MASTER, BACKUP or INIT; at least one, and any of them will do
//	again       of hold: this client had it from an engine before, which kept the name for him; others wait meanwhile
//
// then, for a change, its clauses in the words of package config, one a line, and an empty line at the end:
//
//	carp 1 change interface carp0
//	id 8Hq2xW-0aZk1
//	need
//	vhid 1
//	pass "mekmitasdigoat"
//	alias 10.0.0.1/24
//
// The answer to a display is the file of that name in status/, that to "show interfaces" all of them in the order of their
// creation. The answer to a wait comes when what is waited for is the case, and is a line "state STATE" or "event NUMBER". A
// client that sends anything after its request, or closes its end, does not wait any more. The answer to a change comes when it
// is in force and written down. The last line of each answer is
//
//	errno=0 gen=17 old=0
//	errno=22 clause=2 msg="..."
//
// with a number of OpenBSD's errno(2): 0, or why the request was refused, whole; which of its clauses, counted from 0, is to
// blame; and a sentence where the number does not say enough. gen counts the changes; old is the value that a sysctl had. An
// answer without this line is not whole: the engine has changed, and the client asks again, with the same id.
//
// Who connects is known by the socket. Anybody may ask and wait; who is not root gets 1 (EPERM) for a change. A request has at
// most 64 KiB and has to be there within 5 seconds. There are at most 64 connections, 8 of them for root alone, and no other
// user has more than 8; 35 (EAGAIN) tells a client to come back later.
//
// kernelsim does not run if connecting fails with ENOENT or ECONNREFUSED; on Linux EAGAIN means that it has much to do. Then
// root may change want/ itself, holding edit and lock, which is what [Dir.Change] does.
package statedir
