package engine

import (
	"slices"

	"carp/libcarp/config"
	"carp/libcarp/wire"
)

// A Memory is what a virtual host has to know of the adverts that it sent and accepted, so that none is accepted twice. It holds no pointer and its size is fixed, so that it can stand in memory that outlives a process; each store
// alone leaves it valid. The zero value has seen nothing.
type Memory struct {
	// Newest is the greatest time that was sent or accepted, from any source and in either family.
	Newest int64
	// Floor is the greatest time that Sent or Accepted had to forget. What is not above it cannot be told from a copy.
	Floor int64
	// Sent and Accepted are the last sealed counters; the totals say how many there were.
	Sent                     [sentMax]uint64
	Accepted                 [acceptedMax]uint64
	SentTotal, AcceptedTotal uint64
}

// How many counters are remembered. When sixteen hosts with preempt and addresses of both families hear a slower master, each hears a hundred adverts and
// more within the delay of the LAN, not in the order of their times, and sends a few itself: with 32 accepted ones remembered the Floor overtook others that
// were still on their way. These two fill the slot of a [Memory] to its end.
const (
	sentMax     = 32
	acceptedMax = 88
)

// behindMax is how far, in milliseconds, a counter's time may be behind the newest: adverts of two masters cross on the way.
const behindMax = 1000

// strictBehindMax is how far, in milliseconds, a counter's time may be behind our wall clock with net.inet.carp.replay 2.
const strictBehindMax = 30 * 1000

func timeOf(counter uint64) int64 { return int64(counter >> 24) }

func (m *Memory) hasSent(counter uint64) bool {
	return timeOf(counter) <= m.Newest && holds(m.Sent[:], m.SentTotal, counter)
}

func (m *Memory) hasAccepted(counter uint64) bool {
	return holds(m.Accepted[:], m.AcceptedTotal, counter)
}

func holds(r []uint64, total uint64, counter uint64) bool {
	return slices.Contains(r[:min(total, uint64(len(r)))], counter)
}

func (m *Memory) sent(counter uint64) {
	m.put(m.Sent[:], &m.SentTotal, counter)
	m.Newest = max(m.Newest, timeOf(counter))
}

// put replaces the oldest. The total goes last: a process that is killed before has forgotten one counter and invented none.
func (m *Memory) put(r []uint64, total *uint64, counter uint64) {
	at := *total % uint64(len(r))
	if *total >= uint64(len(r)) {
		m.Floor = max(m.Floor, min(timeOf(r[at]), m.Newest))
	}
	r[at] = counter
	*total++
}

// A verdict is why an advert with a right HMAC is refused all the same.
type verdict uint8

const (
	genuine  verdict = iota
	replayed         // a copy, or so old that it may be one
	altered          // a copy with another header, or, when strict, one that nobody can tell from such a copy
)

// judge says what the counter of an advert means, with net.inet.carp.replay; see carp(4), "Copies of adverts". It changes nothing.
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

// accepted takes note of an accepted sealed advert. A time that no clock of ours can have come to is not believed: the random counter of a BSD looks
// sealed once in 2^24.
func (m *Memory) accepted(counter uint64) {
	t := timeOf(counter)
	if t > m.Newest || !m.hasAccepted(counter) { // with replay 0 a copy is accepted too
		m.put(m.Accepted[:], &m.AcceptedTotal, counter)
	}
	if t <= heardMax {
		m.Newest = max(m.Newest, t)
	}
}
