package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/images/sizes"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// imagesSize is `sandbox images size`.
type imagesSize struct {
	inCheckout
	Name     []string `arg:"" optional:"" help:"The images; all when none is named."`
	Layers   bool     `xor:"form" help:"Also by layer, with the largest packages of each."`
	Markdown bool     `xor:"form" help:"Print the page docs/sizes.md."`
	JSON     bool     `name:"json" xor:"form" help:"Print one array of JSON."`
}

func (c *imagesSize) Run(ctx context.Context) error {
	at, images, err := c.family()
	if err != nil {
		return err
	}
	names := c.Name
	if len(names) == 0 {
		names = images.Names()
	}
	local, err := store.Open(ctx)
	if err != nil {
		return err
	}
	defer local.Close()
	measured := []sizes.Image{}
	for _, name := range names {
		im, err := images.Image(name)
		if err != nil {
			return err
		}
		subject := sizes.Subject{Name: name, Reference: catalog.Reference("", name, ""), Parent: im.Extends}
		if im.Extends != "" {
			subject.ParentReference = catalog.Reference("", im.Extends, "")
		}
		m, err := sizes.Measure(ctx, local, subject, filepath.Join(at.Dir, ".cache", "layers"))
		if err != nil {
			return err
		}
		measured = append(measured, m)
	}
	switch {
	case c.JSON:
		return printJSON(measured)
	case c.Markdown:
		return sizes.Markdown(os.Stdout, measured)
	}
	return sizes.Text(os.Stdout, measured, c.Layers)
}
