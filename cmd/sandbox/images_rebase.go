package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/host/images/build"
	"github.com/matrx/sandbox/internal/host/images/rebase"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// imagesRebase is `sandbox images rebase`.
type imagesRebase struct {
	inCheckout
	Name string `arg:"" help:"The image."`
	Onto string `required:"" placeholder:"PARENT" help:"Its new parent: a name of the family (core), or a reference."`
	JSON bool   `name:"json" help:"Print one object of JSON."`
}

func (c *imagesRebase) Run(ctx context.Context) error {
	at, _, err := c.family()
	if err != nil {
		return err
	}
	local, err := store.Open(ctx)
	if err != nil {
		return err
	}
	defer local.Close()
	r, err := build.Rebase(ctx, local, build.Options{Checkout: at}, c.Name, c.Onto)
	switch {
	case errors.Is(err, build.ErrOnItAlready):
		fmt.Fprintf(os.Stderr, "%s: %v\n", c.Name, build.ErrOnItAlready)
		return nil
	case err != nil:
		if _, refused := errors.AsType[*rebase.Refusal](err); refused {
			return failure{exitBroken, err}
		}
		return err
	}
	if r.Reference == "" {
		fmt.Fprintf(os.Stderr, "%s: rebased in %s; it or its parent is not made of what the checkout has, so a build will build it again\n", c.Name, r.Took.Round(100*time.Millisecond))
	} else {
		fmt.Fprintf(os.Stderr, "%s: rebased in %s, %s, %s\n", c.Name, r.Took.Round(100*time.Millisecond), megabytes(r.Size), r.Reference)
	}
	if c.JSON {
		return printJSON(r)
	}
	return nil
}
