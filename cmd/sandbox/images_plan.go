package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/images/checkout"
)

// imagesPlan is `sandbox images plan`.
type imagesPlan struct {
	inCheckout
	Since        string   `required:"" placeholder:"REV" help:"What to compare the checkout with: a commit, a branch, a tag."`
	JSON         bool     `name:"json" xor:"form" help:"Print one object of JSON."`
	GithubMatrix bool     `name:"github-matrix" xor:"form" help:"Print one object of JSON with a matrix of GitHub Actions for each level."`
	Platform     []string `placeholder:"linux/ARCH" default:"linux/amd64,linux/arm64" help:"Platforms of the matrix (${default})."`
}

func (c *imagesPlan) Run(ctx context.Context) error {
	at, recipes, err := c.recipes(runtime.GOARCH)
	if err != nil {
		return err
	}
	plan, err := planSince(ctx, at, recipes, c.Since)
	if err != nil {
		return err
	}
	levels := recipe.Levels(plan)
	switch {
	case c.GithubMatrix:
		return c.matrix(levels)
	case c.JSON:
		if levels == nil {
			levels = [][]recipe.Rebuild{}
		}
		return printJSON(map[string]any{"since": c.Since, "levels": levels})
	case len(plan) == 0:
		fmt.Fprintf(os.Stderr, "sandbox: nothing that images are made of has changed since %s\n", c.Since)
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "LEVEL\tIMAGE\tBECAUSE OF")
	for _, r := range plan {
		fmt.Fprintf(w, "%d\t%s\t%s\n", r.Level, r.Image, because(r.Causes))
	}
	return w.Flush()
}

// planSince compares the checkout with a revision.
func planSince(ctx context.Context, at checkout.Checkout, recipes *recipe.Set, rev string) ([]recipe.Rebuild, error) {
	commit, err := at.Resolve(ctx, rev)
	if err != nil {
		return nil, err
	}
	before, err := at.At(ctx, commit)
	if err != nil {
		return nil, err
	}
	changed, err := at.Changed(ctx, commit)
	if err != nil {
		return nil, err
	}
	program, err := at.Program(ctx, before, changed)
	if err != nil {
		return nil, err
	}
	return recipes.Plan(recipe.Change{Before: before, Paths: changed, Program: program})
}

// because names the first causes of a rebuild.
func because(causes []recipe.Cause) string {
	const most = 3
	var out []string
	for _, c := range causes[:min(len(causes), most)] {
		out = append(out, c.Kind+" "+c.What)
	}
	if more := len(causes) - most; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}

// runners are GitHub's own machines by platform: arm64 is built on arm64.
var runners = map[string]string{"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"}

// job is one entry of a matrix.
type job struct {
	Image     string `json:"image"`
	Reference string `json:"reference"`
	Platform  string `json:"platform"`
	Runner    string `json:"runner"`
}

// matrix prints {"count":N,"levels":[{"include":[...]},...]}: a workflow takes
// fromJSON(plan).levels[0] as the matrix of its first job, and so on. A matrix without
// entries is a mistake to GitHub, so a level that is not there is not printed: the job of a
// level runs only if fromJSON(plan).count is larger.
func (c *imagesPlan) matrix(levels [][]recipe.Rebuild) error {
	type level struct {
		Include []job `json:"include"`
	}
	out := []level{}
	for _, images := range levels {
		var l level
		for _, r := range images {
			for _, p := range c.Platform {
				runner, ok := runners[p]
				if !ok {
					return failure{exitUsage, fmt.Errorf("there is no runner for %s: it is linux/amd64 or linux/arm64", p)}
				}
				l.Include = append(l.Include, job{r.Image, catalog.Reference("", r.Image, ""), p, runner})
			}
		}
		out = append(out, l)
	}
	return printJSON(map[string]any{"count": len(out), "levels": out})
}
