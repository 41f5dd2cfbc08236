package recipe

import (
	"io/fs"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/dockerfile"
)

// Check judges how an image is built by the family's rules.
func Check(root fs.FS, c *catalog.Catalog, name string) ([]dockerfile.Problem, error) {
	im, err := c.Image(name)
	if err != nil {
		return nil, err
	}
	file, target, err := place(root, name)
	if err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(root, file)
	if err != nil {
		return nil, err
	}
	f, err := dockerfile.Parse(file, data)
	if err != nil {
		return nil, err
	}
	rules := dockerfile.Rules{Target: target, Init: file == CoreFile}
	if im.Extends != "" {
		rules.Parent = catalog.Reference("", im.Extends, "")
		if parent, stage, err := place(root, im.Extends); err != nil {
			return nil, err
		} else if parent == file {
			rules.Stage = stage
		}
	}
	return f.Check(rules)
}
