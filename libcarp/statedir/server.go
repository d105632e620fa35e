package statedir

import (
	"net"
	"sync"
	"time"

	"carp/libcarp/config"
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

	closing sync.Once
	mu      sync.Mutex
	conns   map[*net.UnixConn]int // with their users
	ties    map[tie]bool          // that have a client
	awaited map[tie]chan struct{} // that an engine before has tied: until their client has come, or too much time has passed
	ending  chan struct{}
	work    sync.WaitGroup
}

// NewServer returns a server for the listener, which it owns from then on. It knows the network namespace of this moment as its
// own. Nobody is answered before [Server.Start].
func NewServer(l *net.UnixListener, h Handler) *Server {
	return &Server{
		listener: l, handler: h, board: newBoard(), net: networkID(), peer: peerUID,
		conns: map[*net.UnixConn]int{}, ties: map[tie]bool{}, awaited: map[tie]chan struct{}{}, ending: make(chan struct{}),
	}
}

// Start begins to answer, in goroutines of its own. Call it once everything is published; clients wait until then.
func (s *Server) Start() {
	s.work.Add(1)
	go s.accept()
}

// Close stops accepting, drops who is still asking or waits (he will ask the next engine) and gives changes that the handler
// has taken a second for their answer. The socket goes on to listen where another process holds it.
func (s *Server) Close() (err error) {
	s.closing.Do(func() { err = s.close() })
	return err
}

func (s *Server) close() error {
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

// PublishGroups shows the demotion of each group, and who holds it. The maps may not change afterwards.
func (s *Server) PublishGroups(demotion map[string]int, holders Holders) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.groups, s.board.holders = demotion, holders
}

// PublishSysctl shows the variables.
func (s *Server) PublishSysctl(v config.Sysctl) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.sysctl = v
}

// PublishStats shows the machine's counters.
func (s *Server) PublishStats(v config.Stats) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.stats = v
}

// PublishCarpStats shows the counters of the carps. The map may not change afterwards.
func (s *Server) PublishCarpStats(carps map[string]config.Stats) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	s.board.carpStats = carps
}

// PublishEvent tells the number of the last event that is in the file; see [Store.OnEvent].
func (s *Server) PublishEvent(number int) { s.board.publishEvent(number) }
