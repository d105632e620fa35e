package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"carp/libcarp/config"
)

// A Reply is what a change has come to.
type Reply struct {
	Err error // nil: it is in force; a *config.Error, or something that ErrnoOf understands; or ErrEnding
	Gen int   // counts changes
	Old int   // the value before, for a sysctl
}

// ErrEnding is a Reply's error when the handler ends before it could carry the change out: the connection is closed without an
// answer, and the client asks the next engine, or finds that there is none.
var ErrEnding = errors.New("the engine ends")

// formatEnd prints the last line of an answer.
func formatEnd(r Reply) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "errno=%d", ErrnoOf(r.Err))
	if r.Err == nil {
		fmt.Fprintf(&b, " gen=%d old=%d\n", r.Gen, r.Old)
		return b.Bytes()
	}
	msg := r.Err.Error()
	var refused *config.Error
	if errors.As(r.Err, &refused) {
		msg = refused.Msg
		fmt.Fprintf(&b, " clause=%d", refused.Clause)
	}
	if msg != "" {
		fmt.Fprintf(&b, " msg=%s", strconv.Quote(msg))
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// parseAnswer splits an answer into what comes before its last line, and that line; ok is false when the answer is not whole.
// The Reply's error is nil or a *config.Error.
func parseAnswer(answer []byte) (payload []byte, r Reply, ok bool) {
	if !bytes.HasSuffix(answer, []byte("\n")) {
		return nil, Reply{}, false
	}
	start := bytes.LastIndexByte(answer[:len(answer)-1], '\n') + 1
	line := string(answer[start : len(answer)-1])
	if !strings.HasPrefix(line, "errno=") {
		return nil, Reply{}, false
	}
	var refused config.Error
	line, msg, hasMsg := strings.Cut(line, " msg=")
	if hasMsg {
		var err error
		if refused.Msg, err = strconv.Unquote(msg); err != nil {
			return nil, Reply{}, false
		}
	}
	for _, field := range strings.Fields(line) {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, Reply{}, false
		}
		switch key { // an unknown one is a newer server's
		case "errno":
			refused.Errno = config.Errno(n)
		case "clause":
			refused.Clause = n
		case "gen":
			r.Gen = n
		case "old":
			r.Old = n
		}
	}
	if refused.Errno != config.OK {
		r.Err = &refused
	}
	return answer[:start], r, true
}
