package ifconfig

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"carp/libcarp"
	"carp/libcarp/config"
)

// longest is how long a wait without -t takes at most: nobody lives to see its end, and adding it to a time does not overflow.
const longest = 100 * 365 * 24 * time.Hour

// parseWait reads -w master[,backup] [-t seconds] carp0.
func parseWait(args []string) (own, error) {
	values, rest, err := ownOptions(args, "wt")
	if err != nil {
		return nil, err
	}
	var states []string
	for _, word := range strings.Split(values['w'], ",") {
		state := strings.ToUpper(word)
		if state == "INVALID" {
			state = "INIT"
		}
		if state != "MASTER" && state != "BACKUP" && state != "INIT" {
			return nil, fmt.Errorf("%s: no state", word)
		}
		states = append(states, state)
	}
	timeout := longest
	if word, ok := values['t']; ok {
		seconds, err := strconv.ParseFloat(word, 64)
		if err != nil || !(0 <= seconds && seconds <= 1e9) { // NaN is neither
			return nil, fmt.Errorf("%s: no number of seconds", word)
		}
		timeout = time.Duration(seconds * float64(time.Second))
	}
	if len(rest) != 1 {
		return nil, errors.New("-w: wait for which interface?")
	}
	return func(p *program, c *libcarp.Conn) error { return p.wait(c, rest[0], states, timeout) }, carpName(rest[0])
}

// wait returns once the interface is in one of the states.
func (p *program) wait(c *libcarp.Conn, name string, states []string, timeout time.Duration) error {
	if timeout < time.Second { // for asking, which takes its time, too
		s, remark, err := c.Interface(name)
		if err == nil && remark == "" && slices.Contains(states, s.State()) {
			return nil
		}
	}
	_, err := c.Wait(name, states, timeout)
	switch {
	case errors.Is(err, config.ENXIO):
		return noInterface(name)
	case errors.Is(err, config.ETIMEDOUT):
		return exitCode{exitTimeout, fmt.Sprintf("%s: %s", name, config.ETIMEDOUT)}
	}
	return without(err)
}

// without leaves out the number where a sentence says all.
func without(err error) error {
	var e *config.Error
	if errors.As(err, &e) && e.Errno == config.EAGAIN && e.Msg != "" {
		return errors.New(e.Msg)
	}
	return err
}
