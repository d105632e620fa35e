// Package record is the memory in which an engine keeps what the next one needs to go on where it ends, however it ends, and what the supervisor needs to
// bow out in its place. Both have it mapped; the engine alone writes while it lives.
package record
