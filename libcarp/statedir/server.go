package statedir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"carp/libcarp/config"
)

// How many connections there may be at a time: in all, how many of them root alone may have, and how many another user may.
const (
	connMax     = 64
	connForRoot = 8
	connPerUser = 8
)

// How long a client may take to send its request or to take its answer, and how long Close waits for answers under way.
var (
	clientPatience = 5 * time.Second
	closePatience  = time.Second
)

// A Request is a change that a client asks for.
type Request struct {
	Change config.Change
	Check  bool // tell what would be answered, change nothing
	Root   bool // the client may set; others are refused as [config.Machine.Refuse] says
}

// A Handler carries changes out. Change is called from a goroutine of its own for each client, and returns when the change is
// in force and written down, or refused.
type Handler interface {
	Change(Request) Reply
}

// A Server answers the clients of ctl: displays and waits from what was published, changes from its handler.
type Server struct {
	listener *net.UnixListener
	handler  Handler
	board    *board
	net      string                           // the network namespace that it serves
	peer     func(*net.UnixConn) (int, error) // tests are many users

	mu     sync.Mutex
	conns  map[*net.UnixConn]int // with their users
	ending chan struct{}
	work   sync.WaitGroup
}

// NewServer returns a server for the listener, which it owns from then on. It knows the network namespace of this moment as its
// own. Nobody is answered before [Server.Start].
func NewServer(l *net.UnixListener, h Handler) *Server {
	return &Server{
		listener: l, handler: h, board: newBoard(), net: networkID(), peer: peerUID,
		conns: map[*net.UnixConn]int{}, ending: make(chan struct{}),
	}
}

// Start begins to answer, in goroutines of its own. Call it once everything is published; clients wait until then.
func (s *Server) Start() {
	s.work.Add(1)
	go s.accept()
}

// Close stops accepting, drops who is still asking or waits (he will ask the next engine) and lets changes that the handler
// has taken have their answer. The socket itself goes on to listen where others hold it. Close the handler's work first.
func (s *Server) Close() error {
	s.mu.Lock()
	close(s.ending)
	for c := range s.conns {
		c.SetReadDeadline(time.Now())
	}
	s.mu.Unlock()
	err := s.listener.Close()
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
		return err
	case <-time.After(closePatience):
	}
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	return err
}

// PublishInterface shows an interface as it now is. Nothing that st refers to may change afterwards.
func (s *Server) PublishInterface(st Status) { s.board.publishInterface(st) }

// RemoveInterface shows an interface no more.
func (s *Server) RemoveInterface(name string) { s.board.removeInterface(name) }

// PublishGroups shows the demotion of each group. The map may not change afterwards.
func (s *Server) PublishGroups(demotion map[string]int) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.groups = demotion
}

// PublishSysctl shows the variables.
func (s *Server) PublishSysctl(v config.Sysctl) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.sysctl = v
}

// PublishStats shows the counters.
func (s *Server) PublishStats(v config.Stats) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.stats = v
}

// PublishEvent tells the number of the last event that is in the file; see [Store.OnEvent].
func (s *Server) PublishEvent(number int) { s.board.publishEvent(number) }

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
		c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // a new socket has room for the line
		c.Write(formatEnd(Reply{Err: err}))
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

// admit enters a connection, or refuses it with EAGAIN.
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
	s.conns[c] = uid
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
	c.SetReadDeadline(time.Now().Add(clientPatience))
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
	default:
		return nil, s.handler.Change(Request{Change: r.change, Check: r.verb == verbCheck, Root: uid == 0})
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
