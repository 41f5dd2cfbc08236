package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// goFile is one file of this repository.
type goFile struct {
	name   string // from the repository's root
	path   string // its package's import path
	test   bool
	syntax *ast.File
	fset   *token.FileSet
}

// parseAll reads all Go files of this repository, of any module and with any build tag.
func parseAll(t *testing.T) []goFile {
	t.Helper()
	fset := token.NewFileSet()
	var out []goFile
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != ".."):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		syntax, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return nil //nolint:nilerr // the compiler's business
		}
		name = strings.TrimPrefix(name, "../")
		out = append(out, goFile{name, module + path.Dir(name), strings.HasSuffix(name, "_test.go"), syntax, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
