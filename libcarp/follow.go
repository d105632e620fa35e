package libcarp

import (
	"errors"
	"fmt"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A Follower is told what happens. What it returns, if not nil, ends [Conn.Follow].
type Follower interface {
	// Event is a change of state.
	Event(statedir.Event) error
	// Lost tells that the events of these numbers are no more to be had.
	Lost(first, last int) error
	// Anew tells that the numbers have begun anew: there was a boot.
	Anew() error
	// Away tells that kernelsim does not run. What comes next comes after its start.
	Away(statedir.Remark) error
}

// waitFor is how long one question waits; then it is asked again.
const waitFor = 24 * time.Hour

// LastEvent returns the number of the last event, 0 if there is none.
func (c *Conn) LastEvent() (int, error) {
	all, err := c.dir.Events(0)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1].Number, nil
}

// Follow tells f of each event whose number is greater than after, those that have been first, then each as it happens, in order. It goes on when
// the files of events are rotated, when engines change, and when kernelsim ends and comes back. It does not poll (on the BSDs it looks each second for a
// kernelsim that does not run). It returns the error of f, or why it cannot go on.
func (c *Conn) Follow(after int, f Follower) error {
	away := false
	for {
		var err error
		if after, err = c.tell(after, f); err != nil {
			return err
		}
		_, err = c.dir.WaitEvent(after, waitFor)
		var e *config.Error
		switch {
		case err == nil:
		case errors.Is(err, config.ETIMEDOUT):
		case errors.As(err, &e) && e.Errno == config.EAGAIN:
			if e.Msg == string(statedir.NotRunning) && !away {
				away = true
				if err := f.Away(statedir.NotRunning); err != nil {
					return err
				}
			}
			err := c.dir.AwaitServer(time.Now().Add(waitFor))
			if away = err != nil; away && !errors.Is(err, config.ETIMEDOUT) {
				return err
			}
		default:
			return err
		}
	}
}

// tell hands on what the files have, and returns the number of the last.
func (c *Conn) tell(after int, f Follower) (int, error) {
	all, err := c.dir.Events(0)
	if err != nil {
		return after, fmt.Errorf("failed to read the events: %w", err)
	}
	last := 0
	if len(all) > 0 {
		last = all[len(all)-1].Number
	}
	if last < after {
		if err := f.Anew(); err != nil {
			return after, err
		}
		after = 0
	}
	for _, e := range all {
		if e.Number <= after {
			continue
		}
		if e.Number > after+1 {
			if err := f.Lost(after+1, e.Number-1); err != nil {
				return after, err
			}
		}
		if err := f.Event(e); err != nil {
			return after, err
		}
		after = e.Number
	}
	return after, nil
}
