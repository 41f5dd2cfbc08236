package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/images/rebase"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// ErrOnItAlready is an image that has that very parent.
var ErrOnItAlready = errors.New("it is on that parent already")

// Rebase puts an image of the engine onto another version of its parent, without building
// it: onto is a name of the family or a reference. It gets the tag of its inputs only when
// it and its new parent are made of what the checkout has.
func Rebase(ctx context.Context, store *store.Store, o Options, name, onto string) (_ Result, err error) {
	o.Names = []string{name}
	w, err := prepare(ctx, store, o)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, w.parents.close()) }()
	im, err := w.catalog.Image(name)
	if err != nil {
		return Result{}, err
	}
	if im.Extends == "" {
		return Result{}, fmt.Errorf("cannot rebase %s: it extends no image", name)
	}
	if _, err := w.catalog.Image(onto); err == nil {
		onto = catalog.Reference("", onto, "")
	}
	start := time.Now()
	image, err := store.Inspect(ctx, catalog.Reference("", name, ""))
	if err != nil {
		return Result{}, fmt.Errorf("cannot rebase %s: %w", name, err)
	}
	parent, err := store.Inspect(ctx, onto)
	if err != nil {
		return Result{}, fmt.Errorf("cannot rebase %s: %w", name, err)
	}
	r, err := w.rebase(ctx, name, im.Extends, image, parent)
	if err != nil {
		return r, fmt.Errorf("cannot rebase %s onto %s: %w", name, onto, err)
	}
	r.Took = time.Since(start)
	return r, nil
}

// rebase does it, and gives the result all its names.
func (w *work) rebase(ctx context.Context, name, parentName string, image, parent store.Image) (r Result, err error) {
	r.Image = name
	if on(image, parent) == whole || on(image, parent) == copied && image.Layers[len(image.Layers)-1] == parent.Layers[len(parent.Layers)-1] {
		return r, ErrOnItAlready
	}
	old, err := w.former(ctx, parentName, image)
	if err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", "sandbox-rebase-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	own, err := w.store.Export(ctx, image.ID, dir)
	if err != nil {
		return r, err
	}
	parents := make([]v1.Image, 2)
	for i, id := range []string{old.ID, parent.ID} {
		if parents[i], err = w.parents.get(ctx, id); err != nil {
			return r, err
		}
	}
	moved, err := rebase.Rebase(own, parents[0], parents[1])
	if err != nil {
		return r, err
	}
	config, err := moved.RawConfig()
	if err != nil {
		return r, err
	}
	unproven := catalog.Reference("", name, fmt.Sprintf("building-%d", os.Getpid()))
	if err := w.store.Take(ctx, config, moved.Layers, unproven); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.store.Untag(context.WithoutCancel(ctx), unproven)) }()
	made, err := w.store.Inspect(ctx, unproven)
	if err != nil {
		return r, err
	}
	same, err := w.unchanged(name, parentName, image, old)
	if err != nil {
		return r, err
	}
	if same && slices.Contains(parent.Tags, w.reference(parentName)) {
		r.Reference, r.Inputs = w.reference(name), w.digests[name]
		if err := w.store.Tag(ctx, made.ID, r.Reference); err != nil {
			return r, err
		}
	}
	r.Built, r.Rebased = true, true
	return r, w.finish(ctx, name, made, &r)
}

// instead rebases an image that would be built only because its parent is. It is nil when
// that is not so, or when the layers do not prove that it is right: then it is built.
func (w *work) instead(ctx context.Context, name string) (*Result, error) {
	im, err := w.catalog.Image(name)
	if err != nil || im.Extends == "" {
		return nil, err
	}
	image, err := w.store.Inspect(ctx, catalog.Reference("", name, ""))
	if errors.Is(err, store.ErrNoImage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parent, err := w.store.Inspect(ctx, w.reference(im.Extends))
	if err != nil {
		return nil, err
	}
	old, err := w.former(ctx, im.Extends, image)
	if errors.Is(err, errNoFormer) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if same, err := w.unchanged(name, im.Extends, image, old); err != nil || !same {
		return nil, err
	}
	r, err := w.rebase(ctx, name, im.Extends, image, parent)
	if _, refused := errors.AsType[*rebase.Refusal](err); refused || errors.Is(err, ErrOnItAlready) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot rebase %s: %w", name, err)
	}
	if r.Reference == "" { // another process built its parent again meanwhile
		return nil, nil
	}
	return &r, nil
}

// unchanged says whether an image that lies on an old parent is made of what the checkout
// has, that parent aside.
func (w *work) unchanged(name, parentName string, image, old store.Image) (bool, error) {
	tags := map[string]string{}
	for _, p := range w.recipes.Recipe(name).Parents {
		tags[p] = recipe.Tag(w.digests[p])
	}
	program, err := w.programDigest()
	if err != nil {
		return false, err
	}
	for _, was := range inputTags(old, parentName) {
		tags[parentName] = was
		// What it copied of sandbox-init was replaced.
		digest, err := w.recipes.On(name, tags, recipe.Inputs{Program: program, Args: w.args(name)})
		if err != nil {
			return false, err
		}
		if slices.Contains(inputTags(image, name), recipe.Tag(digest)) {
			return true, nil
		}
	}
	return false, nil
}

// inputTags are the tags of inputs that an image has.
func inputTags(im store.Image, name string) []string {
	var out []string
	for _, t := range im.Tags {
		if tag, ok := strings.CutPrefix(t, repository(name)+":"); ok && strings.HasPrefix(tag, recipe.TagPrefix) {
			out = append(out, tag)
		}
	}
	return out
}

var errNoFormer = errors.New("the engine no longer has the")

// How an image lies on another.
const (
	not    = iota
	copied // on all its layers but the last, which is sandbox-init: as core on base
	whole
)

func on(image, parent store.Image) int {
	n := len(parent.Layers)
	switch {
	case n == 0:
	case len(image.Layers) >= n && slices.Equal(image.Layers[:n], parent.Layers):
		return whole
	case n > 1 && len(image.Layers) >= n && slices.Equal(image.Layers[:n-1], parent.Layers[:n-1]):
		return copied
	}
	return not
}

// former finds the parent that an image was built from among those that the engine has.
func (w *work) former(ctx context.Context, parentName string, image store.Image) (store.Image, error) {
	tags, err := w.store.Tagged(ctx, repository(parentName), "")
	if err != nil {
		return store.Image{}, err
	}
	var second store.Image
	for _, t := range tags {
		im, err := w.store.Inspect(ctx, t)
		if errors.Is(err, store.ErrNoImage) {
			continue // it went meanwhile
		}
		if err != nil {
			return im, err
		}
		switch on(image, im) {
		case whole:
			return im, nil
		case copied:
			if second.ID == "" {
				second = im
			}
		}
	}
	if second.ID != "" {
		return second, nil
	}
	return second, fmt.Errorf("%w %s that it was built from, so what has changed in it cannot be told; build it again", errNoFormer, repository(parentName))
}
