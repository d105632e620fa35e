package sim

import "net/netip"

// A claim is what an advert says, and what a host decides by.
type claim struct{ base, skew, demote uint8 }

// units is the advertisement interval in 1/256 s.
func (c claim) units() int64 { return int64(c.base)*256 + int64(c.skew) }

func (c claim) bowsOut() bool { return c.base == 255 && c.skew == 255 }

// interval is the same in nanoseconds, 1/256 s at least.
func (c claim) interval() int64 { return max(c.units(), 1) * second / 256 }

// masterDown is three intervals.
func (c claim) masterDown() int64 { return max(c.units(), 1) * 3 * second / 256 }

// supersedes reports whether a backup with claim c must take over from a master with claim m.
func (c claim) supersedes(m claim, preempt bool) bool {
	return m.bowsOut() || m.demote > c.demote || preempt && c.units() < m.units() && m.demote >= c.demote ||
		c.base > 0 && c.patience() < m.units()
}

// patience is how long, in 1/256 s, a backup reckons a master may be silent, where it compares that with what an advert claims.
func (c claim) patience() int64 { return 3*256*int64(c.base) + int64(c.skew) }

// yields reports whether a master with claim c must yield to one with claim m that is not its equal.
func (c claim) yields(m claim) bool {
	return !m.bowsOut() && (m.demote < c.demote || m.demote == c.demote && m.units() < c.units())
}

func (c claim) ties(m claim) bool { return c.demote == m.demote && c.units() == m.units() }

// A tieCount counts the tied adverts in a row from one source: the third says that another system stays, the eighth that another of ours does.
type tieCount struct {
	src    netip.Addr
	sealed bool
	n      int
}

// yields counts one more.
func (t *tieCount) yields(own, src netip.Addr, sealed bool) bool {
	if t.src != src || t.sealed != sealed {
		*t = tieCount{src: src, sealed: sealed}
	}
	t.n++
	if !sealed {
		return t.n >= 3
	}
	return !src.Less(own) || t.n >= 8
}
