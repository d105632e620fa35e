package engine

import "container/heap"

// timers holds the nodes by their deadlines, lazily: an advert that moves a deadline back stores it in the node and leaves the heap alone,
// so a node may stand here too early, never too late.
type timers []*node

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].due < t[j].due || t[i].due == t[j].due && t[i].seq < t[j].seq // seq: the same order on every run
}
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i, j
}
func (t *timers) Push(x any) {
	n := x.(*node)
	n.slot = len(*t)
	*t = append(*t, n)
}
func (t *timers) Pop() any {
	old := *t
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	n.slot = -1
	return n
}

// arm sets a node's deadline.
func (t *timers) arm(n *node, at Instant) {
	n.deadline = at
	switch {
	case n.slot < 0:
		n.due = at
		heap.Push(t, n)
	case at < n.due:
		n.due = at
		heap.Fix(t, n.slot)
	}
}

// drop takes a node out for good.
func (t *timers) drop(n *node) {
	n.deadline = 0
	if n.slot >= 0 {
		heap.Remove(t, n.slot)
	}
}

// next returns a node whose deadline has come, with that deadline, or nil. The node's deadline is cleared.
func (t *timers) next(now Instant) (n *node, deadline Instant) {
	for len(*t) > 0 && (*t)[0].due <= now {
		n := (*t)[0]
		switch deadline := n.deadline; {
		case deadline == 0:
			heap.Pop(t)
		case deadline > now:
			n.due = deadline
			heap.Fix(t, 0)
		default:
			n.deadline = 0
			heap.Pop(t)
			return n, deadline
		}
	}
	return nil, 0
}
