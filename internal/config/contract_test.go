package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// contractVariables reads the names from the source, so that none is forgotten here.
func contractVariables(t *testing.T) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../contract/env.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return true
	})
	if len(names) < 20 {
		t.Fatalf("only %d names found in the contract", len(names))
	}
	return names
}
