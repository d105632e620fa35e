package config

import "fmt"

// PassMax is how many bytes of a pass phrase count: carpr_key has 20 and the last is NUL (OpenBSD, ifconfig.c: setcarp_passwd).
const PassMax = 19

// A Pass is a pass phrase. However it is formatted it shows no byte of itself; only [Pass.Reveal] and [Pass.Key] do.
type Pass struct{ text string }

// NewPass keeps the first 19 bytes of s, as OpenBSD does without a word; whoever reads a command line warns when some were cut.
func NewPass(s string) Pass {
	if len(s) > PassMax {
		s = s[:PassMax]
	}
	return Pass{s}
}

// Key returns the 20 bytes that go into the HMAC: the phrase, padded with zeros and never hashed.
func (p Pass) Key() (key [20]byte) {
	copy(key[:], p.text)
	return key
}

// Reveal returns the phrase itself, for want/ files and requests alone.
func (p Pass) Reveal() string { return p.text }

// Empty reports whether there is no phrase.
func (p Pass) Empty() bool { return p.text == "" }

// Format keeps every verb, %#v and %x included, from showing the phrase.
func (p Pass) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(hidden)") }
