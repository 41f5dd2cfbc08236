package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/images/build"
	"github.com/matrx/sandbox/internal/host/images/checkout"
	"github.com/matrx/sandbox/internal/host/images/publish"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// inRegistry are the flags of every command on published images.
type inRegistry struct {
	inCheckout
	Registry string   `required:"" env:"SANDBOX_REGISTRY" placeholder:"HOST[/PATH]" help:"The registry; with a path, the images lie below it. $SANDBOX_REGISTRY does as well."`
	Name     []string `arg:"" optional:"" help:"The images: core, base, ml, ..."`
	All      bool     `help:"All images."`
	JSON     bool     `name:"json" help:"Print one array of JSON."`
}

func (c inRegistry) names(images *catalog.Catalog) ([]string, error) {
	if c.All == (len(c.Name) > 0) {
		return nil, failure{exitUsage, errors.New("say which images: their names, or --all")}
	}
	if c.All {
		return images.Names(), nil
	}
	for _, n := range c.Name {
		if _, err := images.Image(n); err != nil {
			return nil, err
		}
	}
	return c.Name, nil
}

// repository is where an image lies in a registry.
func repository(registry, image string) string {
	return strings.TrimSuffix(catalog.Reference(registry, image, "x"), ":x")
}

// imagesPush is `sandbox images push`.
type imagesPush struct{ inRegistry }

func (c *imagesPush) Run(ctx context.Context) error {
	at, images, err := c.family()
	if err != nil {
		return err
	}
	names, err := c.names(images)
	if err != nil {
		return err
	}
	local, err := store.Open(ctx)
	if err != nil {
		return err
	}
	defer local.Close()
	results, err := build.Current(ctx, local, build.Options{Checkout: at, Names: names})
	if err != nil {
		return err
	}
	pushed, err := push(ctx, local, at, images, c.Registry, results)
	if c.JSON {
		err = errors.Join(printJSON(pushed), err)
	}
	return err
}

// push publishes images that were found or built, parents first, so that each can name its
// parent's digest.
func push(ctx context.Context, local *store.Store, at checkout.Checkout, images *catalog.Catalog, registry string, results []build.Result) ([]publish.Pushed, error) {
	commit, err := at.Revision(ctx)
	if err != nil {
		return nil, err
	}
	pushed := []publish.Pushed{}
	for _, r := range results {
		p, err := pushOne(ctx, local, images, registry, commit, r)
		if err != nil {
			return pushed, err
		}
		pushed = append(pushed, p)
		fmt.Fprintf(os.Stderr, "%s: published %s, %s in %s@%s\n", r.Image, strings.Join(p.Versions, ", "), strings.Join(p.Platforms, " and "), p.Repository, p.Index)
	}
	return pushed, nil
}

func pushOne(ctx context.Context, local *store.Store, images *catalog.Catalog, registry, commit string, r build.Result) (publish.Pushed, error) {
	im, err := images.Image(r.Image)
	if err != nil {
		return publish.Pushed{}, err
	}
	dir, err := os.MkdirTemp("", "sandbox-export-")
	if err != nil {
		return publish.Pushed{}, err
	}
	defer os.RemoveAll(dir)
	img, err := local.Export(ctx, r.ID, dir)
	if err != nil {
		return publish.Pushed{}, err
	}
	request := publish.Request{
		Repository: repository(registry, r.Image), Versions: []string{catalog.DefaultVersion, im.Version}, Inputs: r.Inputs, Revision: commit,
	}
	if im.Extends != "" {
		request.Parent = repository(registry, im.Extends)
	}
	return publish.Push(ctx, img, request)
}

// imagesPull is `sandbox images pull`.
type imagesPull struct {
	inRegistry
	Version string `default:"latest" help:"The version (${default})."`
}

func (c *imagesPull) Run(ctx context.Context) error {
	_, images, err := c.family()
	if err != nil {
		return err
	}
	names, err := c.names(images)
	if err != nil {
		return err
	}
	local, err := store.Open(ctx)
	if err != nil {
		return err
	}
	defer local.Close()
	type pulled struct {
		Image     string `json:"image"`
		From      string `json:"from"`
		Reference string `json:"reference"`
		ID        string `json:"id"`
	}
	out := []pulled{}
	for _, n := range names {
		p := pulled{Image: n, From: catalog.Reference(c.Registry, n, c.Version), Reference: catalog.Reference("", n, c.Version)}
		if p.ID, err = pull(ctx, local, p.From, p.Reference); err != nil {
			return err
		}
		out = append(out, p)
		fmt.Fprintf(os.Stderr, "%s: %s is %s\n", n, p.Reference, p.ID)
	}
	if c.JSON {
		return printJSON(out)
	}
	return nil
}

// pull takes one image. It gets the tag of its inputs too, so that a build that would make
// the same one finds it.
func pull(ctx context.Context, local *store.Store, from, reference string) (id string, err error) {
	img, inputs, err := publish.Fetch(ctx, from, local.Arch())
	if err != nil {
		return "", err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	if err := local.Load(ctx, func(w io.Writer) error { return tarball.Write(tag, img, w) }); err != nil {
		return "", fmt.Errorf("cannot take %s: %w", from, err)
	}
	im, err := local.Inspect(ctx, reference)
	if err != nil {
		return "", err
	}
	// Whether the ID is the configuration's digest or the manifest's is the engine's choice;
	// the layers are what they are.
	same := slices.EqualFunc(im.Layers, config.RootFS.DiffIDs, func(a string, b v1.Hash) bool { return a == b.String() })
	if !same {
		return im.ID, fmt.Errorf("the engine has taken %s with other layers than %s has", reference, from)
	}
	if _, err := v1.NewHash(inputs); err != nil {
		return im.ID, nil //nolint:nilerr // published without a record of its inputs
	}
	repository, _, _ := strings.Cut(reference, ":")
	return im.ID, local.Tag(ctx, im.ID, repository+":"+recipe.Tag(inputs))
}

// imagesVerify is `sandbox images verify`.
type imagesVerify struct {
	inRegistry
	Version string `default:"latest" help:"The version (${default})."`
}

func (c *imagesVerify) Run(ctx context.Context) error {
	_, images, err := c.family()
	if err != nil {
		return err
	}
	names, err := c.names(images)
	if err != nil {
		return err
	}
	out := []publish.Verified{}
	var errs []error
	for _, n := range names {
		v, err := publish.Verify(ctx, catalog.Reference(c.Registry, n, c.Version), n)
		out = append(out, v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, p := range v.Platforms {
			fmt.Fprintf(os.Stderr, "%s: %s is whole, and holds what its list says: %s\n", n, p.Platform, counts(p.Packages))
		}
	}
	if c.JSON {
		errs = append(errs, printJSON(out))
	}
	if err := errors.Join(errs...); err != nil {
		return failure{exitBroken, err}
	}
	return nil
}

func counts(packages map[string]int) string {
	var out []string
	for _, k := range []struct{ kind, name string }{{"deb", "Debian"}, {"pypi", "Python"}, {"npm", "npm"}, {"golang", "Go"}} {
		if n := packages[k.kind]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, k.name))
		}
	}
	return strings.Join(out, ", ") + " packages"
}
