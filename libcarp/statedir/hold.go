package statedir

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// A Hold is a demotion that lasts as long as this process, or until Release.
type Hold struct {
	dir     Dir
	request *request

	mu       sync.Mutex
	conn     net.Conn
	released bool
	ended    chan struct{}
}

// Hold demotes a group by n, 1 to 128, under the name of a holder, until Release is called or this process ends in whatever way. It follows kernelsim
// through its engines, and asks again when it comes back. The error is config.EBUSY when another process has a hold of that name, config.EAGAIN when
// kernelsim does not run.
func (d Dir) Hold(group, holder string, n int) (*Hold, error) {
	h := &Hold{dir: d, ended: make(chan struct{}), request: holdRequest(group, holder, n)}
	r, err := h.ask(time.Now().Add(tiedPatience + changePatience)) // the name may be kept for who had it
	if err != nil {
		return nil, err
	}
	h.request.again = true
	go h.keep(r)
	return h, nil
}

func holdRequest(group, holder string, n int) *request {
	return &request{
		verb: verbHold, object: objGroup, name: group, net: networkID(),
		change: config.Change{Kind: config.ForGroup, Name: group, Clauses: []config.Clause{{Word: config.Holder, Text: holder, N: n}}},
	}
}

// ask asks until it is held, and returns what ends with the connection.
func (h *Hold) ask(deadline time.Time) (io.Reader, error) {
	for {
		r, err := h.try(deadline)
		var refused *config.Error
		switch {
		case err == nil:
			return r, nil
		case errors.As(err, &refused):
			return nil, err
		case time.Until(deadline) <= retryMax:
			return nil, &config.Error{Errno: config.ETIMEDOUT, Msg: string(NoAnswer)}
		}
		time.Sleep(retryMax) // the engine changes
	}
}

func (h *Hold) try(deadline time.Time) (io.Reader, error) {
	dialer := net.Dialer{Deadline: deadline}
	c, err := dialer.Dial("unix", h.dir.ctl())
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			err = &config.Error{Errno: config.EAGAIN, Msg: string(NotRunning)}
		}
		return nil, err
	}
	h.mu.Lock()
	h.conn = c
	if h.released {
		c.Close()
	}
	h.mu.Unlock()
	c.SetDeadline(deadline)
	if _, err := c.Write(h.request.format()); err != nil {
		c.Close()
		return nil, err
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if line != held {
		c.Close()
		if _, reply, whole := parseAnswer([]byte(line)); whole {
			return nil, reply.Err
		}
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	c.SetDeadline(time.Time{})
	return r, nil
}

// keep asks again whenever the connection ends.
func (h *Hold) keep(r io.Reader) {
	defer close(h.ended)
	for {
		r.Read(make([]byte, 1))
		h.mu.Lock()
		h.conn.Close()
		released := h.released
		h.mu.Unlock()
		if released {
			return
		}
		var err error
		if r, err = h.askAgain(); err != nil {
			if h.gone() {
				return
			}
			h.dir.AwaitServer(time.Now().Add(time.Hour))
			if r, err = h.ask(time.Now().Add(changePatience)); err != nil {
				if h.gone() || refusedForGood(err) {
					return
				}
				r = eof{}
			}
		}
	}
}

// busyPatience is how long a server on a busy host may take to see that a connection has ended.
const busyPatience = 10 * time.Second

// askAgain asks after a connection has ended: the server may not have seen that yet, and call the name taken.
func (h *Hold) askAgain() (io.Reader, error) {
	busyUntil := time.Now().Add(busyPatience)
	for {
		r, err := h.ask(time.Now().Add(changePatience))
		if !errors.Is(err, config.EBUSY) || time.Now().After(busyUntil) || h.gone() {
			return r, err
		}
		time.Sleep(retryMax)
	}
}

// eof is a connection that has ended.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// refusedForGood: the group has gone, or somebody else has taken the name.
func refusedForGood(err error) bool {
	return errors.Is(err, config.ENOENT) || errors.Is(err, config.EBUSY) || errors.Is(err, config.EINVAL) || errors.Is(err, config.EPERM)
}

func (h *Hold) gone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.released
}

// Release takes the demotion back, and returns when that is in force, at the latest after a second.
func (h *Hold) Release() {
	h.mu.Lock()
	h.released = true
	if c, ok := h.conn.(*net.UnixConn); ok {
		c.CloseWrite() // and the server ends the connection when it has done it
	}
	h.mu.Unlock()
	select {
	case <-h.ended:
	case <-time.After(time.Second):
	}
}
