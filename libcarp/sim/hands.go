package sim

import "carp/libcarp/engine"

// handsTime is how long a chore takes at most.
const handsTime = millisecond + 100*microsecond

// A chore is what the hands of a host have to do.
type chore struct {
	carp   int
	link   bool // make the link, else send a bow-out
	lan    int
	packet []byte
}

// chore gives the hands something to do. They take their time, and keep the order.
func (h *host) chore(c chore) {
	h.hands = append(h.hands, c)
	h.handsFree = max(h.handsFree, h.w.now) + handsTime - h.w.random.below(millisecond)
	h.w.push(h.handsFree, handsWork, h.id, 0, h.gen)
}

// work ends the hands' first chore. They are the engine process's own: they sleep and die with it.
func (h *host) work(gen uint32) {
	if gen != h.gen || len(h.hands) == 0 {
		return
	}
	c := h.hands[0]
	h.hands = h.hands[:copy(h.hands, h.hands[1:])]
	h.do(func() {
		if gen != h.gen {
			return
		}
		if !c.link {
			if h.sendFails[familyOf(c.packet)] == 0 && !(c.lan == h.plan.FlapLAN && h.linkDown+h.linkGone > 0) {
				h.w.transmit(h.id, &h.w.lans[c.lan], c.packet)
			}
			return
		}
		h.made(c.carp)
	})
}

// made tells the engine whether a link stands.
func (h *host) made(n int) {
	failed := h.noLinks > 0
	h.broken[n] = failed
	if failed && !h.retrying {
		h.retrying = true
		h.w.push(h.w.now+second, retryLinks, h.id, 0, h.gen)
	}
	h.feed(&engine.LinkMade{Clock: h.clock(), Carp: h.carps[n].name, Failed: failed})
}

// retry is what loop does each second.
func (h *host) retry(gen uint32) {
	if gen != h.gen {
		return
	}
	h.do(func() {
		if gen != h.gen {
			return
		}
		h.retrying = false
		for n, broken := range h.broken {
			if broken {
				h.made(n)
			}
		}
	})
}

// shutdown ends the engine as loop does: the hands finish their work.
func (h *host) shutdown() {
	h.feed(&engine.Shutdown{Clock: h.clock()})
	for _, c := range h.hands {
		if !c.link && h.sendFails[familyOf(c.packet)] == 0 && !(c.lan == h.plan.FlapLAN && h.linkDown+h.linkGone > 0) {
			h.w.transmit(h.id, &h.w.lans[c.lan], c.packet)
		}
	}
}
