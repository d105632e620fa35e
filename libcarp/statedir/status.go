package statedir

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"carp/libcarp/config"
)

// StatusTag is the first line of a status/carp* file.
const StatusTag = "carp-status 1"

// Remark is why a status must not be taken for what holds now. It is empty when kernelsim itself answered.
type Remark string

// The remarks that displays show on standard error.
const (
	NotRunning Remark = "kernelsim is not running"
	NoAnswer   Remark = "kernelsim does not answer"
)

// A NodeStatus is one virtual host of a Status.
type NodeStatus struct {
	State   string // INIT, BACKUP or MASTER
	VHID    int
	Advskew int
}

// A Status is what anybody may know of a carp interface: all but the pass phrase.
type Status struct {
	Name        string
	Order       int // of creation
	Index       int // of the link; 0 while there is none
	MTU         int
	Up, Running bool
	Lladdr      config.MAC
	LinkLocal   netip.Addr // the IPv6 link-local address, where it is not made of Lladdr
	Description string
	Carpdev     string // "": none
	Advbase     int
	Peer, Peer6 netip.Addr // where adverts go instead of the usual group; not valid: there
	Nodes       []NodeStatus
	Groups      []string
	Addrs       []netip.Prefix
	Heard       []Heard   // who was heard last, over IPv4 and over IPv6
	Since       time.Time // of the last transition; zero: there was none
	Reason      string    // and why it happened
}

// A Heard is a peer, with what its last advert said.
type Heard struct {
	Addr                     netip.Addr // where it came from, without a zone
	Advbase, Advskew, Demote int
}

// Link returns what OpenBSD calls the state of the link: master when any node is, else backup when any is, else invalid.
func (s *Status) Link() string {
	link := "invalid"
	for _, n := range s.Nodes {
		switch n.State {
		case "MASTER":
			return "master"
		case "BACKUP":
			link = "backup"
		}
	}
	return link
}

// State returns Link in the words of a virtual host's state: MASTER, BACKUP or INIT.
func (s *Status) State() string {
	switch s.Link() {
	case "master":
		return "MASTER"
	case "backup":
		return "BACKUP"
	}
	return "INIT"
}

// Idle returns s as it is while no engine runs: INIT, whatever a file says, and nobody was heard.
func (s Status) Idle() Status {
	s.Running, s.Heard, s.Since, s.Reason = false, nil, time.Time{}, ""
	s.Nodes = append([]NodeStatus(nil), s.Nodes...)
	for n := range s.Nodes {
		s.Nodes[n].State = "INIT"
	}
	return s
}

// StatusOf returns the idle status of a configured interface.
func StatusOf(i *config.Interface) Status {
	s := Status{
		Name: i.Name, Order: i.Order, MTU: 1500, Up: i.Up, Lladdr: i.Lladdr(), Description: i.Description,
		Carpdev: i.Carpdev, Advbase: int(i.Advbase), Peer: i.Peer, Peer6: i.Peer6, Groups: i.Groups, Addrs: i.Addrs,
	}
	for _, n := range i.Nodes {
		s.Nodes = append(s.Nodes, NodeStatus{State: "INIT", VHID: int(n.VHID), Advskew: int(n.Advskew)})
	}
	return s
}

// Format prints the status as the content of its file.
func (s *Status) Format() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(StatusTag)
	line("name %s", s.Name)
	line("order %d", s.Order)
	line("index %d", s.Index)
	line("mtu %d", s.MTU)
	line("up %t", s.Up)
	line("running %t", s.Running)
	line("lladdr %s", s.Lladdr)
	if s.LinkLocal.IsValid() {
		line("linklocal %s", s.LinkLocal)
	}
	if s.Description != "" {
		line("description %s", strconv.Quote(s.Description))
	}
	if s.Carpdev != "" {
		line("carpdev %s", s.Carpdev)
	}
	line("advbase %d", s.Advbase)
	if s.Peer.IsValid() {
		line("carppeer %s", s.Peer)
	}
	if s.Peer6.IsValid() {
		line("carppeer6 %s", s.Peer6)
	}
	for _, n := range s.Nodes {
		line("node %s %d %d", n.State, n.VHID, n.Advskew)
	}
	for _, g := range s.Groups {
		line("group %s", g)
	}
	line("status %s", s.Link())
	for _, a := range s.Addrs {
		line("address %s", a)
	}
	for _, h := range s.Heard {
		line("heard %s %d %d %d", h.Addr, h.Advbase, h.Advskew, h.Demote)
	}
	if !s.Since.IsZero() {
		line("since %s %s", s.Since.UTC().Format(timeFormat), strconv.Quote(s.Reason))
	}
	return b.Bytes()
}

// ParseStatus reads what [Status.Format] printed. Keys that it does not know are ignored.
func ParseStatus(data []byte) (Status, error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != StatusTag {
		return Status{}, fmt.Errorf("no %q in the first line", StatusTag)
	}
	var s Status
	for n, line := range lines[1:] {
		if err := s.set(line); err != nil {
			return Status{}, fmt.Errorf("line %d: %w", n+2, err)
		}
	}
	if s.Name == "" || len(s.Nodes) == 0 {
		return Status{}, fmt.Errorf("no name or no node")
	}
	return s, nil
}

func (s *Status) set(line string) (err error) {
	f, err := config.Fields(line)
	if err != nil || len(f) < 2 {
		return err
	}
	switch v := f[1]; f[0] {
	case "name":
		s.Name = v
	case "order":
		s.Order, err = strconv.Atoi(v)
	case "index":
		s.Index, err = strconv.Atoi(v)
	case "mtu":
		s.MTU, err = strconv.Atoi(v)
	case "up":
		s.Up, err = strconv.ParseBool(v)
	case "running":
		s.Running, err = strconv.ParseBool(v)
	case "lladdr":
		s.Lladdr, err = config.ParseMAC(v)
	case "linklocal":
		s.LinkLocal, err = netip.ParseAddr(v)
	case "description":
		s.Description = v
	case "carpdev":
		s.Carpdev = v
	case "advbase":
		s.Advbase, err = strconv.Atoi(v)
	case "carppeer":
		s.Peer, err = parsePeer(v)
	case "carppeer6":
		s.Peer6, err = parsePeer(v)
	case "node":
		if len(f) != 4 {
			return fmt.Errorf("node: %d fields", len(f))
		}
		n := NodeStatus{State: v}
		if n.VHID, err = strconv.Atoi(f[2]); err == nil {
			n.Advskew, err = strconv.Atoi(f[3])
		}
		s.Nodes = append(s.Nodes, n)
	case "heard":
		var h Heard
		h, err = parseHeard(f[1:])
		s.Heard = append(s.Heard, h)
	case "since":
		if len(f) != 3 {
			return fmt.Errorf("since: %d fields", len(f))
		}
		s.Reason = f[2]
		s.Since, err = time.Parse(timeFormat, v)
	case "group":
		s.Groups = append(s.Groups, v)
	case "address":
		var p netip.Prefix
		p, err = netip.ParsePrefix(v)
		s.Addrs = append(s.Addrs, p)
	}
	return err
}

// parseHeard reads an address and three numbers.
func parseHeard(f []string) (h Heard, err error) {
	if len(f) != 4 {
		return Heard{}, fmt.Errorf("heard: %d fields", len(f))
	}
	if h.Addr, err = parsePeer(f[0]); err != nil {
		return Heard{}, err
	}
	for n, at := range []*int{&h.Advbase, &h.Advskew, &h.Demote} {
		if *at, err = strconv.Atoi(f[n+1]); err != nil {
			return Heard{}, err
		}
	}
	return h, nil
}

// parsePeer reads the address of a peer, which has no zone: it is on the carpdev.
func parsePeer(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil && a.Zone() != "" {
		err = fmt.Errorf("peer %q: has a zone", s)
	}
	return a, err
}
