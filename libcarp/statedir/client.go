package statedir

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// How long a client tries to get an answer: an engine that died is back within that.
var (
	changePatience  = 10 * time.Second
	displayPatience = time.Second
)

// An Answer is what a change that is in force answers.
type Answer struct {
	Gen    int    // counts kernelsim's changes; 0 when it does not run
	Old    int    // the value before, for a sysctl
	Remark Remark // NotRunning when it was stored for kernelsim's start
}

// Change asks kernelsim for a change or, when it does not run, stores it. It returns when that is done, within 10 s; a change
// without an id gets one, so that asking again after an engine died does nothing twice. The error is a *config.Error when the
// change was refused, config.ETIMEDOUT among them.
func (d Dir) Change(ch config.Change) (Answer, error) {
	if ch.ID == "" {
		var err error
		if ch.ID, err = newID(); err != nil {
			return Answer{}, err
		}
	}
	return d.change(verbChange, ch)
}

// Check tells what Change would answer, and changes nothing.
func (d Dir) Check(ch config.Change) (Answer, error) { return d.change(verbCheck, ch) }

func (d Dir) change(v verb, ch config.Change) (Answer, error) {
	r := changeRequest(v, ch)
	deadline := time.Now().Add(changePatience)
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		_, reply, err := d.ask(r, deadline)
		if err == nil {
			return Answer{Gen: reply.Gen, Old: reply.Old}, reply.Err
		}
		if !errors.Is(err, errNotRunning) {
			return Answer{}, asTimeout(err)
		}
		a, err := d.changeOffline(v, ch)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return a, err
		}
		// The lock is held though nobody listened: kernelsim has started since, or an engine is about to end.
		if err := d.lostSocket(); err != nil {
			return Answer{}, err
		}
		if time.Until(deadline) <= pause {
			return Answer{}, asTimeout(errNoAnswer)
		}
		time.Sleep(pause)
	}
}

// lostSocket is an error when somebody has put something else in the place of ctl while kernelsim runs: it does not come back by itself.
func (d Dir) lostSocket() error {
	info, err := os.Lstat(d.ctl())
	if err != nil || info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	return &config.Error{Errno: config.EINVAL, Msg: d.ctl() + " is no socket, though kernelsim runs: end it and start it again"}
}

func newID() (string, error) {
	var b [9]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("failed to read random bytes: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// asTimeout makes a config.ETIMEDOUT of errNoAnswer.
func asTimeout(err error) error {
	if errors.Is(err, errNoAnswer) {
		return &config.Error{Errno: config.ETIMEDOUT, Msg: string(NoAnswer)}
	}
	return err
}

// WaitState returns once the interface is in one of the states ("MASTER", "BACKUP", "INIT"), with the state that it is in, or
// config.ETIMEDOUT after timeout. It is config.ENXIO when there is no such interface, or none any more, and config.EAGAIN
// when kernelsim does not run.
func (d Dir) WaitState(name string, states []string, timeout time.Duration) (string, error) {
	return d.wait(&request{verb: verbWait, object: objInterface, name: name, states: states, net: networkID()}, "state ", timeout)
}

// WaitEvent returns once the number of the last event is greater than after, with that number, or config.ETIMEDOUT after timeout.
// It is config.EAGAIN when kernelsim does not run.
func (d Dir) WaitEvent(after int, timeout time.Duration) (int, error) {
	r := &request{verb: verbWait, object: objEvent, after: after, net: networkID()}
	number, err := d.wait(r, "event ", timeout)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(number)
}

func (d Dir) wait(r *request, key string, timeout time.Duration) (string, error) {
	payload, reply, err := d.ask(r, time.Now().Add(timeout))
	switch {
	case errors.Is(err, errNoAnswer):
		return "", &config.Error{Errno: config.ETIMEDOUT}
	case errors.Is(err, errNotRunning):
		return "", &config.Error{Errno: config.EAGAIN, Msg: string(NotRunning)}
	case err != nil:
		return "", err
	case reply.Err != nil:
		return "", reply.Err
	}
	value, ok := strings.CutPrefix(strings.TrimSuffix(string(payload), "\n"), key)
	if !ok {
		return "", fmt.Errorf("kernelsim answers %q", payload)
	}
	return value, nil
}

// How ask can end without an answer.
var (
	errNotRunning = errors.New(string(NotRunning))
	errNoAnswer   = errors.New(string(NoAnswer))
)

// Between two tries the pause grows from the first to the second while whom we wait for has too much to do.
const (
	retryMin = 2 * time.Millisecond
	retryMax = 50 * time.Millisecond
)

// ask sends a request until it gets a whole answer. The error is errNotRunning when nobody listens, errNoAnswer at the deadline.
func (d Dir) ask(r *request, deadline time.Time) (payload []byte, reply Reply, err error) {
	text := r.format()
	if len(text) > requestMax {
		return nil, Reply{}, bad("a request has at most %d bytes", requestMax)
	}
	lost := false // an answer
	for pause := retryMin; ; {
		answer, err := d.exchange(text, deadline)
		payload, reply, whole := parseAnswer(answer)
		busy := errors.Is(err, unix.EAGAIN) || whole && errors.Is(reply.Err, config.EAGAIN)
		switch {
		case whole && lost && r.destroys() && errors.Is(reply.Err, config.ENXIO):
			return payload, Reply{Gen: reply.Gen}, nil // its id went with it
		case whole && !busy:
			return payload, reply, nil
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
			return nil, Reply{}, errNotRunning
		case err != nil && !busy && !again(err):
			return nil, Reply{}, err
		case time.Until(deadline) <= pause && whole:
			return payload, reply, nil
		case time.Until(deadline) <= pause:
			return nil, Reply{}, errNoAnswer
		}
		time.Sleep(pause)
		pause = min(2*pause, retryMax)
		if !busy { // the engine changed: ask while it remembers the id
			pause, lost = retryMin, true
		}
	}
}

// again reports whether kernelsim runs all the same: its engine changed, or it is slow.
func again(err error) bool {
	var timeout net.Error
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.As(err, &timeout) && timeout.Timeout()
}

// exchange sends the text of a request once and returns what comes back, which need not be whole when the error is not nil.
func (d Dir) exchange(text []byte, deadline time.Time) ([]byte, error) {
	dialer := net.Dialer{Deadline: deadline}
	c, err := dialer.Dial("unix", d.ctl())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(deadline)
	_, writeErr := c.Write(text)
	answer, err := io.ReadAll(c) // also when the write failed: who refuses a client answers without reading
	return answer, errors.Join(writeErr, err)
}
