package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// imagesList is `sandbox images list`.
type imagesList struct {
	inCheckout
	JSON       bool `name:"json" help:"Print one array of JSON."`
	Registered bool `help:"List the images of your own that were registered, instead."`
}

// listed is an image in a list.
type listed struct {
	*catalog.Manifest
	Reference string `json:"reference"`
	Built     string `json:"built,omitempty"` // when the local one was; absent when there is none, or no engine
	Size      int64  `json:"size,omitempty"`
}

func (c *imagesList) Run(ctx context.Context) error {
	if c.Registered {
		return listRegistered(c.JSON)
	}
	_, images, err := c.family()
	if err != nil {
		return err
	}
	// A list of what there is to build needs no engine; with one, it says what was built.
	engine, err := store.Open(ctx)
	if err == nil {
		defer engine.Close()
	}
	var entries []listed
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tVERSION\tTIER\tEXTENDS\tACCESS\tSIZE\tBUILT\tDESCRIPTION")
	for _, name := range images.Names() {
		m, err := images.Manifest(name)
		if err != nil {
			return err
		}
		im, err := images.Image(name)
		if err != nil {
			return err
		}
		e := listed{Manifest: m, Reference: catalog.Reference("", name, "")}
		size, built := "-", "-"
		if engine != nil {
			local, err := engine.Inspect(ctx, e.Reference)
			switch {
			case errors.Is(err, store.ErrNoImage):
			case err != nil:
				return err
			default:
				e.Size, e.Built = local.Size, local.Created.UTC().Format("2006-01-02T15:04:05Z")
				size, built = megabytes(local.Size), age(local.Created)+" ago"
			}
		}
		entries = append(entries, e)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, m.Version, m.Tier, dash(im.Extends), m.Access, size, built, m.Description)
	}
	if c.JSON {
		return printJSON(entries)
	}
	return w.Flush()
}

// MarshalJSON keeps the manifest's own from hiding the fields beside it.
func (l listed) MarshalJSON() ([]byte, error) {
	m := *l.Manifest
	m.Extra = maps.Clone(m.Extra)
	return marshalBeside(&m, struct {
		Reference string `json:"reference"`
		Built     string `json:"built,omitempty"`
		Size      int64  `json:"size,omitempty"`
	}{l.Reference, l.Built, l.Size})
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// imagesShow is `sandbox images show`.
type imagesShow struct {
	inCheckout
	JSON bool   `name:"json" help:"Print one object of JSON."`
	Name string `arg:"" help:"The image: core, base, ml, ..."`
}

func (c *imagesShow) Run(ctx context.Context) error {
	_, recipes, err := c.recipes(runtime.GOARCH)
	if err != nil {
		return err
	}
	m, err := recipes.Catalog.Manifest(c.Name)
	if err != nil {
		return err
	}
	im, err := recipes.Catalog.Image(c.Name)
	if err != nil {
		return err
	}
	r := recipes.Recipe(c.Name)
	if c.JSON {
		return c.json(m, im, r.File, r.Files, r.Parents)
	}
	row := func(what, value string) { fmt.Printf("%-14s %s\n", what, value) }
	list := func(what string, values []string) { row(what, dash(strings.Join(values, " "))) }
	row("image", catalog.Reference("", c.Name, ""))
	row("description", m.Description)
	row("version", m.Version)
	row("tier", string(m.Tier))
	var line []string
	for _, a := range recipes.Catalog.Ancestors(c.Name) {
		line = append(line, a.Name)
	}
	list("extends", line)
	list("extended by", recipes.Catalog.Children(c.Name))
	row("contract", fmt.Sprintf("%s, profile %s", m.Contract.Version, m.Contract.Profile))
	row("access", string(m.Access))
	row("limits", describeDefaults(m.Limits))
	list("capabilities", m.Capabilities)
	list("tools", m.Tools)
	list("languages", m.Languages)
	list("tasks", m.Tasks)
	for _, k := range slices.Sorted(maps.Keys(m.Environment)) {
		row("environment", k+"="+m.Environment[k])
	}
	for _, o := range im.Options {
		row("option", o.Arg+": "+o.Description)
	}
	row("built by", r.File)
	list("made of", append(slices.Clone(r.Files), r.Parents...))
	return ctx.Err()
}

func (c *imagesShow) json(m *catalog.Manifest, im *catalog.Image, file string, files, parents []string) error {
	type option struct {
		Arg         string `json:"arg"`
		Description string `json:"description"`
	}
	options := []option{}
	for _, o := range im.Options {
		options = append(options, option{o.Arg, o.Description})
	}
	out, err := marshalBeside(m, struct {
		Reference string   `json:"reference"`
		Extends   string   `json:"extends"`
		Options   []option `json:"options"`
		File      string   `json:"dockerfile"`
		Files     []string `json:"files"`
		Parents   []string `json:"parents"`
	}{catalog.Reference("", im.Name, ""), im.Extends, options, file, files, parents})
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(out))
	return err
}
