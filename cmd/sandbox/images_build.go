package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/images/build"
	"github.com/matrx/sandbox/internal/host/images/checkout"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// imagesBuild is `sandbox images build`.
type imagesBuild struct {
	inCheckout
	Name         []string `arg:"" optional:"" help:"The images; what they are made of is built first."`
	All          bool     `xor:"which" help:"All images."`
	ChangedSince string   `name:"changed-since" xor:"which" placeholder:"REV" help:"Those that the changes since REV rebuild."`
	NoCache      bool     `name:"no-cache" help:"Build those that are named although they are unchanged, from their first instruction on."`
	Rebase       bool     `help:"Put an image of which the parent alone has changed onto the new one instead of building it, where the layers prove that right (see rebase)."`
	Jobs         int      `short:"j" placeholder:"N" help:"At most so many side by side; as many as the machine carries when not given."`
	Platform     string   `placeholder:"linux/ARCH" help:"The platform; it must be the engine's, since nothing is built by emulation."`
	With         []string `placeholder:"OPTION" help:"Build with an option of the image (see show); such an image gets the names given by --tag alone. Repeatable."`
	Tag          []string `placeholder:"VERSION" help:"One more version to call the images by, beside latest and their own. Repeatable."`
	Push         string   `placeholder:"REGISTRY" help:"Publish those that were asked for, when all are built."`
	JSON         bool     `name:"json" help:"Print one array of JSON on what was done."`
	Quiet        bool     `short:"q" help:"Say nothing when all went well."`
}

func (c *imagesBuild) Run(ctx context.Context) error {
	at, images, err := c.family()
	if err != nil {
		return err
	}
	names, err := c.names(ctx, at, images)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		fmt.Fprintf(os.Stderr, "sandbox: nothing that images are made of has changed since %s\n", c.ChangedSince)
		return nil
	}
	if err := build.EnsureEngine(ctx, at); err != nil {
		return err
	}
	local, err := store.Open(ctx)
	if err != nil {
		return err
	}
	defer local.Close()
	p := &buildProgress{terminal: terminal.Is(os.Stderr), quiet: c.Quiet, steps: map[string]string{}}
	results, err := build.Run(ctx, local, build.Options{
		Checkout: at, Names: names, NoCache: c.NoCache, Rebase: c.Rebase, Jobs: c.Jobs, Platform: c.Platform, With: c.With, Tags: c.Tag, Progress: p,
	})
	if c.JSON {
		if results == nil {
			results = []build.Result{}
		}
		err = errors.Join(printJSON(results), err)
	}
	if err != nil || c.Push == "" {
		return err
	}
	_, err = push(ctx, local, at, images, c.Push, slices.DeleteFunc(results, func(r build.Result) bool { return !slices.Contains(names, r.Image) }))
	return err
}

// names are the images that are asked for.
func (c *imagesBuild) names(ctx context.Context, at checkout.Checkout, images *catalog.Catalog) ([]string, error) {
	ways := 0
	for _, given := range []bool{c.All, c.ChangedSince != "", len(c.Name) > 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return nil, failure{exitUsage, errors.New("say which images to build: their names, --all, or --changed-since REV")}
	}
	switch {
	case c.All:
		return images.Names(), nil
	case len(c.Name) > 0:
		return c.Name, nil
	}
	recipes, err := recipe.Load(at.FS(), images, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	plan, err := planSince(ctx, at, recipes, c.ChangedSince)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range plan {
		names = append(names, r.Image)
	}
	return names, nil
}

// buildProgress tells of a build: a line when an image is begun and when it is ready; on a
// terminal also, in one line that the next replaces, at which step each one is.
type buildProgress struct {
	terminal, quiet bool

	mu    sync.Mutex
	order []string
	steps map[string]string
}

func (p *buildProgress) Started(image, log string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order = append(p.order, image)
	p.steps[image] = "begins"
	p.line("%s: building, log %s", image, log)
}

func (p *buildProgress) Step(image, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps[image] = what
	p.draw()
}

func (p *buildProgress) Ended(r build.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order = slices.DeleteFunc(p.order, func(s string) bool { return s == r.Image })
	switch {
	case r.Error != "":
		p.line("%s: failed", r.Image)
	case r.Rebased:
		p.line("%s: rebased in %s, %s, %s", r.Image, r.Took.Round(100*time.Millisecond), megabytes(r.Size), r.Reference)
	case r.Built:
		p.line("%s: built in %s, %s, %s", r.Image, r.Took.Round(100*time.Millisecond), megabytes(r.Size), r.Reference)
	default:
		p.line("%s: unchanged, %s, built %s ago, %s", r.Image, megabytes(r.Size), age(r.Created), r.Reference)
	}
}

func (p *buildProgress) line(format string, args ...any) {
	if p.quiet {
		return
	}
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	p.draw()
}

// draw shows the images that are being built, within the width of a terminal.
func (p *buildProgress) draw() {
	if !p.terminal || p.quiet || len(p.order) == 0 {
		return
	}
	each := max(20, terminal.Width(os.Stderr)/len(p.order)-3)
	var text string
	for i, image := range p.order {
		if i > 0 {
			text += " | "
		}
		text += cut(image+" "+p.steps[image], each)
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K%s", cut(text, terminal.Width(os.Stderr)-1))
}

func cut(s string, width int) string {
	if r := []rune(s); len(r) > width && width > 0 {
		return string(r[:width])
	}
	return s
}

// imagesRefresh is `sandbox images refresh`.
type imagesRefresh struct {
	inCheckout
	Image string `arg:"" optional:"" placeholder:"IMAGE@DIGEST" help:"Also replaces the image that base is built from."`
}

func (c *imagesRefresh) Run(ctx context.Context) error {
	at, err := checkout.Find(c.Root)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(at.Lock())
	if err != nil {
		return err
	}
	if err := build.RefreshLock(ctx, at, c.Image); err != nil {
		return err
	}
	after, err := os.ReadFile(at.Lock())
	if err != nil {
		return err
	}
	if string(before) == string(after) {
		fmt.Fprintln(os.Stderr, "sandbox: Debian has no updates since the lock was written")
		return nil
	}
	fmt.Fprintln(os.Stderr, "sandbox: images/debian.lock is new; every image is rebuilt from it")
	return nil
}
