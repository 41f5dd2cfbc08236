package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/dockerfile"
	"github.com/matrx/sandbox/catalog/recipe"
)

// imagesGraph is `sandbox images graph`.
type imagesGraph struct {
	inCheckout
	Format string `enum:"tree,mermaid" default:"tree" help:"tree (text) or mermaid (for a Markdown page)."`
}

func (c *imagesGraph) Run() error {
	_, images, err := c.family()
	if err != nil {
		return err
	}
	if c.Format == "mermaid" {
		fmt.Print(images.Mermaid())
	} else {
		fmt.Print(images.Tree())
	}
	return nil
}

// imagesCheck is `sandbox images check`.
type imagesCheck struct {
	inCheckout
	JSON bool     `name:"json" help:"Print one array of JSON: the lines that break a rule."`
	Name []string `arg:"" optional:"" help:"The images; all when none is named."`
}

// exitBroken is the code when a file breaks a rule.
const exitBroken = 1

func (c *imagesCheck) Run() error {
	at, images, err := c.family()
	if err != nil {
		return failure{exitBroken, err} // every mistake in every image.yaml
	}
	names := c.Name
	if len(names) == 0 {
		names = images.Names()
	}
	problems := []dockerfile.Problem{}
	for _, name := range names {
		if _, err := images.Image(name); err != nil {
			return err
		}
		found, err := recipe.Check(at.FS(), images, name)
		if err != nil {
			return failure{exitBroken, err}
		}
		problems = append(problems, found...)
	}
	// What no rule says but building needs: that it can be told what the images are made of.
	if _, err := recipe.Load(at.FS(), images, "amd64"); err != nil {
		return failure{exitBroken, err}
	}
	if c.JSON {
		if err := printJSON(problems); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Println(p)
		}
	}
	if len(problems) > 0 {
		return failure{exitBroken, fmt.Errorf("%d lines break a rule of the family", len(problems))}
	}
	if !c.JSON {
		fmt.Fprintf(os.Stderr, "sandbox: %d images keep the rules\n", len(names))
	}
	return nil
}

// marshalBeside writes the fields of a manifest and others into one object.
func marshalBeside(m *catalog.Manifest, beside any) ([]byte, error) {
	first, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	second, err := json.Marshal(beside)
	if err != nil {
		return nil, err
	}
	if len(second) < 3 || len(first) < 3 {
		return nil, errors.New("cannot join two objects of which one is empty")
	}
	return append(append(first[:len(first)-1], ','), second[1:]...), nil
}
