package statedir

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"carp/libcarp/config"
)

// requestMax is how many bytes a request may have.
const requestMax = 64 << 10

// protocol is the version that the first line of a request names.
const protocol = 1

// A verb is what a request asks for.
type verb string

const (
	verbChange verb = "change"
	verbCheck  verb = "check"
	verbShow   verb = "show"
	verbWait   verb = "wait"
	verbHold   verb = "hold"
)

// What a request can be about.
const (
	objInterface  = "interface"
	objInterfaces = "interfaces"
	objGroup      = "group"
	objGroups     = "groups"
	objSysctl     = "sysctl"
	objStats      = "stats"
	objEvent      = "event"
)

// A request is what one connection carries; doc.go describes its text.
type request struct {
	verb   verb
	object string
	name   string   // of the interface or group
	after  int      // wait event: the number to be passed
	states []string // wait interface
	again  bool     // hold: he held it with an engine before
	net    string   // the network namespace that it comes from; "": not told
	change config.Change
}

// destroys reports whether the request asks for an interface to go.
func (r *request) destroys() bool {
	n := len(r.change.Clauses)
	return r.verb == verbChange && n > 0 && r.change.Clauses[n-1].Word == config.Destroy
}

// changeRequest returns the request for a change.
func changeRequest(v verb, ch config.Change) *request {
	r := &request{verb: v, name: ch.Name, net: networkID(), change: ch}
	switch ch.Kind {
	case config.ForInterface:
		r.object = objInterface
	case config.ForGroup:
		r.object = objGroup
	case config.ForSysctl:
		r.object = objSysctl
	}
	return r
}

// format prints the request; parseRequest reads it back.
func (r *request) format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "carp %d %s %s", protocol, r.verb, r.object)
	switch r.object {
	case objInterface, objGroup:
		fmt.Fprintf(&b, " %s", quoted(r.name))
	case objEvent:
		fmt.Fprintf(&b, " %d", r.after)
	}
	b.WriteByte('\n')
	if r.change.ID != "" {
		fmt.Fprintf(&b, "id %s\n", r.change.ID)
	}
	if r.net != "" {
		fmt.Fprintf(&b, "net %s\n", r.net)
	}
	for _, s := range r.states {
		fmt.Fprintf(&b, "in %s\n", s)
	}
	if r.again {
		b.WriteString("again\n")
	}
	for _, c := range r.change.Clauses {
		b.WriteString(c.String() + "\n")
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// quoted returns s as one field of a line.
func quoted(s string) string {
	if f, err := config.Fields(s); err != nil || len(f) != 1 || f[0] != s || strings.Contains(s, "\n") {
		return strconv.Quote(s)
	}
	return s
}

// parseRequest reads a request without the empty line at its end. The error is a *config.Error and shows no pass phrase.
func parseRequest(text string) (*request, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	r, err := parseFirst(lines[0])
	if err != nil {
		return nil, err
	}
	lines = lines[1:]
	for len(lines) > 0 {
		isHeader, err := r.header(lines[0])
		if err != nil {
			return nil, err
		}
		if !isHeader {
			break
		}
		lines = lines[1:]
	}
	switch {
	case len(lines) > 0 && r.change.Kind == 0:
		return nil, bad("a %s takes no clauses", r.verb)
	case r.verb == verbWait && r.object == objInterface && len(r.states) == 0:
		return nil, bad("wait interface: in which state?")
	}
	for n, line := range lines {
		c, err := config.ParseLine(line)
		if err == nil && ofWant(c.Word) {
			err = fmt.Errorf("%s: not in a request", c.Word)
		}
		if err != nil {
			return nil, &config.Error{Errno: config.EINVAL, Clause: n, Msg: err.Error()}
		}
		r.change.Clauses = append(r.change.Clauses, c)
	}
	if r.verb == verbHold && (len(r.change.Clauses) != 1 || r.change.Clauses[0].Word != config.Holder || r.change.Clauses[0].N == 0) {
		return nil, bad("hold: one holder, and what it has")
	}
	return r, nil
}

// ofWant reports whether a word is one that only want/ files have: what it says is for the server to know.
func ofWant(w config.Word) bool {
	switch w {
	case config.Order, config.Request, config.Tied, config.Untie:
		return true
	}
	return false
}

func bad(format string, args ...any) error {
	return &config.Error{Errno: config.EINVAL, Msg: fmt.Sprintf(format, args...)}
}

// parseFirst reads the line that tells the protocol's version, the verb and what it is about.
func parseFirst(line string) (*request, error) {
	f, err := config.Fields(line)
	if err != nil || len(f) < 4 || f[0] != "carp" {
		return nil, bad("this is no request; see carpstate(5)")
	}
	if n, err := strconv.Atoi(f[1]); err != nil || n < 1 {
		return nil, bad("this is no request; see carpstate(5)")
	} else if n > protocol {
		msg := fmt.Sprintf("protocol %d is newer than %d", n, protocol)
		return nil, &config.Error{Errno: config.EPROGMISMATCH, Msg: msg}
	}
	r := &request{verb: verb(f[2]), object: f[3]}
	takes := 0
	switch r.verb {
	case verbChange, verbCheck:
		takes, err = r.aboutChange()
	case verbHold:
		if takes, err = r.aboutChange(); r.object != objGroup {
			err = bad("hold: unknown object")
		}
	case verbShow:
		takes, err = r.aboutShow()
	case verbWait:
		takes, err = r.aboutWait()
	default:
		err = bad("unknown verb")
	}
	if err != nil {
		return nil, err
	}
	if len(f) != 4+takes {
		return nil, bad("%s %s: %d more words, not %d", r.verb, r.object, len(f)-4, takes)
	}
	if takes == 0 {
		return r, nil
	}
	if r.object == objEvent {
		if r.after, err = strconv.Atoi(f[4]); err != nil || r.after < 0 {
			return nil, bad("wait event: no number")
		}
		return r, nil
	}
	r.name = f[4]
	r.change.Name = f[4]
	return r, nil
}

func (r *request) aboutChange() (takes int, err error) {
	switch r.object {
	case objInterface:
		r.change.Kind = config.ForInterface
		return 1, nil
	case objGroup:
		r.change.Kind = config.ForGroup
		return 1, nil
	case objSysctl:
		r.change.Kind = config.ForSysctl
		return 0, nil
	}
	return 0, bad("%s: unknown object", r.verb)
}

func (r *request) aboutShow() (takes int, err error) {
	switch r.object {
	case objInterface:
		return 1, nil
	case objInterfaces, objGroups, objSysctl, objStats:
		return 0, nil
	}
	return 0, bad("show: unknown object")
}

func (r *request) aboutWait() (takes int, err error) {
	switch r.object {
	case objInterface, objEvent:
		return 1, nil
	}
	return 0, bad("wait: unknown object")
}

// header takes a line in if it is one of those that stand before the clauses.
func (r *request) header(line string) (isHeader bool, err error) {
	key, value, _ := strings.Cut(line, " ")
	switch {
	case key == "id" && r.change.Kind != 0:
		if !config.IsName(value) {
			return true, bad("id: 1 to %d of A-Z a-z 0-9 _ and -", config.NameMax)
		}
		r.change.ID = value
	case key == "net":
		r.net = value
	case key == "in" && r.verb == verbWait && r.object == objInterface:
		if value != "MASTER" && value != "BACKUP" && value != "INIT" {
			return true, bad("in: no state")
		}
		r.states = append(r.states, value)
	case line == "again" && r.verb == verbHold:
		r.again = true
	default:
		return false, nil
	}
	return true, nil
}
