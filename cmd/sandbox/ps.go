package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
)

// psCommand is `sandbox ps`.
type psCommand struct {
	common
	All   bool `short:"a" help:"Those that have ended and left nothing, too."`
	JSON  bool `name:"json" help:"Print one array of JSON."`
	Quiet bool `short:"q" help:"Print the IDs alone."`
}

func (c *psCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	// A list does not fail for it, and a sandbox that needs the daemon gets one.
	if release, err := hostd.Revive(ctx, d, nil, false); err == nil {
		defer release()
	} else {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
	}
	entries, err := inventory.List(ctx, e, d, c.All)
	if slices.ContainsFunc(entries, func(s inventory.Entry) bool { return s.Running && s.Ended != nil && s.Dir == d }) {
		// One that had kept something was started again.
		if release, rerr := hostd.Revive(ctx, d, nil, true); rerr == nil {
			defer release()
		}
	}
	switch {
	case c.JSON:
		if entries == nil {
			entries = []inventory.Entry{}
		}
		if jerr := json.NewEncoder(os.Stdout).Encode(entries); jerr != nil {
			return jerr
		}
	case c.Quiet:
		for _, s := range entries {
			fmt.Println(s.SandboxID)
		}
	default:
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "SANDBOX\tUSER\tIMAGE\tCREATED\tSTATE")
		for _, s := range entries {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s ago\t%s\n", s.SandboxID, s.UserID, s.Image, age(s.Created), describe(s))
		}
		w.Flush()
	}
	return err // what could not be read, beside the rest
}

// open connects to the engine and opens the data directory.
func (c common) open(ctx context.Context) (*engine.Engine, datadir.Dir, error) {
	d, err := datadir.Open(c.DataDir)
	if err != nil {
		return nil, d, err
	}
	e, err := engine.Open(ctx)
	return e, d, err
}

func describe(s inventory.Entry) string {
	if s.Ended == nil {
		return s.State
	}
	text := fmt.Sprintf("%s (%d)", s.State, s.Ended.ExitCode)
	if s.Ended.Kept {
		text += ", unsaved changes kept"
	}
	return text
}

// age is 0 of a time that another clock gave, or one that was set back since.
func age(t time.Time) string {
	d := max(time.Since(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
