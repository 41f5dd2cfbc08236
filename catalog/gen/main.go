// Command gen writes the files that are derived from images/*/image.yaml:
// go generate ./catalog/...
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/matrx/sandbox/catalog"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen ROOT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	tree := os.DirFS(root)
	c, err := catalog.Load(tree)
	if err != nil {
		return err
	}
	files, err := c.Generated(tree)
	if err != nil {
		return err
	}
	for path, content := range files {
		if err := os.WriteFile(filepath.Join(root, path), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
