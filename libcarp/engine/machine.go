package engine

// A State is that of one virtual host.
type State uint8

// The states.
const (
	Init State = iota
	Backup
	Master
	states
)

func (s State) String() string { return [states]string{"INIT", "BACKUP", "MASTER"}[s] }

// An input is what the machine reacts to. A received advert has become one of heard, takeOver and yield by then; see decide.go.
type input uint8

const (
	run      input = iota // the interface can work: up, vhid, address, carpdev with a link
	halt                  // it cannot any more
	timer                 // the advertisement or the master-down timer ran out
	late                  // the same, but so late that much may have happened meanwhile
	heard                 // an advert that leaves things as they are
	takeOver              // an advert of somebody who should not be master, or a bow-out; `state master`
	yield                 // an advert of somebody better; `state backup`
	inputs
)

// A rule says what an input does in a state: the state that follows, and what has to be done.
type rule struct {
	next State
	do   func(*Engine, *node, Instant)
}

// machine is the whole of CARP's state machine (ip_carp.c: carp_setrun, carp_master_down, carp_proto_input_c).
//
//	           run                       timer, takeOver
//	 INIT ─────────────▶ BACKUP ────────────────────────────▶ MASTER
//	▲    ▲               │    ▲                               │    │
//	│    └───── halt ────┘    └──────── yield, late ──────────┘    │
//	└─────────────────────────── halt ─────────────────────────────┘
//
// In BACKUP heard restarts the master-down timer, and so does yield; late gives the master a little more time. In MASTER timer sends an
// advert. What is not in the table is ignored.
var machine = [states][inputs]rule{
	Init: {
		run:   {Backup, (*Engine).armMasterDown},
		timer: {Init, (*Engine).oddTimer},
	},
	Backup: {
		halt:     {Init, (*Engine).disarm},
		timer:    {Master, (*Engine).masterDown},
		late:     {Backup, (*Engine).deferTakeover},
		heard:    {Backup, (*Engine).armMasterDown},
		takeOver: {Master, (*Engine).masterDown},
		yield:    {Backup, (*Engine).armMasterDown},
	},
	Master: {
		halt:  {Init, (*Engine).disarm},
		timer: {Master, (*Engine).advertise},
		late:  {Backup, (*Engine).armMasterDown},
		heard: {Master, (*Engine).heardRival},
		yield: {Backup, (*Engine).armMasterDown},
	},
}

// feed runs the machine of one virtual host. The reason is told with the transition.
func (e *Engine) feed(n *node, in input, now Instant, reason string) {
	r := machine[n.state][in]
	if r.do == nil {
		return
	}
	e.touch(n)
	from := n.state
	if n.state = r.next; r.next != from {
		e.enter(n, from)
	}
	r.do(e, n, now)
	if r.next != from {
		e.tell(n, from, reason)
	}
}

// enter makes the new state true before anybody is told: the link first answers, or no longer answers, for the addresses.
func (e *Engine) enter(n *node, from State) {
	n.tie, n.rival, n.garp, n.prepared = tie{}, false, 0, [families]uint64{}
	if n.state == Master || from == Master {
		n.carp.defence.end()
		e.ensure(n.carp)
	}
}

// tell logs and tells a transition. A change between BACKUP and MASTER concerns everybody, one from or to INIT those who ask.
func (e *Engine) tell(n *node, from State, reason string) {
	level := Crit
	if from == Init || n.state == Init {
		level = Warning
	}
	which := ""
	if len(n.carp.nodes) > 1 {
		which = " (vhid " + utoa(n.vhid) + ")"
	}
	e.logf(level, "%s: state transition%s: %s -> %s", n.carp.cfg.Name, which, from, n.state)
	e.emit(&Transition{Carp: n.carp.cfg.Name, VHID: n.vhid, From: from, To: n.state, Reason: reason})
	e.publish(n.carp)
}
