package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const source = `package p

const limit = 3

var table = map[int]struct{ a int }{x: {limit}}

func (t *T) f(a, b int) bool {
	t.n++
	if a < b && !t.ok {
		return true
	}
	t.g(a)
	return false
}

func (t *T) g(_ int) { t.n = 1 }
`

func TestMutants(t *testing.T) {
	mutants, err := mutantsOf("p.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mutants {
		got = append(got, m.function+": "+m.from+" => "+m.to)
		if alone := m.function == "limit" || m.function == "(*T).g"; alone != (m.host == nil) {
			t.Errorf("%s: has a host: %t", m.identity, m.host != nil)
		}
	}
	want := []string{
		"limit: limit = 3 => limit = 4",
		"limit: limit = 3 => limit = 2",
		"table: x: {limit} => x: {}",
		"(*T).f: t.n++ => t.n--",
		"(*T).f: a < b && !t.ok => true || (a < b && !t.ok)",
		"(*T).f: a < b && !t.ok => false && (a < b && !t.ok)",
		"(*T).f: a < b && !t.ok => a < b || !t.ok",
		"(*T).f: a < b && !t.ok => a <= b && !t.ok",
		"(*T).f: a < b && !t.ok => a >= b && !t.ok",
		"(*T).f: a < b && !t.ok => a < b && t.ok",
		"(*T).f: return true => return false",
		"(*T).f: t.g(a) => ",
		"(*T).f: return false => return true",
		"(*T).g: t.n = 1 => ",
		"(*T).g: t.n = 1 => t.n = 2",
		"(*T).g: t.n = 1 => t.n = 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What stands twice in a function is told apart by a number.
func TestSameMutantTwice(t *testing.T) {
	mutants, err := mutantsOf("p.go", []byte("package p\nfunc f() { g(); g() }\n"))
	if err != nil || len(mutants) != 2 || mutants[0].nth != 1 || mutants[1].nth != 2 {
		t.Fatalf("%v, %v", mutants, err)
	}
	if first, second := mutants[0].apply("package p\nfunc f() { g(); g() }\n"), mutants[1].apply("package p\nfunc f() { g(); g() }\n"); first != "package p\nfunc f() { ; g() }\n" || second != "package p\nfunc f() { g();  }\n" {
		t.Errorf("%q, %q", first, second)
	}
}

// A mutant of a function is a copy that it hands over to, one of a table a value that it gets before the tests begin.
func TestWeave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(file, []byte("package p\n\nvar limits = []int{3}\n\nfunc f() { g() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found, err := mutantsOf(file, src)
	if err != nil {
		t.Fatal(err)
	}
	var mutants []*mutant
	for i := range found {
		mutants = append(mutants, &found[i])
	}
	files, owners, err := weave(mutants)
	want := "package p\n\nvar limits = []int{3}\n\nfunc f() { switch mutantNumber { case 3: mutant3_f(); return; };  g() }\n" +
		"func init() { if mutantNumber == 1 { limits = []int{4} } }\nfunc init() { if mutantNumber == 2 { limits = []int{2} } }\nfunc mutant3_f() {  }\n"
	if err != nil || files[file] != want || owners[place{"p.go", 7}] != mutants[1] {
		t.Errorf("%v\n%s\nwant\n%s", err, files[file], want)
	}
	mutants[0].alone = true
	if files, _, err := weave(mutants); err != nil || strings.Contains(files[file], "mutantNumber == 1") {
		t.Errorf("%v\n%s", err, files[file])
	}
}

// A survivor as it is printed, with a reason, is an entry of the list.
func TestList(t *testing.T) {
	a := identity{"x/y.go", "(*T).f", "n >= 0", "n > 0", 1}
	b := identity{"x/y.go", "g", "h(1)", "", 2}
	known, err := parseList("# remark\n\n" + a.String() + "\nwhy: it is\n  never 0\n\n" + b.String() + "\nwhy: no effect\n")
	if err != nil || len(known) != 2 || known[a] == "" || known[b] != "no effect" {
		t.Errorf("%q, %v", known, err)
	}
	for _, bad := range []string{
		a.String(), a.String() + "\nwhy: ", a.String() + "\nbecause", "x\n- a\n+ b\nwhy: c", a.String() + "\nwhy: a\n\n" + a.String() + "\nwhy: b",
		"f: g #x\n- a\n+ b\nwhy: c",
	} {
		if _, err := parseList(bad); err == nil {
			t.Errorf("accepted: %q", bad)
		}
	}
}
