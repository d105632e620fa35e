package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseNumber(t *testing.T) {
	for _, c := range []struct {
		in     string
		want   int64
		reason string
	}{
		{"1", 1, ""}, {"255", 255, ""}, {"+5", 5, ""}, {" 5", 5, ""}, {"007", 7, ""},
		{"0", 0, "too small"}, {"-1", 0, "too small"}, {"-99999999999999999999", 0, "too small"},
		{"256", 0, "too large"}, {"99999999999999999999", 0, "too large"},
		{"x", 0, "invalid"}, {"", 0, "invalid"}, {"1x", 0, "invalid"}, {"1 ", 0, "invalid"}, {"0x10", 0, "invalid"}, {"1_0", 0, "invalid"},
	} {
		if got, reason := ParseNumber(c.in, 1, 255); got != c.want || reason != c.reason {
			t.Errorf("%q: %d, %q; want %d, %q", c.in, got, reason, c.want, c.reason)
		}
	}
}

func TestParseClause(t *testing.T) {
	for _, c := range []struct {
		words string
		err   string // "" if it is read, and printed as it was
	}{
		{"create", ""}, {"destroy", ""}, {"up", ""}, {"down", ""}, {"need", ""}, {"await", ""},
		{"vhid 1", ""}, {"vhid 255", ""}, {"vhid 0", "vhid 0: too small"}, {"vhid 256", "vhid 256: too large"}, {"vhid x", "vhid x: invalid"},
		{"advbase 0", ""}, {"advbase 254", ""}, {"advbase 255", "advbase 255: too large"},
		{"advskew 0", ""}, {"advskew 254", ""}, {"advskew 255", "advskew 255: too large"}, {"advskew -1", "advskew -1: too small"},
		{"carpdemote 128", ""}, {"carpdemote 129", "carpdemote 129: too large"}, {"-carpdemote 0", ""},
		{`pass "a b\n\"c\x00"`, ""}, {`pass ""`, ""}, {`description "x"`, ""}, {"-description", ""}, {`state "bogus"`, ""},
		{"carpdev em0", ""}, {`carpdev ""`, `carpdev "": invalid`}, {`carpdev "a b"`, `carpdev "a b": invalid`}, {`carpdev "a\r"`, `carpdev "a\r": invalid`},
		{`carpdev "\"x"`, `carpdev "\"x": invalid`}, {"drop-all inet", ""},
		{"alias 192.168.1.10/24", ""}, {"-alias 10.0.0.1/32", ""}, {"alias 10.0.0.1", `alias "10.0.0.1": invalid`},
		{"delete-first inet", ""}, {"drop-first inet6", ""}, {"drop-first ip", `drop-first "ip": invalid`},
		{"set preempt 1", ""}, {"set log -2147483648", ""}, {"set log 2147483648", "log 2147483648: too large"}, {"set a.b 1", `set "a.b": invalid`},
		{"set log", "set: 1 arguments, not 2"}, {"holder boot 128", ""}, {"holder boot 99999", "boot 99999: too large"}, {"group carp", ""},
		{"order 7", ""}, {"request 1f2e", ""},
		{"carppeer 10.0.0.2", ""}, {"carppeer6 2001:db8::2", ""}, {"-carppeer", ""}, {"carppeer em0", `carppeer "em0": invalid`},
		{"carppeer 10.0.0.2/8", `carppeer "10.0.0.2/8": invalid`}, {"carppeer6 fe80::1%em0", `carppeer6 "fe80::1%em0": invalid`},
		{"lladdr 02:00:00:00:00:77", ""}, {"lladdr 02:00", `lladdr "02:00": invalid`}, {`pass "`, "bad quotes"},
		{"bogus", "unknown word"}, {"vhid", "vhid: 0 arguments, not 1"}, {"up 1", "up: 1 arguments, not 0"},
	} {
		got, err := ParseLine(c.words)
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %s", c.words, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.words, err)
		case got.String() != c.words:
			t.Errorf("%s is printed as %s", c.words, got)
		}
	}
	if c, err := ParseClause("descr", "x"); err != nil || c.Word != Description {
		t.Errorf("descr: %v, %v", c, err)
	}
	if _, err := ParseClause("bogus"); err == nil || err.Error() != "bogus: unknown word" {
		t.Errorf("bogus: %v", err)
	}
	if _, err := ParseLine(""); err == nil {
		t.Error("an empty line is a clause")
	}
	if s := Word(99).String(); s != "?" {
		t.Error(s)
	}
}

// Every spelling stands once, and every word has one.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for w := Create; w <= Holder; w++ {
		s := w.String()
		if s == "?" || seen[s] {
			t.Errorf("word %d: spelling %q", w, s)
		}
		seen[s] = true
	}
	for other, s := range spellings {
		if !seen[s] || seen[other] {
			t.Errorf("%s is another spelling of %s", other, s)
		}
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
		bad  bool
	}{
		{"", nil, false}, {"  a\tb  ", []string{"a", "b"}, false}, {`a "b c" d`, []string{"a", "b c", "d"}, false},
		{`""`, []string{""}, false}, {`a"b`, []string{`a"b`}, false},
		{`"a`, nil, true}, {`"a"b`, nil, true}, {`"\q"`, nil, true},
	} {
		got, err := Fields(c.in)
		if fmt.Sprint(got) != fmt.Sprint(c.want) || (err != nil) != c.bad {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
}

func TestPassNeverShows(t *testing.T) {
	p := NewPass("geheim")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{p, &p, Clause{Pass: p}, &Interface{Nodes: []Node{{}}, Pass: p}, []Pass{p}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "geheim") || strings.Contains(s, "67656865") {
				t.Errorf("%s of %T shows it: %s", verb, v, s)
			}
		}
	}
	if p.Reveal() != "geheim" || p.Empty() || !NewPass("").Empty() {
		t.Error("Reveal or Empty is wrong")
	}
	long := NewPass(strings.Repeat("a", 20))
	if k := long.Key(); k != NewPass(strings.Repeat("a", 19)).Key() || k[19] != 0 {
		t.Errorf("20 bytes count: %v", k)
	}
}

// FuzzLine: a line that can be read is the same when it is printed and read again, and is printed as one line.
func FuzzLine(f *testing.F) {
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseLine(line)
		if err != nil {
			return
		}
		again, err := ParseLine(c.String())
		if err != nil || again != c || strings.Contains(c.String(), "\n") {
			t.Fatalf("%q is printed as %q and read back as %v, %v", line, c, again, err)
		}
	})
}
