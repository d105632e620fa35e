package sim

// tally counts how long a virtual host had no master, or several.
type tally struct{}

func (t *tally) note(masters int, lasted int64) {}
