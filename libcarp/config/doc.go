// Package config holds what can be configured of carp(4), what of it is valid, and the words for it.
//
// An [Interface] is one carp interface as its administrator wants it. A [Change] is a list of deltas ([Clause]) for one
// interface, group or sysctl; [Machine.Plan] merges it, all or nothing, and answers with the errno that the ioctl of a BSD
// would have given. The same words, one parser ([ParseClause]) and one printer ([Clause.String]), serve command lines, the
// ctl protocol and the files under want/.
package config
