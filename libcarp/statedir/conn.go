package statedir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"carp/libcarp/config"
)

// How many connections there may be at a time: in all, how many of them root alone may have, and how many another user may.
const (
	connMax     = 64
	connForRoot = 8
	connPerUser = 8
)

func (s *Server) accept() {
	defer s.work.Done()
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			s.receive(c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files, perhaps: the client waits in the queue
			select {
			case <-s.ending:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// receive gives a client a goroutine, or tells him to come back.
func (s *Server) receive(c *net.UnixConn) {
	uid, err := s.peer(c)
	if err != nil {
		c.Close()
		return
	}
	if err := s.admit(c, uid); err != nil {
		if !errors.Is(err, ErrEnding) {
			c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // a new socket has room for the line
			c.Write(formatEnd(Reply{Err: err}))
		}
		c.Close()
		return
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		defer s.leave(c)
		s.converse(c, uid)
	}()
}

// admit enters a connection and gives its client time for the request, or refuses it with EAGAIN or ErrEnding.
func (s *Server) admit(c *net.UnixConn, uid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, others := 0, 0 // of this user; of all but root
	for _, u := range s.conns {
		if u == uid {
			own++
		}
		if u != 0 {
			others++
		}
	}
	switch {
	case len(s.conns) >= connMax, uid != 0 && others >= connMax-connForRoot:
		return &config.Error{Errno: config.EAGAIN, Msg: "too many connections"}
	case uid != 0 && own >= connPerUser:
		return &config.Error{Errno: config.EAGAIN, Msg: fmt.Sprintf("user %d has too many connections", uid)}
	}
	select {
	case <-s.ending: // Close has cut the others' time already
		return ErrEnding
	default:
	}
	s.conns[c] = uid
	c.SetReadDeadline(time.Now().Add(clientPatience))
	return nil
}

func (s *Server) leave(c *net.UnixConn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.Close()
}

// converse reads one request and answers it.
func (s *Server) converse(c *net.UnixConn, uid int) {
	var payload []byte
	var reply Reply
	text, err := readRequest(c)
	switch {
	case errors.As(err, new(*config.Error)):
		reply.Err = err
	case err != nil: // gone, or too slow
		return
	default:
		payload, reply = s.answer(c, uid, text)
	}
	if errors.Is(reply.Err, ErrEnding) {
		return
	}
	c.SetWriteDeadline(time.Now().Add(clientPatience))
	c.Write(append(payload, formatEnd(reply)...))
}

// readRequest reads up to the empty line that ends a request, and returns what comes before that. The error is a
// *config.Error when the client deserves to be told, else it is io.EOF or the connection's.
func readRequest(r io.Reader) (string, error) {
	lines := bufio.NewReader(io.LimitReader(r, requestMax+1))
	var text strings.Builder
	for {
		line, err := lines.ReadString('\n')
		if line == "\n" {
			return text.String(), nil
		}
		text.WriteString(line)
		switch {
		case text.Len() > requestMax:
			return "", bad("a request has at most %d bytes", requestMax)
		case err == io.EOF && text.Len() > 0:
			return "", bad("no empty line at the end of the request")
		case err != nil:
			return "", err
		}
	}
}

// answer does what a request asks for.
func (s *Server) answer(c *net.UnixConn, uid int, text string) ([]byte, Reply) {
	r, err := parseRequest(text)
	if err == nil {
		err = s.sameNetwork(r)
	}
	if err != nil {
		return nil, Reply{Err: err}
	}
	switch r.verb {
	case verbShow:
		payload, err := s.board.show(r.object, r.name)
		return payload, Reply{Err: err}
	case verbWait:
		payload, err := s.wait(c, r)
		return payload, Reply{Err: err}
	case verbHold:
		return nil, s.hold(c, uid, r)
	default:
		return nil, s.handler.Change(Request{Change: r.change, Check: r.verb == verbCheck, Root: uid == 0})
	}
}

// hold gives a holder of a group's demotion what it asks for, as long as the client stays; a line "held" tells him that it is in force. When the engine
// ends first, he asks the next one, which keeps it for him that long.
func (s *Server) hold(c *net.UnixConn, uid int, r *request) Reply {
	if uid != 0 { // before the claim: for a moment that keeps root out, and ends the wait for the client of an engine before
		return s.handler.Change(Request{Change: r.change, Check: true})
	}
	t := tie{r.change.Name, r.change.Clauses[0].Text}
	if err := s.claim(t, r.again); err != nil {
		return Reply{Err: err}
	}
	defer s.disclaim(t)
	change := r.change
	change.Clauses = append(change.Clauses, config.Clause{Word: config.Tied, Text: t.holder})
	if reply := s.handler.Change(Request{Change: change, Root: true}); reply.Err != nil {
		return reply
	}
	c.SetWriteDeadline(time.Now().Add(clientPatience))
	if _, err := c.Write([]byte(held)); err == nil {
		if !s.stays(c) {
			return Reply{Err: ErrEnding}
		}
	}
	s.untie(t)
	return Reply{Err: ErrEnding}
}

// held is what a client hears that holds something.
const held = "held\n"

// stays returns when the client has gone, or with false when the engine ends.
func (s *Server) stays(c *net.UnixConn) bool {
	c.SetReadDeadline(time.Time{})
	gone := make(chan struct{})
	go func() { // ends with the connection at the latest
		c.Read(make([]byte, 1))
		close(gone)
	}()
	select {
	case <-s.ending:
		return false
	case <-gone:
		select {
		case <-s.ending: // which cut his time
			return false
		default:
			return true
		}
	}
}

// sameNetwork refuses a client of another network namespace: the interfaces that he means are not ours.
func (s *Server) sameNetwork(r *request) error {
	if r.net == "" || s.net == "" || r.net == s.net {
		return nil
	}
	return &config.Error{Errno: config.EPERM, Msg: fmt.Sprintf("kernelsim is in network namespace %s, this command in %s, which needs a "+
		"kernelsim and a state directory of its own: start it there with kernelsim -s dir, and set CARP_STATEDIR to dir", s.net, r.net)}
}

// wait answers once what is waited for is the case. Until then the client has no more to say: anything that comes from him,
// the end most of all, tells that he does not wait any more.
func (s *Server) wait(c *net.UnixConn, r *request) ([]byte, error) {
	w := &waiter{object: r.object, name: r.name, states: r.states, after: r.after, answer: make(chan answer, 1)}
	s.board.wait(w)
	defer s.board.forget(w)
	c.SetReadDeadline(time.Time{})
	gone := make(chan struct{})
	go func() { // ends with the connection at the latest
		c.Read(make([]byte, 1))
		close(gone)
	}()
	select {
	case a := <-w.answer:
		return a.payload, a.err
	case <-gone:
		return nil, ErrEnding
	case <-s.ending:
		return nil, ErrEnding
	}
}
