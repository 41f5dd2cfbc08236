package internal_test

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// interfaces are packages whose names are those of a protocol, whether or not each has a user here.
var interfaces = []string{"internal/execapi"}

// An exported function, variable or constant promises that another package needs it. Of the packages that
// only this repository can import, each name is needed indeed: by another package, or by tests in the
// package of its own name and _test. The constants of one declaration stand and fall together.
//
// This compares names by syntax alone, in a second or two for all files with any build tag. Types are left
// out, since a type can be needed without being named, and so are methods, which interfaces ask for.
func TestExportedNamesHaveUsers(t *testing.T) {
	tree := parseAll(t)
	used := map[string]bool{} // import path and name
	for _, f := range tree {
		for _, u := range f.uses() {
			used[u] = true
		}
	}
	seen := 0
	for _, f := range tree {
		if f.test || f.syntax.Name.Name == "main" || !within(path.Dir(f.name), "internal", "bench") || within(path.Dir(f.name), interfaces...) {
			continue
		}
		for _, group := range f.exports() {
			seen++
			if !slices.ContainsFunc(group, func(name string) bool { return used[f.path+"."+name] }) {
				t.Errorf("%s exports %s, which no other package uses: unexport it", f.name, strings.Join(group, ", "))
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d exported names were found: this test does not see what it judges", seen)
	}
}

// uses are the names of this repository's packages that the file has, as PATH.NAME.
func (f goFile) uses() []string {
	imported := map[string]string{} // by the name in this file
	var dot []string                // without a name
	for _, i := range f.syntax.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil || !strings.HasPrefix(p, module) {
			continue
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			dot = append(dot, p)
		}
		imported[name] = p
	}
	found := map[string]bool{}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && imported[x.Name] != "" {
				found[imported[x.Name]+"."+n.Sel.Name] = true
			}
		case *ast.Ident:
			for _, p := range dot {
				found[p+"."+n.Name] = true
			}
		}
		return true
	})
	return slices.Collect(maps.Keys(found))
}

// exports are the functions, variables and constants that the file exports; constants by declaration.
func (f goFile) exports() (groups [][]string) {
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() {
				groups = append(groups, []string{d.Name.Name})
			}
		case *ast.GenDecl:
			var group []string
			for _, s := range d.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for _, name := range v.Names {
					if name.IsExported() {
						group = append(group, name.Name)
					}
				}
			}
			if d.Tok == token.CONST && len(group) > 0 {
				groups = append(groups, group)
				continue
			}
			for _, name := range group {
				groups = append(groups, []string{name})
			}
		}
	}
	return groups
}
