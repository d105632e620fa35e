package engine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// texts returns the string literals of the room that pick chooses.
func texts(t *testing.T, pick func(ast.Node) ast.Expr) (found []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := pick(n).(*ast.BasicLit); ok {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, s)
			}
			return true
		})
	}
	return found
}

func page(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "man", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

// Messages are interface: each stands in DIAGNOSTICS of carp(4), word for word.
func TestPageTellsMessages(t *testing.T) {
	formats := texts(t, func(n ast.Node) ast.Expr {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return nil
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "logf" {
			return nil
		}
		return call.Args[1]
	})
	lines := page(t, "carp.4")
	values := strings.NewReplacer("%s: state transition%s:", `\S+: state transition:`, "%s", `\S+`, "%d", `-?\d+`)
	for _, format := range formats {
		line := regexp.MustCompile("^" + values.Replace(strings.NewReplacer("(", `\(`, ")", `\)`).Replace(format)) + "$")
		told := false
		for _, l := range lines {
			told = told || line.MatchString(l)
		}
		if !told {
			t.Errorf("carp(4) does not tell %q", format)
		}
	}
	if len(formats) < 10 {
		t.Errorf("only %d messages found", len(formats))
	}
}

// The reasons of events are listed in carpstate(5), all of them and no others.
func TestPageTellsReasons(t *testing.T) {
	reasons := map[string]bool{}
	for _, s := range texts(t, func(n ast.Node) ast.Expr {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "reason") && len(v.Values) == 1 {
			return v.Values[0]
		}
		return nil
	}) {
		reasons[s] = true
	}
	listed := false
	for _, line := range page(t, "carpstate.5") {
		switch {
		case line == "The reasons are:":
			listed = true
		case listed && line == ".Ed":
			listed = false
		case listed && !strings.HasPrefix(line, "."):
			if !reasons[line] {
				t.Errorf("no event has the reason %q", line)
			}
			delete(reasons, line)
		}
	}
	for r := range reasons {
		t.Errorf("carpstate(5) does not tell %q", r)
	}
}
