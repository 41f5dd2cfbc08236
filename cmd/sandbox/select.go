package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/matrx/sandbox/catalog"
)

// selectCommand is `sandbox select`. It needs neither an engine nor a checkout.
type selectCommand struct {
	inCatalog

	Task       string   `placeholder:"TASK" help:"What is to be done: research, web_scraping, python_dev, ... (--list tasks)."`
	Runtime    string   `placeholder:"RUNTIME" help:"A runtime, with or without a version: python, python>=3.12, node22, zsh (--list runtimes)."`
	Capability []string `placeholder:"NAME" help:"What the image must be able to do (--list capabilities). Repeatable."`
	Tool       []string `sep:"none" placeholder:"NAME" help:"A command that it must have, with or without a version: jq, npm>=10 (--list tools). Repeatable."`
	Prefer     []string `placeholder:"IMAGE" help:"An image to take if it has all that is asked, although another is smaller; the dearest first. Repeatable."`
	Untested   bool     `help:"Also take registered images that the suite has not passed."`

	Variant string `placeholder:"NAME" help:"Only print the reference of an image of the family, by its short name (--list variants)."`
	Version string `placeholder:"VERSION" help:"The version of --variant; latest when not given."`

	Registry string `placeholder:"BASE" help:"What goes before the references of the family's images, as registry.example.com/team."`

	List    string `enum:"tasks,runtimes,capabilities,tools,variants," default:"" placeholder:"WHAT" help:"Only list what can be asked for: tasks, runtimes, capabilities, tools or variants."`
	JSON    bool   `name:"json" xor:"form" help:"Print one object of JSON."`
	Explain bool   `xor:"form" help:"Print the table of all images, and why each lost."`
	Quiet   bool   `short:"q" xor:"form" help:"Print the image's reference alone."`
}

// inCatalog are the flags of every command that looks at what can be selected.
type inCatalog struct {
	Root string `name:"root" type:"path" placeholder:"DIR" help:"Take the family from this checkout; the one that this program was built from when not given."`
}

// offer is the family without the user's images.
func (c inCatalog) offer() (*catalog.Offer, error) {
	if c.Root == "" {
		return catalog.Builtin()
	}
	_, images, err := inCheckout(c).family()
	if err != nil {
		return nil, err
	}
	return images.Offer()
}

// whole is the family and the user's images.
func (c inCatalog) whole() (*catalog.Offer, error) {
	family, err := c.offer()
	if err != nil {
		return nil, err
	}
	file, err := catalog.UserFile()
	if err != nil {
		return nil, err
	}
	user, err := catalog.ReadUser(file)
	if err != nil {
		return nil, err
	}
	return family.With(user)
}

// exitRefused is the code when no image has what is asked.
const exitRefused = 1

func (c *selectCommand) Run() error {
	o, err := c.whole()
	if err != nil {
		return err
	}
	switch {
	case c.List != "":
		return c.list(o)
	case c.Variant != "":
		if c.Task != "" || c.Runtime != "" || len(c.Capability)+len(c.Tool) > 0 {
			return failure{exitUsage, errors.New("--variant names the image; it cannot be used with --task, --runtime, --capability or --tool")}
		}
		reference, err := o.Resolve(c.Registry, catalog.Variant{Variant: c.Variant, Version: c.Version})
		if err != nil {
			return c.refused(err)
		}
		if c.JSON {
			return printJSON(map[string]string{"variant": c.Variant, "reference": reference})
		}
		fmt.Println(reference)
		return nil
	case c.Version != "":
		return failure{exitUsage, errors.New("--version is the version of a --variant")}
	}
	s, err := o.Select(catalog.Request{
		Task: c.Task, Runtime: c.Runtime, Capabilities: c.Capability, Tools: c.Tool, Prefer: c.Prefer, Untested: c.Untested, Registry: c.Registry,
	})
	switch {
	case err != nil:
		return c.refused(err)
	case c.JSON:
		return printJSON(s)
	case c.Quiet:
		fmt.Println(s.Reference)
		return nil
	case c.Explain:
		return explain(s)
	}
	return tell(s)
}

// refused says why nothing is selected; as JSON too, so that a program need not read prose.
func (c *selectCommand) refused(err error) error {
	refusals := catalog.Refusals(err)
	if len(refusals) == 0 {
		return err
	}
	code := exitRefused
	if refusals[0].Kind == catalog.AskedNothing {
		code = exitUsage
	}
	if !c.JSON {
		return failure{code, err}
	}
	if err := printJSON(map[string]any{"refused": refusals}); err != nil {
		return err
	}
	return exitCode(code)
}

func tell(s catalog.Selection) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "image\t%s\n", s.Reference)
	fmt.Fprintf(w, "version\t%s\n", s.Version)
	if s.Registered {
		fmt.Fprintf(w, "digest\t%s\n", s.Digest)
		fmt.Fprintf(w, "suite\t%s\n", s.Suite)
	}
	fmt.Fprintf(w, "access\t%s\n", s.Access)
	l := s.Limits
	fmt.Fprintf(w, "limits\t%s\n", describeDefaults(l))
	fmt.Fprintf(w, "because\t%s\n", s.Reason)
	return w.Flush()
}

// explain prints the candidates, the selected one first.
func explain(s catalog.Selection) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tVERSION\tSIZE\tFITS\tWHY")
	row := func(reference, version string, size int, fits bool, why string) {
		mb, yes := "-", "no"
		if size > 0 {
			mb = fmt.Sprintf("%d MB", size)
		}
		if fits {
			yes = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", reference, version, mb, yes, why)
	}
	row(s.Reference, s.Version, s.SizeMB, true, "selected: "+s.Reason)
	for _, a := range s.Alternatives {
		row(a.Reference, a.Version, a.SizeMB, a.Fits, a.Lost)
	}
	return w.Flush()
}

// list prints what can be asked for.
func (c *selectCommand) list(o *catalog.Offer) error {
	var names []string
	switch c.List {
	case "tasks":
		tasks := o.Tasks()
		if c.JSON {
			return printJSON(tasks)
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
		for _, name := range slices.Sorted(maps.Keys(tasks)) {
			t := tasks[name]
			fmt.Fprintf(w, "%s\t%s\t%s\n", strings.Join(append([]string{name}, t.Also...), ", "), t.Description, strings.Join(slices.Concat(t.Capabilities, t.Tools), " "))
		}
		return w.Flush()
	case "runtimes":
		names = o.Runtimes()
	case "capabilities":
		names = o.Capabilities()
	case "tools":
		names = o.Tools()
	case "variants":
		names = o.Variants()
	}
	if c.JSON {
		return printJSON(names)
	}
	fmt.Println(strings.Join(names, "\n"))
	return nil
}

// describeDefaults is what an image asks for.
func describeDefaults(l catalog.Limits) string {
	s := fmt.Sprintf("%d MB, %g CPUs, %d s, %d processes", l.MemoryMB, l.CPUCores, l.TimeoutSeconds, l.MaxProcesses)
	if l.DiskMB != 0 {
		s += fmt.Sprintf(", %d MB of disk", l.DiskMB)
	}
	return s
}
