package statedir

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"carp/libcarp/config"
)

func TestRequestIsReadBack(t *testing.T) {
	change := words(t, "carp0", "need", `pass "a b\n"`, "vhid 1", "alias 10.0.0.1/24", `description "\x00\n"`)
	change.ID = "a-b_C9"
	for _, r := range []*request{
		changeRequest(verbChange, change),
		changeRequest(verbCheck, config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{{Word: config.SetSysctl, Text: "log", N: 3}}}),
		changeRequest(verbChange, config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Demote, N: 3}}}),
		changeRequest(verbChange, config.Change{Kind: config.ForInterface, Name: "odd name\n\"x\""}),
		changeRequest(verbChange, config.Change{Kind: config.ForInterface, Name: ""}),
		{verb: verbShow, object: objInterfaces, net: "4:4026531840"},
		{verb: verbWait, object: objEvent, after: 17},
	} {
		got, err := parseRequest(body(r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%q\nis read back as %+v, %v", r.format(), got, err)
		}
	}
	r := &request{verb: verbWait, object: objInterface, name: "carp0", states: []string{"MASTER", "INIT"}}
	got, err := parseRequest(body(r))
	if err != nil || !reflect.DeepEqual(got.states, r.states) || got.name != "carp0" {
		t.Errorf("%+v, %v", got, err)
	}
}

// body returns what the server hands to the parser.
func body(r *request) string { return strings.TrimSuffix(string(r.format()), "\n") }

func TestBadRequests(t *testing.T) {
	for text, want := range map[string]config.Error{
		"":                                           {Errno: config.EINVAL},
		"GET / HTTP/1.1\r\n":                         {Errno: config.EINVAL},
		"carp":                                       {Errno: config.EINVAL},
		"carp 0 show stats":                          {Errno: config.EINVAL},
		"carp x show stats":                          {Errno: config.EINVAL},
		"carp 2 show future":                         {Errno: config.EPROGMISMATCH},
		"carp 1 show":                                {Errno: config.EINVAL},
		"carp 1 show future":                         {Errno: config.EINVAL},
		"carp 1 show stats more":                     {Errno: config.EINVAL},
		"carp 1 show interface":                      {Errno: config.EINVAL},
		"carp 1 show stats\nup":                      {Errno: config.EINVAL},
		"carp 1 eat stats":                           {Errno: config.EINVAL},
		"carp 1 change stats":                        {Errno: config.EINVAL},
		"carp 1 change interface carp0\nid a/b":      {Errno: config.EINVAL},
		"carp 1 change interface carp0\nid":          {Errno: config.EINVAL},
		"carp 1 change interface carp0\nup\nhuh":     {Errno: config.EINVAL, Clause: 1},
		"carp 1 change interface carp0\nup\norder 1": {Errno: config.EINVAL, Clause: 1}, // of want/ alone
		"carp 1 change interface carp0\nrequest a":   {Errno: config.EINVAL},
		"carp 1 change group carp\ntied boot":        {Errno: config.EINVAL},
		"carp 1 change interface carp0\nvhid 256":    {Errno: config.EINVAL},
		"carp 1 change interface carp0\nup\nid ab":   {Errno: config.EINVAL, Clause: 1}, // too late
		"carp 1 change interface \"carp0":            {Errno: config.EINVAL},
		"carp 1 wait event":                          {Errno: config.EINVAL},
		"carp 1 wait event x":                        {Errno: config.EINVAL},
		"carp 1 wait event -1":                       {Errno: config.EINVAL},
		"carp 1 wait stats":                          {Errno: config.EINVAL},
		"carp 1 wait interface carp0":                {Errno: config.EINVAL},
		"carp 1 wait interface carp0\nin master":     {Errno: config.EINVAL},
		"carp 1 wait event 1\nin MASTER":             {Errno: config.EINVAL},
	} {
		_, err := parseRequest(text)
		if got, ok := err.(*config.Error); !ok || got.Errno != want.Errno || got.Clause != want.Clause || got.Msg == "" {
			t.Errorf("%q: %#v, want %#v", text, err, want)
		}
	}
	_, err := parseRequest("carp 1 change interface carp0\npass\"secret\"\n")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the pass phrase: %v", err)
	}
}

func TestReadRequest(t *testing.T) {
	for _, c := range []struct {
		in, text string
		err      error
	}{
		{"a\nb\n\nrest", "a\nb\n", nil},
		{"\n", "", nil},
		{"", "", io.EOF},
		{"a\nb\n", "", bad("")},
		{"a", "", bad("")},
		{strings.Repeat("x", 4096) + "\n\n", strings.Repeat("x", 4096) + "\n", nil},
		{strings.Repeat("x", 1<<20), "", bad("")},
		{strings.Repeat("up\n", 1<<20), "", bad("")},
		{strings.Repeat("x", requestMax-2) + "\n\n", strings.Repeat("x", requestMax-2) + "\n", nil},
		{strings.Repeat("x", requestMax) + "\n\n", "", bad("")},
	} {
		text, err := readRequest(strings.NewReader(c.in))
		if text != c.text || (err == nil) != (c.err == nil) || ErrnoOf(err) != ErrnoOf(c.err) {
			t.Errorf("%.20q: %.20q, %v", c.in, text, err)
		}
	}
}

func TestAnswerIsReadBack(t *testing.T) {
	for _, c := range []struct{ in, out Reply }{
		{Reply{Gen: 17, Old: -3}, Reply{Gen: 17, Old: -3}},
		{
			Reply{Err: &config.Error{Errno: config.EINVAL, Clause: 2, Msg: "a msg=b\n\"c\""}},
			Reply{Err: &config.Error{Errno: config.EINVAL, Clause: 2, Msg: "a msg=b\n\"c\""}},
		},
		{Reply{Err: config.ENXIO}, Reply{Err: &config.Error{Errno: config.ENXIO, Msg: "Device not configured"}}},
		{Reply{Err: errors.New("odd")}, Reply{Err: &config.Error{Errno: config.EIO, Msg: "odd"}}},
	} {
		payload, got, whole := parseAnswer(append([]byte("a 1\nb 2\n"), formatEnd(c.in)...))
		if !whole || string(payload) != "a 1\nb 2\n" || !reflect.DeepEqual(got, c.out) {
			t.Errorf("%+v is read back as %q, %+v, %v", c.in, payload, got, whole)
		}
	}
	whole := string(formatEnd(Reply{Err: bad("why")}))
	for n := range whole {
		if _, _, ok := parseAnswer([]byte("x 1\n" + whole[:n])); ok {
			t.Errorf("%q passes for whole", whole[:n])
		}
	}
	if _, got, ok := parseAnswer([]byte("errno=0 gen=1 future=9 old=2\n")); !ok || got.Gen != 1 || got.Old != 2 {
		t.Errorf("an unknown key: %+v, %v", got, ok)
	}
}

// FuzzRequest: the server's parser does not panic, and what it reads is the same when it is printed and read again.
func FuzzRequest(f *testing.F) {
	f.Add("carp 1 change interface carp0\nid abc\nnet 4:1\nneed\nvhid 1\npass \"x\"\n")
	f.Add("carp 1 wait interface \"a b\"\nin MASTER\nin INIT\n")
	f.Add("carp 1 wait event 17")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRequest(text)
		if err != nil {
			if ErrnoOf(err) == config.OK {
				t.Errorf("%#v", err)
			}
			return
		}
		again, err := parseRequest(body(r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v\nis read back as %+v, %v", r, again, err)
		}
	})
}
