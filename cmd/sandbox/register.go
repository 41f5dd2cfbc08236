package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/images/register"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// imagesRegister is `sandbox images register`.
type imagesRegister struct {
	inCatalog
	Reference string   `arg:"" placeholder:"REF" help:"The image, as an engine or a registry calls it."`
	Task      []string `sep:"none" placeholder:"TASK" help:"Select it for this task before others. TASK=CAPABILITY,... is a new task of your own, and what it needs. Repeatable."`
	Runtime   []string `sep:"none" placeholder:"RUNTIME" help:"Select it for this runtime before others. Repeatable."`
	From      string   `enum:"auto,engine,registry" default:"auto" help:"Where to read it: engine, registry, or auto: the engine if it has it."`
	JSON      bool     `name:"json" help:"Print one object of JSON on what was registered."`
}

func (c *imagesRegister) Run(ctx context.Context) error {
	im, err := c.read(ctx)
	if err != nil {
		return fmt.Errorf("cannot register %s: %w", c.Reference, err)
	}
	manifest, doubts, err := im.Check()
	if err != nil {
		return fmt.Errorf("cannot register %s: %w", c.Reference, err)
	}
	family, err := c.offer()
	if err != nil {
		return err
	}
	file, err := catalog.UserFile()
	if err != nil {
		return err
	}
	r := catalog.Registered{
		Reference: c.Reference, Digest: im.Digest, Source: im.Source, SizeMB: im.SizeMB,
		Registered: time.Now().UTC().Truncate(time.Second), Manifest: string(im.Manifest),
	}
	if err := catalog.UpdateUser(file, func(u *catalog.User) error { return c.mapTo(family, u, &r) }); err != nil {
		return err
	}
	for _, d := range doubts {
		fmt.Fprintln(os.Stderr, "sandbox:", d)
	}
	entry, err := entryOf(r)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(entry)
	}
	fmt.Fprintf(os.Stderr, "sandbox: registered %s: %s %s, %s\n", r.Reference, manifest.Name, manifest.Version, entry.Suite)
	if entry.Suite != catalog.Conformant {
		fmt.Fprintf(os.Stderr, "sandbox: it is selected when `sandbox conformance %s` passes, or when --untested is asked for\n", r.Reference)
	}
	return nil
}

// read reads the image without running it.
func (c *imagesRegister) read(ctx context.Context) (*register.Image, error) {
	if c.From == "registry" {
		return register.FromRegistry(ctx, c.Reference)
	}
	local, err := store.Open(ctx)
	if err == nil {
		defer local.Close()
		var im *register.Image
		if im, err = register.FromEngine(ctx, local, c.Reference); err == nil {
			return im, nil
		}
		if !errors.Is(err, store.ErrNoImage) {
			return nil, err
		}
	}
	if c.From == "engine" {
		return nil, err
	}
	im, remote := register.FromRegistry(ctx, c.Reference)
	if remote != nil {
		return nil, errors.Join(err, remote)
	}
	return im, nil
}

// mapTo maps the image to its tasks and runtimes, and adds it to the user's catalog. What
// it was mapped to when it was registered before goes: a mapping is proven each time.
func (c *imagesRegister) mapTo(family *catalog.Offer, u *catalog.User, r *catalog.Registered) error {
	var tasks []string
	for _, t := range c.Task {
		name, needs, own := strings.Cut(t, "=")
		tasks = append(tasks, name)
		if !own {
			continue
		}
		if u.Tasks == nil {
			u.Tasks = map[string]catalog.Task{}
		}
		if name == "" || strings.ContainsAny(name, " ,=") || needs == "" {
			return failure{exitUsage, fmt.Errorf("cannot understand --task %q: it is a task's name, or NAME=CAPABILITY,... for one of your own", t)}
		}
		u.Tasks[name] = catalog.Task{Description: "of your own", Capabilities: strings.Split(needs, ",")}
	}
	offer, err := family.With(u)
	if err != nil {
		return err
	}
	if r.Tasks, r.Runtimes, err = offer.Map(r, tasks, c.Runtime); err != nil {
		return err
	}
	u.Put(*r)
	return nil
}

// imagesUnregister is `sandbox images unregister`.
type imagesUnregister struct {
	Reference string `arg:"" placeholder:"REF" help:"The image's reference, or its name if no other has it."`
}

func (c *imagesUnregister) Run() error {
	file, err := catalog.UserFile()
	if err != nil {
		return err
	}
	return catalog.UpdateUser(file, func(u *catalog.User) error {
		r := u.Find(c.Reference)
		if r == nil {
			var there []string
			for _, r := range u.Images {
				there = append(there, r.Reference)
			}
			return fmt.Errorf("cannot unregister %s: it is not registered, or its name is several images'; there are %q", c.Reference, there)
		}
		u.Remove(r.Reference)
		return nil
	})
}

// registered is an image of the user's own in a list.
type registered struct {
	*catalog.Manifest
	beside
}

// beside is what stands beside the manifest, which keeps its own fields.
type beside struct {
	Reference  string           `json:"reference"`
	Digest     string           `json:"digest"`
	Source     string           `json:"source"`
	Registered time.Time        `json:"registered"`
	Suite      catalog.Standing `json:"suite"`
	MappedTo   mapping          `json:"mapped_to"`
}

type mapping struct {
	Tasks    []string `json:"tasks"`
	Runtimes []string `json:"runtimes"`
}

func entryOf(r catalog.Registered) (registered, error) {
	m, err := r.Parse()
	if err != nil {
		return registered{}, err
	}
	standing, err := r.Standing()
	return registered{m, beside{
		r.Reference, r.Digest, r.Source, r.Registered, standing, mapping{append([]string{}, r.Tasks...), append([]string{}, r.Runtimes...)},
	}}, err
}

// MarshalJSON keeps what this version does not know of the manifest.
func (r registered) MarshalJSON() ([]byte, error) { return marshalBeside(r.Manifest, r.beside) }

// listRegistered is `sandbox images list --registered`.
func listRegistered(asJSON bool) error {
	file, err := catalog.UserFile()
	if err != nil {
		return err
	}
	u, err := catalog.ReadUser(file)
	if err != nil {
		return err
	}
	entries := []registered{}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "REFERENCE\tNAME\tVERSION\tSUITE\tTASKS\tRUNTIMES\tDIGEST")
	for _, r := range u.Images {
		e, err := entryOf(r)
		if err != nil {
			return err
		}
		entries = append(entries, e)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%.19s\n", e.Reference, e.Name, e.Version, e.Suite, dash(strings.Join(e.MappedTo.Tasks, ",")), dash(strings.Join(e.MappedTo.Runtimes, ",")), e.Digest)
	}
	if asJSON {
		return printJSON(entries)
	}
	return w.Flush()
}
