package main

import (
	"encoding/json"
	"os"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/images/checkout"
)

// imagesCommand is `sandbox images`: what it does with a checkout of this repository.
type imagesCommand struct {
	List    imagesList    `cmd:"" help:"List the images."`
	Show    imagesShow    `cmd:"" help:"Say all about an image."`
	Graph   imagesGraph   `cmd:"" help:"Draw which image extends which."`
	Check   imagesCheck   `cmd:"" help:"Check image.yaml and the Dockerfiles against the family's rules."`
	Plan    imagesPlan    `cmd:"" help:"Say which images a change rebuilds, and why."`
	Build   imagesBuild   `cmd:"" help:"Build images, parents first; unchanged ones are not built again."`
	Rebase  imagesRebase  `cmd:"" help:"Put an image onto a new version of its parent without building it."`
	Push    imagesPush    `cmd:"" help:"Publish images, each with the list of its contents."`
	Pull    imagesPull    `cmd:"" help:"Take published images into the engine."`
	Verify  imagesVerify  `cmd:"" help:"Read all of published images, and prove them whole."`
	Size    imagesSize    `cmd:"" help:"Measure images: by image and by layer, unpacked and compressed."`
	Refresh imagesRefresh `cmd:"" help:"Take up Debian's updates: rewrite images/debian.lock."`

	Register   imagesRegister   `cmd:"" help:"Add an image of your own to those that select chooses from. It is read, not run."`
	Unregister imagesUnregister `cmd:"" help:"Take an image of your own out again."`
}

// inCheckout are the flags of every command on a checkout.
type inCheckout struct {
	Root string `name:"root" type:"path" placeholder:"DIR" help:"The checkout; the one that the current folder is in when not given."`
}

// family reads the catalog of the checkout.
func (c inCheckout) family() (checkout.Checkout, *catalog.Catalog, error) {
	at, err := checkout.Find(c.Root)
	if err != nil {
		return at, nil, err
	}
	images, err := catalog.Load(at.FS())
	return at, images, err
}

// recipes reads how the images are built, too.
func (c inCheckout) recipes(arch string) (checkout.Checkout, *recipe.Set, error) {
	at, images, err := c.family()
	if err != nil {
		return at, nil, err
	}
	b, err := recipe.Load(at.FS(), images, arch)
	return at, b, err
}

// printJSON writes one document for programs.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
