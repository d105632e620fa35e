package engine

// Why a virtual host changed its state, as events tell it.
const (
	reasonRun         = "interface is ready"
	reasonTimeout     = "master timed out"
	reasonBowOut      = "master bowed out"
	reasonPreempt     = "preempting a slower master"
	reasonDemoted     = "master is more demoted"
	reasonSlow        = "master would time out"
	reasonLessDemoted = "master is less demoted"
	reasonFaster      = "faster master"
	reasonTie         = "equal master"
	reasonLate        = "own timer late"
	reasonByHand      = "state set by hand"
	reasonCarpdev     = "carpdev lost its link"
	reasonNoCarpdev   = "carpdev gone"
	reasonNoLink      = "link cannot be made"
	reasonConfig      = "configuration changed"
	reasonDown        = "interface is down"
	reasonDestroy     = "interface destroyed"
	reasonShutdown    = "kernelsim ends"
)
