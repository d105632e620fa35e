package engine

import (
	"net/netip"

	"carp/libcarp/wire"
)

// terms are what an advert claims, and what we would claim ourselves.
type terms struct{ advbase, advskew, demote uint8 }

// speed is the advertisement interval in 1/256 s. OpenBSD compares microseconds, truncated; the order is the same.
func (t terms) speed() int { return int(t.advbase)<<8 | int(t.advskew) }

// isBowOut: whatever our own advbase is. OpenBSD's rule, by the interval, misses it with advbase 0 and above 85.
func (t terms) isBowOut() bool { return t.advbase == wire.BowOut && t.advskew == wire.BowOut }

// patience is how long a BACKUP reckons a master may be silent, for the one rule that compares with it: 3·advbase + advskew/256 s,
// the older form of the master-down time, which OpenBSD still compares with (ip_carp.c: carp_proto_input_c).
func (t terms) patience() int { return 3*int(t.advbase)<<8 + int(t.advskew) }

// decideBackup says what an accepted advert means to a BACKUP, and why (ip_carp.c: carp_proto_input_c).
func decideBackup(own, peer terms, preempt bool) (input, string) {
	switch {
	case peer.isBowOut():
		return takeOver, reasonBowOut
	case preempt && own.speed() < peer.speed() && peer.demote >= own.demote:
		return takeOver, reasonPreempt
	case peer.demote > own.demote:
		return takeOver, reasonDemoted
	case own.advbase > 0 && own.patience() < peer.speed():
		return takeOver, reasonSlow
	}
	return heard, ""
}

// decideMaster says what an accepted advert means to a MASTER, and why (ip_carp.c: carp_proto_input_c). A tie is decided by tie.yields.
func decideMaster(own, peer terms) (in input, tied bool, reason string) {
	switch {
	case peer.isBowOut(): // nobody yields to one who gives up, whatever his demotion
		return heard, false, ""
	case peer.demote < own.demote:
		return yield, false, reasonLessDemoted
	case peer.demote == own.demote && own.speed() == peer.speed():
		return heard, true, reasonTie
	case peer.demote == own.demote && own.speed() > peer.speed():
		return yield, false, reasonFaster
	}
	return heard, false, ""
}

// How many tied adverts in a row from one source a MASTER bears. The systems have no rule in common: the BSDs
// yield to our first advert, UCARP keeps the lower address as its CPU reads it, so the third of its adverts says that it will stay.
const (
	tiesUnsealed = 3
	tiesSealed   = 8
)

// A tie counts the adverts of one rival that claims exactly what we do.
type tie struct {
	src    netip.Addr
	sealed bool
	count  int
}

// yields counts one more tied advert and says whether it is for us to go. Between two of ours the higher address stays; with the same
// address on both (unnumbered carpdevs) both go, and whose timer runs out first is master.
func (t *tie) yields(own, src netip.Addr, sealed bool) bool {
	if t.src != src || t.sealed != sealed {
		*t = tie{src: src, sealed: sealed}
	}
	t.count++
	if sealed {
		return src.Compare(own) >= 0 || t.count >= tiesSealed
	}
	return t.count >= tiesUnsealed
}
