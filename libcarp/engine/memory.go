package engine

import (
	"net/netip"
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// A Memory is what a virtual host has to know of the adverts that it sent and accepted, so that none is accepted twice (wire.md,
// "Receiving"). It holds no pointer and its size is fixed, so that it can stand in memory that outlives a process; each store
// alone leaves it valid. The zero value has seen nothing.
type Memory struct {
	// Newest is the greatest time that was sent or accepted, from any source and in either family.
	Newest int64
	// Floor is the greatest time that Sent or Accepted had to forget. What is not above it cannot be told from a copy.
	Floor int64
	// Sent and Accepted are the last sealed counters; the totals say how many there were.
	Sent, Accepted           [ring]uint64
	SentTotal, AcceptedTotal uint64
}

// ring is how many counters are remembered.
const ring = 32

// behindMax is how far, in milliseconds, a counter's time may be behind the newest: adverts of two masters cross on the way.
const behindMax = 1000

// strictBehindMax is how far, in milliseconds, a counter's time may be behind our wall clock with net.inet.carp.replay 2.
const strictBehindMax = 30 * 1000

func timeOf(counter uint64) int64 { return int64(counter >> 24) }

func (m *Memory) hasSent(counter uint64) bool {
	return timeOf(counter) <= m.Newest && holds(&m.Sent, m.SentTotal, counter)
}

func (m *Memory) hasAccepted(counter uint64) bool {
	return holds(&m.Accepted, m.AcceptedTotal, counter)
}

func holds(r *[ring]uint64, total uint64, counter uint64) bool {
	return slices.Contains(r[:min(total, ring)], counter)
}

func (m *Memory) sent(counter uint64) {
	m.put(&m.Sent, &m.SentTotal, counter)
	m.Newest = max(m.Newest, timeOf(counter))
}

// put replaces the oldest. The total goes last: a process that is killed before has forgotten one counter and invented none.
func (m *Memory) put(r *[ring]uint64, total *uint64, counter uint64) {
	if *total >= ring {
		m.Floor = max(m.Floor, min(timeOf(r[*total%ring]), m.Newest))
	}
	r[*total%ring] = counter
	*total++
}

// A verdict is why an advert with a right HMAC is refused all the same.
type verdict uint8

const (
	genuine  verdict = iota
	replayed         // a copy, or so old that it may be one
	altered          // a copy with another header, or, when strict, one that nobody can tell from such a copy
)

// judge says what the counter of an advert means, with net.inet.carp.replay (wire.md, receiving rule 3). It changes nothing.
func (m *Memory) judge(ad *wire.Advert, replay int, behind int64) verdict {
	t, sealed := ad.Sealed()
	switch {
	case replay == config.ReplayOff:
		return genuine
	case !sealed && (replay == config.ReplayStrict || m.hasAccepted(ad.Counter)):
		return altered
	case !sealed: // it may be a BSD's
		return genuine
	case t <= m.Floor, t < m.Newest-behindMax, m.hasAccepted(ad.Counter):
		return replayed
	case replay == config.ReplayStrict && behind > strictBehindMax:
		return replayed
	}
	return genuine
}

// A leap is a sealed advert whose time was more than a day ahead. It is believed when the next one of that source continues it: the random counter
// of a BSD looks sealed once in 2^24.
type leap struct {
	src netip.Addr
	t   int64
}

// believe takes note of an accepted sealed advert and says whether its time can be believed.
func (n *node) believe(ad *wire.Advert, src netip.Addr, running int64) bool {
	m, t := n.memory, timeOf(ad.Counter)
	if t > m.Newest || !m.hasAccepted(ad.Counter) { // with replay 0 a copy is accepted too
		m.put(&m.Accepted, &m.AcceptedTotal, ad.Counter)
	}
	if t-max(running, m.Newest) > dayMs {
		continues := n.leap.src == src && t > n.leap.t && t-n.leap.t <= dayMs
		n.leap = leap{src, t}
		if !continues {
			return false
		}
	}
	n.leap = leap{}
	m.Newest = max(m.Newest, t)
	return true
}
