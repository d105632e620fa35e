package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// An identity names a mutant by what it changes, not where: line numbers move.
type identity struct {
	file     string
	function string // its name, with the receiver; of what stands outside of functions, the first name it declares
	from, to string // the statement, condition or clause around the change, in one line, before and after
	nth      int    // of several mutants that all this does not tell apart, from 1
}

func (id identity) String() string {
	s := fmt.Sprintf("%s: %s", id.file, id.function)
	if id.nth > 1 {
		s += fmt.Sprintf(" #%d", id.nth)
	}
	return fmt.Sprintf("%s\n- %s\n+ %s", s, id.from, id.to)
}

// A mutant is a source file with one change.
type mutant struct {
	identity
	at, n int    // where, in bytes,
	by    string // and what is put there
	host  *host  // the function or table around it; nil: none that could be exchanged by another when the tests run
	alone bool   // it has to be built alone
	fate  fate
}

// apply returns the source with the change.
func (m *mutant) apply(src string) string { return src[:m.at] + m.by + src[m.at+m.n:] }

// A host is a function that can hand over to changed copies of itself, or a variable whose value can be set to a changed copy.
type host struct {
	start, end   int    // in the file; of a variable, its value's
	name, body   int    // where its name begins, and what follows the opening brace of its body; a variable has none
	called       string // its name
	before, args string // of a call: "n.", "(now, ad)"
	returns      bool
}

// What an operator is replaced by. Besides, statements and entries of tables are left out, whole numbers go up and down by one, and
// conditions become constant. A comparison gets its neighbour, which moves the limit by one, and its opposite.
var operators = map[token.Token][]string{
	token.LSS: {"<=", ">="}, token.LEQ: {"<", ">"}, token.GTR: {">=", "<="}, token.GEQ: {">", "<"},
	token.EQL: {"!="}, token.NEQ: {"=="},
	token.LAND: {"||"}, token.LOR: {"&&"},
	token.ADD: {"-"}, token.SUB: {"+"}, token.MUL: {"/"}, token.QUO: {"*"}, token.REM: {"*"},
	token.SHL: {">>"}, token.SHR: {"<<"}, token.AND: {"|"}, token.OR: {"&"}, token.XOR: {"&"},
	token.INC: {"--"}, token.DEC: {"++"},
	token.ADD_ASSIGN: {"-="}, token.SUB_ASSIGN: {"+="},
}

// Words that are replaced by another: truth, limits, and the machine's states and inputs.
var words = map[string]string{
	"true": "false", "false": "true", "min": "max", "max": "min",
	"Init": "Backup", "Backup": "Master", "Master": "Init",
	"heard": "takeOver", "takeOver": "yield", "yield": "heard",
}

// mutantsOf makes all mutants of a file.
func mutantsOf(name string, src []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var mutants []mutant
	seen := map[identity]int{}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	for _, decl := range file.Decls {
		var stack []ast.Node
		function, in := declared(decl), hostOf(decl, offset)
		// change replaces the source from pos on, n bytes long.
		change := func(pos token.Pos, n int, by string) {
			at := offset(pos)
			unit := around(stack, pos)
			first, last := offset(unit.Pos()), offset(unit.End())
			id := identity{file: name, function: function, nth: 1,
				from: oneLine(string(src[first:last])),
				to:   oneLine(string(src[first:at]) + by + string(src[at+n:last])),
			}
			seen[id]++
			id.nth = seen[id]
			mutants = append(mutants, mutant{identity: id, at: at, n: n, by: by, host: in})
		}
		replace := func(e ast.Expr, by string) { change(e.Pos(), int(e.End()-e.Pos()), by) }
		ast.Inspect(decl, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			stack = append(stack, n)
			switch n := n.(type) {
			case *ast.BinaryExpr:
				for _, by := range operators[n.Op] {
					change(n.OpPos, len(n.Op.String()), by)
				}
			case *ast.IncDecStmt:
				change(n.TokPos, 2, operators[n.Tok][0])
			case *ast.AssignStmt:
				for _, by := range operators[n.Tok] {
					change(n.TokPos, len(n.Tok.String()), by)
				}
				if n.Tok == token.ASSIGN {
					change(n.Pos(), int(n.End()-n.Pos()), "")
				}
			case *ast.UnaryExpr:
				if n.Op == token.NOT || n.Op == token.SUB || n.Op == token.XOR {
					change(n.OpPos, 1, "")
				}
			case *ast.Ident:
				if by, ok := words[n.Name]; ok {
					replace(n, by)
				}
			case *ast.BasicLit:
				if v, err := strconv.ParseUint(n.Value, 0, 63); n.Kind == token.INT && err == nil {
					replace(n, strconv.FormatUint(v+1, 10))
					if v > 0 {
						replace(n, strconv.FormatUint(v-1, 10))
					}
				}
			case *ast.IfStmt:
				replace(n.Cond, "true || "+paren(src, offset, n.Cond))
				replace(n.Cond, "false && "+paren(src, offset, n.Cond))
			case *ast.ForStmt:
				if n.Cond != nil { // for ever would only show the time limit
					replace(n.Cond, "false && "+paren(src, offset, n.Cond))
				}
			case *ast.SwitchStmt:
				if n.Tag != nil {
					break
				}
				for _, s := range n.Body.List {
					for _, e := range s.(*ast.CaseClause).List {
						stack = append(stack, s)
						replace(e, "true || "+paren(src, offset, e))
						replace(e, "false && "+paren(src, offset, e))
						stack = stack[:len(stack)-1]
					}
				}
			case *ast.KeyValueExpr: // a table without one of its entries
				if v, ok := n.Value.(*ast.CompositeLit); ok && v.Type == nil {
					replace(v, "{}")
				}
			case *ast.ExprStmt:
				change(n.Pos(), int(n.End()-n.Pos()), "")
			}
			return true
		})
	}
	return mutants, nil
}

// declared names a declaration.
func declared(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		switch t := d.Recv.List[0].Type.(type) {
		case *ast.StarExpr:
			return fmt.Sprintf("(*%s).%s", t.X.(*ast.Ident).Name, d.Name.Name)
		case *ast.Ident:
			return t.Name + "." + d.Name.Name
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				return s.Names[0].Name
			case *ast.TypeSpec:
				return s.Name.Name
			}
		}
	}
	return "-"
}

// hostOf describes a function or a variable; nil for what is neither, and for a function whose arguments cannot all be handed on.
func hostOf(d ast.Decl, offset func(token.Pos) int) *host {
	if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && len(g.Specs) == 1 {
		if v := g.Specs[0].(*ast.ValueSpec); len(v.Names) == 1 && len(v.Values) == 1 {
			return &host{start: offset(v.Values[0].Pos()), end: offset(v.Values[0].End()), called: v.Names[0].Name}
		}
		return nil
	}
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Type.TypeParams != nil {
		return nil
	}
	h := &host{
		start: offset(f.Pos()), end: offset(f.End()), name: offset(f.Name.Pos()), body: offset(f.Body.Lbrace) + 1,
		called: f.Name.Name, returns: f.Type.Results != nil,
	}
	if f.Recv != nil {
		if len(f.Recv.List[0].Names) == 0 {
			return nil
		}
		h.before = f.Recv.List[0].Names[0].Name + "."
	}
	var args []string
	for _, p := range f.Type.Params.List {
		if len(p.Names) == 0 {
			return nil
		}
		for _, n := range p.Names {
			if n.Name == "_" {
				return nil
			}
			args = append(args, n.Name)
		}
		if _, variadic := p.Type.(*ast.Ellipsis); variadic {
			args[len(args)-1] += "..."
		}
	}
	h.args = "(" + strings.Join(args, ", ") + ")"
	return h
}

// around returns the smallest thing that shows what a change at pos means: a simple statement, a condition, an entry of a table.
func around(stack []ast.Node, pos token.Pos) ast.Node {
	for i := len(stack) - 1; i >= 0; i-- {
		within := func(e ast.Expr) bool { return e != nil && e.Pos() <= pos && pos < e.End() }
		switch n := stack[i].(type) {
		case *ast.AssignStmt, *ast.ExprStmt, *ast.ReturnStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.DeclStmt, *ast.ValueSpec,
			*ast.Field, *ast.TypeSpec, *ast.KeyValueExpr:
			return n
		case *ast.IfStmt:
			if within(n.Cond) {
				return n.Cond
			}
		case *ast.ForStmt:
			if within(n.Cond) {
				return n.Cond
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				if within(e) {
					return e
				}
			}
		}
	}
	return stack[0]
}

// paren returns the source of an expression in brackets. It stays in the mutant, so that what it uses is still used.
func paren(src []byte, offset func(token.Pos) int, e ast.Expr) string {
	return "(" + string(src[offset(e.Pos()):offset(e.End())]) + ")"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
