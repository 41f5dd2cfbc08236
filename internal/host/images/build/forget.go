package build

import (
	"context"
	"errors"
	"slices"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// kept is how many images by digest of inputs stay, so that going back to a former state
// of the checkout is no build, and the disk does not fill.
const kept = 3

// forget takes the tags of older inputs away. What an image still lies on is kept beyond their
// number: without it that image could not be rebased, and its layers stay with or without a name.
func (w *work) forget(ctx context.Context, name, current string) error {
	tags, err := w.store.Tagged(ctx, repository(name), recipe.TagPrefix)
	if err != nil {
		return err
	}
	tags = slices.DeleteFunc(tags, func(t string) bool { return t == current })
	if len(tags) < kept {
		return nil
	}
	above, err := w.above(ctx, name)
	if err != nil {
		return err
	}
	for _, t := range tags[kept-1:] {
		im, err := w.store.Inspect(ctx, t)
		if errors.Is(err, store.ErrNoImage) {
			continue // it went meanwhile
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(above, func(child store.Image) bool { return on(child, im) == whole }) {
			continue
		}
		if err := w.store.Untag(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// above are the images that extend one, as they are now.
func (w *work) above(ctx context.Context, name string) (out []store.Image, err error) {
	for _, child := range w.catalog.Children(name) {
		im, err := w.store.Inspect(ctx, catalog.Reference("", child, ""))
		if errors.Is(err, store.ErrNoImage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, im)
	}
	return out, nil
}
