package engine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The rooms that must stay pure: no clock, no goroutine, nothing of the system, and imports that run downwards only
// (tailscale's tstest/deptest is the idea).
func TestPurity(t *testing.T) {
	rooms := map[string][]string{ // and which of ours they may import
		"wire":   {},
		"config": {},
		"engine": {"carp/libcarp/wire", "carp/libcarp/config"},
		"sim":    {"carp/libcarp/wire", "carp/libcarp/config", "carp/libcarp/engine"},
	}
	forbidden := []string{"net", "os", "log", "syscall"}
	for room, ours := range rooms {
		files, err := filepath.Glob(filepath.Join("..", room, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", room, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, im := range file.Imports {
				path, _ := strconv.Unquote(im.Path.Value)
				for _, f := range forbidden {
					if path == f || strings.HasPrefix(path, f+"/") && path != "net/netip" {
						t.Errorf("%s imports %s", name, path)
					}
				}
				if strings.HasPrefix(path, "carp/") && !contains(ours, path) {
					t.Errorf("%s imports %s", name, path)
				}
				if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
					t.Errorf("%s imports %s", name, path)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s starts a goroutine", name)
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Since" || n.Sel.Name == "After") {
						t.Errorf("%s calls time.%s", name, n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
