// Command sandbox-conformance proves that an image keeps the sandbox contract.
// `sandbox conformance` starts it; it is also the suite's S3. The suite's probe,
// sandbox-conformance-probe, must lie beside it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/conformance/deathwatch"
	"github.com/matrx/sandbox/conformance/reaper"
	"github.com/matrx/sandbox/conformance/report"
	"github.com/matrx/sandbox/conformance/s3"
)

// The exit codes.
const (
	exitConformant    = 0
	exitNotConformant = 1
	exitPartial       = 2
	exitError         = 3 // nothing could be judged: no engine, no image, a wrong option
)

type cli struct {
	Image    string   `arg:"" help:"Reference of the image; the engine must have it."`
	Profile  string   `help:"Profile of the contract: lifecycle, core. Default: what the image's manifest names, or its parent's."`
	Parent   string   `help:"The image that it extends. Default: the manifest's parent_image."`
	NoParent bool     `help:"It extends none."`
	Contract string   `help:"Only requirements that exist since at most this version of the contract. Default: what the manifest names."`
	Feature  []string `help:"Only requirements of this feature; repeatable."`
	Only     []string `help:"Only this requirement and what it needs; repeatable."`
	Skip     []string `help:"Not this requirement; repeatable. The verdict is then partial."`
	Checks   []string `type:"existingdir" placeholder:"DIR" help:"Directory of executables to run as the agent: 0 passes, 77 is unsupported, else standard error is the reason; repeatable."`
	Parallel int      `default:"4" help:"Checks side by side."`
	Report   string   `type:"path" placeholder:"DIR" help:"Write report.json, junit.xml and index.html there."`
	JSON     bool     `name:"json" help:"Print the report as JSON."`
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 {
		switch args[0] { // what the suite starts of itself
		case s3.Command:
			return serveS3(args[1:])
		case deathwatch.Command:
			return deathwatch.Main(args[1:])
		case reaper.Command:
			return reaper.Main(args[1:])
		}
	}
	for i, arg := range args { // -contract=1.0, as go test takes it
		if strings.HasPrefix(arg, "-contract") {
			args[i] = "-" + arg
		}
	}
	var c cli
	parser := kong.Must(&c, kong.Name("sandbox-conformance"), kong.UsageOnError(),
		kong.Description("Proves that an image keeps the sandbox contract. Exit codes: 0 conformant, 1 not conformant, 2 partial, 3 nothing could be judged."))
	if _, err := parser.Parse(args); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-conformance:", err)
		return exitError
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return c.judge(ctx)
}

func (c *cli) judge(ctx context.Context) int {
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	o := conformance.Options{
		Image: c.Image, Profile: c.Profile, Parent: c.Parent, NoParent: c.NoParent, Contract: c.Contract,
		Features: c.Feature, Only: c.Only, Skip: c.Skip, Parallel: c.Parallel, Programs: filepath.Dir(self),
	}
	for _, dir := range c.Checks {
		found, err := conformance.ChecksIn(dir)
		if err != nil {
			return fail(err)
		}
		o.Checks = append(o.Checks, found...)
	}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	if terminal {
		n := 0
		o.Progress = func(r conformance.Result) {
			n++
			fmt.Fprintf(os.Stderr, "\r\x1b[K%3d  %-10s %s", n, r.ID, r.Status)
		}
	}
	r, err := conformance.Execute(ctx, o)
	if terminal {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	if err != nil {
		return fail(err)
	}
	c.record(r)
	if c.Report != "" {
		if err := report.Dir(c.Report, r); err != nil {
			return fail(err)
		}
	}
	if c.JSON {
		err = report.JSON(os.Stdout, r)
	} else {
		err = report.Text(os.Stdout, r, term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "")
	}
	if err != nil {
		return fail(err)
	}
	switch r.Verdict {
	case conformance.Conformant:
		return exitConformant
	case conformance.Partial:
		return exitPartial
	}
	return exitNotConformant
}

func serveS3(args []string) int {
	if len(args) != 2 {
		return fail(fmt.Errorf("usage: sandbox-conformance %s DIR LOCK", s3.Command))
	}
	if err := deathwatch.Share(args[1]); err != nil {
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := s3.Serve(ctx, args[0]); err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "sandbox-conformance:", err)
	return exitError
}
