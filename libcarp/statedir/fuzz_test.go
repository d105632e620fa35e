package statedir

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// FuzzAnswer: the client's parser does not panic, and an answer that it takes for whole ends in a line that is the same when it is
// printed and read again.
func FuzzAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, answer []byte) {
		payload, r, whole := parseAnswer(answer)
		if !whole {
			return
		}
		if !bytes.HasPrefix(answer, payload) {
			t.Errorf("%q has the payload %q", answer, payload)
		}
		if e, refused := r.Err.(*config.Error); refused && e.Errno == config.OK {
			t.Errorf("%q: %#v", answer, e)
		}
		r.Gen, r.Old = ifNil(r.Err, r.Gen), ifNil(r.Err, r.Old) // a refusal tells neither
		rest, again, whole := parseAnswer(append(slices.Clone(payload), formatEnd(r)...))
		if !whole || !bytes.Equal(rest, payload) || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v is read back as %+v, %t", r, again, whole)
		}
	})
}

func ifNil(err error, n int) int {
	if err != nil {
		return 0
	}
	return n
}

// A deaf handler has a machine and no disk.
type deaf struct {
	mu      sync.Mutex
	machine *config.Machine
}

func (h *deaf) Change(r Request) Reply {
	h.mu.Lock()
	defer h.mu.Unlock()
	plan, err := h.machine.Plan(r.Change, nil)
	if !r.Root {
		err = h.machine.Refuse(r.Change, nil)
	}
	if err == nil && !r.Check {
		h.machine.Commit(plan)
	}
	return Reply{Err: err, Old: plan.Old}
}

// FuzzConnection sends what two pieces of bytes and a pass phrase between them make to a server, as root or somebody else. It is answered at
// once and whole, or not at all when nothing was asked; the pass phrase stands in no answer; nobody but root changes anything.
func FuzzConnection(f *testing.F) {
	f.Fuzz(func(t *testing.T, before, phrase, after []byte, root bool) {
		request := slices.Concat(before, phrase, after)
		h := &deaf{machine: config.NewMachine()}
		h.machine.Interfaces["carp0"] = config.NewInterface("carp0", 0)
		s := &Server{handler: h, board: newBoard(), net: networkID(), conns: map[*net.UnixConn]int{}, ending: make(chan struct{})}
		s.PublishInterface(StatusOf(h.machine.Interfaces["carp0"].Clone()))
		was := wants(h.machine)

		answer := converse(t, s, request, root)
		_, reply, whole := parseAnswer(answer)
		if !whole && (len(answer) > 0 || len(request) > 0 && !waits(request)) {
			t.Fatalf("%q is answered with %q", request, answer)
		}
		if !root && wants(h.machine) != was {
			t.Fatalf("somebody changed %s to %s", was, wants(h.machine))
		}
		if reply.Err != nil && wants(h.machine) != was {
			t.Fatalf("%v, and yet %s is now %s", reply.Err, was, wants(h.machine))
		}
		// Only what is typed as a pass phrase is one, and only if it does not stand elsewhere in the request too.
		secret := quotedIn(phrase)
		if len(secret) < 6 || !bytes.HasSuffix(before, []byte("\npass ")) || bytes.Contains(before, secret) || bytes.Contains(after, secret) {
			return
		}
		if bytes.Contains(answer, secret) {
			t.Fatalf("%q shows the pass phrase of %q", answer, request)
		}
	})
}

// waits reports whether somebody who sends this, and goes away then, may have no answer.
func waits(request []byte) bool {
	text, err := readRequest(bytes.NewReader(request))
	if err != nil {
		return false
	}
	r, err := parseRequest(text)
	return err == nil && r.verb == verbWait
}

// quotedIn returns what stands between quotes.
func quotedIn(phrase []byte) []byte {
	s, err := strconv.Unquote(string(phrase))
	if err != nil {
		return nil
	}
	return []byte(s)
}

func wants(m *config.Machine) string {
	text := slices.Concat(config.FormatWant(m.SysctlClauses()), config.FormatWant(m.GroupClauses()))
	for _, i := range m.Sorted() {
		text = append(text, i.Name+"\n"...)
		text = append(text, config.FormatWant(i.Clauses())...)
	}
	return string(text)
}

// converse has a server answer one request.
func converse(t *testing.T, s *Server, request []byte, root bool) []byte {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := connOf(t, fds[0]), connOf(t, fds[1])
	defer ours.Close()
	theirs.SetReadDeadline(time.Now().Add(clientPatience))
	done := make(chan struct{})
	uid := 1000
	if root {
		uid = 0
	}
	go func() {
		s.converse(theirs, uid)
		theirs.Close()
		close(done)
	}()
	ours.SetDeadline(time.Now().Add(10 * time.Second))
	sent := make(chan struct{})
	go func() { // the server may have enough before the end
		ours.Write(request)
		ours.CloseWrite()
		close(sent)
	}()
	answer, err := io.ReadAll(ours)
	// A server that had enough of a request ends with the rest unread, which resets the connection behind its answer, if it owes one.
	if err != nil && len(request) <= requestMax && !(errors.Is(err, unix.ECONNRESET) && (len(answer) > 0 || waits(request))) {
		t.Fatalf("%q: %q, %v", request, answer, err)
	}
	<-sent
	<-done
	return answer
}

func connOf(t *testing.T, fd int) *net.UnixConn {
	file := os.NewFile(uintptr(fd), "")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// FuzzFormats: the smaller files of status/ are the same when they are printed and read again, and several statuses are each read whole.
func FuzzFormats(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := ParseGroups(data); err == nil {
			if again, err := ParseGroups(FormatGroups(v, nil)); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("%v is read back as %v, %v", v, again, err)
			}
		}
		if v, err := ParseSysctl(data); err == nil {
			if again, err := ParseSysctl(FormatSysctl(v)); err != nil || again != v {
				t.Errorf("%v is read back as %v, %v", v, again, err)
			}
		}
		if v, err := config.ParseStats(data); err == nil {
			if again, err := config.ParseStats(v.Format()); err != nil || again != v {
				t.Errorf("%v is read back as %v, %v", v, again, err)
			}
		}
		all, err := parseStatuses(data)
		if one, oneErr := ParseStatus(data); err == nil && len(all) == 1 && (oneErr != nil || !reflect.DeepEqual(one, all[0])) {
			t.Errorf("%+v alone is read as %+v, %v", all[0], one, oneErr)
		}
	})
}

// FuzzEvent: a line that is read at all is the same when it is printed and read again.
func FuzzEvent(f *testing.F) {
	f.Fuzz(func(t *testing.T, line string) {
		e, err := ParseEvent(line)
		if err != nil {
			return
		}
		if again, err := ParseEvent(e.String()); err != nil || again != e {
			t.Errorf("%+v is read back as %+v, %v", e, again, err)
		}
	})
}

// FuzzEvents: whatever is left in the files, numbers only grow, and what is appended is read back after all that was there.
func FuzzEvents(f *testing.F) {
	dir := Dir(f.TempDir())
	f.Fuzz(func(t *testing.T, earlier, later []byte) {
		for path, data := range map[string][]byte{dir.oldEvents(): earlier, dir.events(): later} {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before, err := dir.Events(0)
		if err != nil {
			t.Fatal(err)
		}
		l, err := openEvents(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		added := Event{Time: time.Unix(1e9, 0).UTC(), Carp: "carp0", From: "INIT", To: "BACKUP", Reason: "interface is ready"}
		if added.Number, err = l.append(added); err != nil {
			t.Fatal(err)
		}
		after, err := dir.Events(0)
		if err != nil || !reflect.DeepEqual(after, append(slices.Clip(before), added)) {
			t.Fatalf("%+v and %+v are read back as %+v, %v", before, added, after, err)
		}
		for n := 1; n < len(after); n++ {
			if after[n].Number <= after[n-1].Number {
				t.Fatalf("%d follows %d", after[n].Number, after[n-1].Number)
			}
		}
	})
}
