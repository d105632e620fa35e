package sim

// What can happen in a world.
type kind uint8

const (
	deliver      kind = iota // a frame reaches a station
	tick                     // a host's timer, late or not
	peerTimer                // a peer's
	handsWork                // the next thing that a host's hands have to do is done
	retryLinks               // a host tries again to make the links that could not be made
	watch                    // a host must have acted by now
	attackGoesOn             // the attacker sends
	audit                    // look at a virtual host as a whole
	faultBegins
	faultEnds
	boot   // a station starts for the first time
	reboot // and again, with the configuration that it has
	kinds
)

// An item is one event to come.
type item struct {
	at   int64 // nanoseconds since the world began
	seq  uint64
	who  int32 // station, or virtual host, or fault
	arg  int32 // frame
	gen  uint32
	kind kind
}

func (a *item) before(b *item) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// A queue is a binary heap by time; what was asked for first comes first, so the order is total.
type queue []item

func (q *queue) push(it item) {
	h := append(*q, it)
	*q = h
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !it.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = it
}

// pop takes the next item out of a queue that has one.
func (q *queue) pop() item {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&last) {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = last
	}
	return top
}
