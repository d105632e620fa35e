package statedir

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"carp/libcarp/config"
)

// Holders are what a group's demotion is made of: of each group, what each holder has.
type Holders map[string]map[string]int

// HoldersOf returns the holders of a configuration.
func HoldersOf(m *config.Machine) Holders {
	h := Holders{}
	for name, g := range m.Groups {
		h[name] = map[string]int{}
		for holder, n := range g.Holders {
			h[name][holder] = n
		}
	}
	return h
}

// Of returns the names of a group's holders, sorted.
func (h Holders) Of(group string) []string {
	names := make([]string, 0, len(h[group]))
	for name := range h[group] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseHolders reads the holders that [FormatGroups] printed.
func ParseHolders(data []byte) (Holders, error) {
	h := Holders{}
	return h, eachLine(data, GroupsTag, func(key string, values []string) error {
		if key != "holder" {
			return nil
		}
		if len(values) != 3 {
			return fmt.Errorf("holder: %d values", len(values))
		}
		n, err := strconv.Atoi(values[2])
		if h[values[0]] == nil {
			h[values[0]] = map[string]int{}
		}
		h[values[0]][values[1]] = n
		return err
	})
}

// Holders returns what the demotion of each group is made of.
func (d Dir) Holders() (Holders, Remark, error) {
	return display(d, &request{object: objGroups}, ParseHolders, func() (Holders, error) {
		return readStatus(d, groupsFile, Holders{}, ParseHolders)
	})
}

// tiedPatience is how long a new engine waits for the client of a tied holder to come back.
var tiedPatience = 10 * time.Second

// A tie is a holder that lasts as long as the connection of a client.
type tie struct{ group, holder string }

// Tied tells of a holder that an engine before had tied to a connection. It is kept for its client, and taken away unless he comes soon.
func (s *Server) Tied(group, holder string) {
	t := tie{group, holder}
	s.mu.Lock()
	s.awaited[t] = make(chan struct{})
	s.mu.Unlock()
	time.AfterFunc(tiedPatience, func() { s.giveUp(t) })
}

// giveUp takes a holder away whose client has not come, and lets those in who wait for the name.
func (s *Server) giveUp(t tie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaited[t] == nil {
		return
	}
	s.ties[t] = true // it is too late now
	s.mu.Unlock()
	s.untie(t)
	s.mu.Lock()
	delete(s.ties, t)
	s.settle(t)
}

// settle ends the wait for a client, with mu held.
func (s *Server) settle(t tie) {
	if settled := s.awaited[t]; settled != nil {
		close(settled)
		delete(s.awaited, t)
	}
}

// untie takes a holder away.
func (s *Server) untie(t tie) {
	select {
	case <-s.ending: // the next engine's to do
		return
	default:
	}
	s.handler.Change(Request{Root: true, Change: config.Change{
		Kind: config.ForGroup, Name: t.group, Clauses: []config.Clause{{Word: config.Untie, Text: t.holder}},
	}})
}

// claim reserves a tie for one client. Another one than he who had it waits until it is known whether that one comes.
func (s *Server) claim(t tie, again bool) error {
	for {
		s.mu.Lock()
		settled := s.awaited[t]
		if settled == nil || again {
			break
		}
		s.mu.Unlock()
		select {
		case <-settled:
		case <-s.ending:
			return ErrEnding
		}
	}
	defer s.mu.Unlock()
	if s.ties[t] {
		return &config.Error{Errno: config.EBUSY}
	}
	s.settle(t)
	s.ties[t] = true
	return nil
}

func (s *Server) disclaim(t tie) {
	s.mu.Lock()
	delete(s.ties, t)
	s.mu.Unlock()
}
