package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/access"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// inspectCommand is `sandbox inspect`.
type inspectCommand struct {
	common
	JSON bool   `name:"json" help:"Print one object of JSON."`
	ID   string `arg:"" help:"The sandbox."`
}

// inspected is what is told of one sandbox.
type inspected struct {
	inventory.Entry
	ImageID  string              `json:"image_id,omitempty"`
	Command  []string            `json:"command,omitempty"`
	Limits   datadir.Limits      `json:"limits,omitzero"`
	Disk     diskUse             `json:"disk"`
	Home     homeKind            `json:"home"`
	Access   datadir.Access      `json:"access,omitzero"`
	Confined datadir.Confinement `json:"confinement,omitzero"`
	Shares   access.Shares       `json:"shared_with_other_sandboxes,omitzero"` // of this machine
	Saved    *bool               `json:"saved,omitempty"`                      // of one that has ended: all that had changed is in S3
}

func (c *inspectCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	entry, err := inventory.Find(ctx, e, d, c.ID)
	if err != nil {
		return err
	}
	s := inspected{Entry: entry, ImageID: entry.Record.ImageID, Command: entry.Record.Command, Limits: entry.Record.Limits, Disk: useOfDisk(entry), Home: kindOfHome(entry.Record), Access: entry.Record.Access, Confined: entry.Record.Confinement,
		Shares: access.ReadShares("/proc/sys")}
	if entry.Ended != nil {
		saved := entry.Ended.Saved()
		s.Saved = &saved
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	return s.print(os.Stdout)
}

func (s inspected) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("sandbox", "%s", s.SandboxID)
	line("user", "%s", s.UserID)
	line("image", "%s", s.Image)
	if s.ImageID != "" {
		line("image's ID", "%s", s.ImageID)
	}
	if len(s.Command) > 0 {
		line("command", "%q", s.Command)
	}
	line("created", "%s", s.Created.Format(time.RFC3339))
	line("limits", "%s", describeLimits(s.Limits, s.Disk))
	line("home", "%s", s.Home)
	if s.Access.Mode != "" {
		line("access", "%s", strings.TrimSpace(string(s.Access.Mode)+" "+strings.Join(s.Access.Allow, ", ")))
	}
	if c := s.Confined; c.Seccomp != "" {
		root := "writable"
		if c.ReadOnlyRoot {
			root = "read-only"
		}
		line("root", "%s", root)
		line("seccomp", "%s", c.Seccomp)
		line("apparmor", "%s", c.AppArmor)
		if c.Runtime != "" {
			line("OCI runtime", "%s", c.Runtime)
		}
	}
	if d := devices(s.Record); d != "" {
		line("devices", "%s", d)
	}
	if low := s.Shares.Low(); low != "" {
		line("shared", "little with the other sandboxes of this machine: %s", low)
	}
	line("state", "%s", s.State)
	if s.Ended != nil {
		line("ended", "%s", s.Ended.At.Format(time.RFC3339))
		line("how", "%s", run.Sentence(s.Record))
	}
	return w.Flush()
}

// describeLimits leaves out what has no limit of its own.
func describeLimits(l datadir.Limits, d diskUse) string {
	if l == (datadir.Limits{}) {
		return "not known"
	}
	parts := []string{fmt.Sprintf("memory %d MB", l.Memory>>20), fmt.Sprintf("%g CPUs", l.CPUs), fmt.Sprintf("%d processes", l.Processes)}
	if l.Timeout != 0 {
		parts = append(parts, l.Timeout.String())
	}
	if l.OpenFiles != 0 {
		parts = append(parts, fmt.Sprintf("%d open files", l.OpenFiles))
	}
	if l.Tmp != 0 {
		parts = append(parts, fmt.Sprintf("%d MB of /tmp", l.Tmp>>20))
	}
	return strings.Join(append(parts, fmt.Sprintf("%d MB of /dev/shm", l.Shm>>20), "disk: "+d.String()), ", ")
}

// devices are what of the machine's hardware a sandbox was given.
func devices(r datadir.Record) string {
	given := slices.Clone(r.Devices)
	if r.GPUs != "" {
		given = append(given, "GPUs "+r.GPUs)
	}
	return strings.Join(given, ", ")
}
