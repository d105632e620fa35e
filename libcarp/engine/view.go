package engine

import (
	"net/netip"

	"carp/libcarp/config"
)

// A View is what can be seen of a carp. The interface is the engine's own and must not be changed.
type View struct {
	Interface *config.Interface
	Attached  bool // the carpdev exists
	Running   bool
	MTU       int
	LinkLocal netip.Addr // that goes with the link-level address; not valid before there is one
	States    []State    // of the nodes
	Stats     config.Stats
	Peers     []Peer // over IPv4 and over IPv6, those that were heard
}

// View returns a carp; ok is false when there is none of that name.
func (e *Engine) View(name string) (v View, ok bool) {
	c := e.carps[name]
	if c == nil {
		return View{}, false
	}
	v = View{Interface: c.cfg, Attached: c.attached, Running: c.running, MTU: mtuDefault, Stats: c.stats}
	if c.attached {
		v.MTU = c.link.MTU
	}
	if c.cfg.Lladdr() != (config.MAC{}) {
		v.LinkLocal = c.linkLocal()
	}
	for _, n := range c.nodes {
		v.States = append(v.States, n.state)
	}
	for _, p := range c.seen {
		if p.Addr.IsValid() {
			v.Peers = append(v.Peers, p)
		}
	}
	return v, true
}

// mtuDefault is shown for a carp without a carpdev (OpenBSD: ETHERMTU).
const mtuDefault = 1500

// Names returns the carps in the order of their creation.
func (e *Engine) Names() []string {
	names := make([]string, 0, len(e.ordered))
	for _, c := range e.ordered {
		names = append(names, c.cfg.Name)
	}
	return names
}

// Stats returns the machine's counters.
func (e *Engine) Stats() config.Stats { return e.stats }

// Machine returns the configuration. It must not be changed.
func (e *Engine) Machine() *config.Machine { return e.machine }
