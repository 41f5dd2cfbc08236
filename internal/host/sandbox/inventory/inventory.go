// Package inventory finds sandboxes: those whose containers an engine has, of every data
// directory, and those that a data directory remembers.
package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Entry is one sandbox.
type Entry struct {
	SandboxID string    `json:"sandbox_id"`
	UserID    string    `json:"user_id"`
	Image     string    `json:"image"`
	DataDir   string    `json:"data_dir"`
	Created   time.Time `json:"created"`

	// State is the phase of one that runs ("hydrate", "run", ...), "ready" while it is, and
	// the outcome of one that has ended.
	State   string         `json:"state"`
	Running bool           `json:"running"`
	Ended   *datadir.Ended `json:"ended,omitempty"`

	Container  string          `json:"container,omitempty"`
	Dir        datadir.Dir     `json:"-"`
	SandboxDir datadir.Sandbox `json:"-"`
	Record     datadir.Record  `json:"-"` // zero when there is a container without one
}

// errUnknown says that neither the engine nor the data directory knows a sandbox of that ID.
var errUnknown = errors.New("there is no such sandbox")

// Over says that it has ended and that nothing is left to do about its end.
func (e Entry) Over() bool {
	return !e.Running && e.Ended != nil && (e.Ended.Kept || e.Ended.Removed)
}

// Engine is what is asked of the engine.
type Engine interface {
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
}

// Inspector is what Entry.Inspect asks of the engine.
type Inspector interface {
	Inspect(ctx context.Context, id string) (engine.Container, error)
}

// Inspect asks for the sandbox's container as it is now; the zero one when there is none.
func (e Entry) Inspect(ctx context.Context, by Inspector) (engine.Container, error) {
	r, err := e.SandboxDir.Load()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return engine.Container{}, err
	}
	id := cmp.Or(r.Container, e.SandboxDir.ContainerName())
	c, err := by.Inspect(ctx, id)
	if errors.Is(err, engine.ErrNoContainer) || err == nil && r.Container == "" && c.Labels[contract.LabelDataDir] != e.DataDir {
		return engine.Container{}, nil
	}
	return c, err
}

// List gives all sandboxes, the oldest first: those that run or have kept something, and
// with all those that are remembered as well.
func List(ctx context.Context, e Engine, d datadir.Dir, all bool) ([]Entry, error) {
	containers, err := e.List(ctx, contract.LabelSandboxID)
	if err != nil {
		return nil, err
	}
	found := make(map[string]Entry)
	for _, c := range containers {
		if entry, ok := ofContainer(c); ok {
			found[entry.DataDir+"\x00"+entry.SandboxID] = entry
		}
	}
	records, err := d.Records()
	for _, r := range records {
		key := d.Path() + "\x00" + r.SandboxID
		if _, ok := found[key]; !ok {
			found[key] = ofRecord(d, r)
		}
	}
	var out []Entry
	for _, entry := range found {
		if all || entry.Running || entry.Ended == nil || entry.Ended.Kept {
			out = append(out, entry)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.SandboxID, b.SandboxID))
	})
	return out, err
}

// Find finds one sandbox, wherever its data directory is; one of d is found first.
func Find(ctx context.Context, e Engine, d datadir.Dir, id string) (Entry, error) {
	sandboxDir, err := d.Sandbox(id)
	if err != nil {
		return Entry{}, err
	}
	containers, err := e.List(ctx, contract.LabelSandboxID+"="+id)
	if err != nil {
		return Entry{}, err
	}
	var elsewhere *Entry
	for _, c := range containers {
		entry, ok := ofContainer(c)
		switch {
		case ok && entry.DataDir == d.Path():
			return entry, nil
		case ok && elsewhere == nil:
			elsewhere = &entry
		}
	}
	r, err := sandboxDir.Load()
	switch {
	case err == nil:
		return ofRecord(d, r), nil
	case !errors.Is(err, fs.ErrNotExist):
		return Entry{}, err
	case elsewhere != nil:
		return *elsewhere, nil
	}
	return Entry{}, fmt.Errorf("%w: %s; `sandbox ps --all` lists them", errUnknown, id)
}

// ofContainer gives the sandbox whose container it is; none of a container that only has a sandbox's
// labels, as one of an image that was committed from a sandbox has. What counts is the ID in the
// record. Where there is none, for a program was killed before it wrote one or the directory has gone, it
// is the name, which no other container can have.
func ofContainer(c engine.Container) (Entry, bool) {
	e := Entry{
		SandboxID: c.Labels[contract.LabelSandboxID], UserID: c.Labels[contract.LabelUserID], DataDir: c.Labels[contract.LabelDataDir],
		Image: c.Image, Created: c.Created, Running: c.Running, Container: c.ID, State: c.Status,
	}
	e.Dir = datadir.At(e.DataDir)
	var err error
	if e.SandboxDir, err = e.Dir.Sandbox(e.SandboxID); err != nil {
		return e, false
	}
	r, err := e.SandboxDir.Load()
	if err == nil {
		e.Record, e.Created, e.Ended = r, r.Created, r.Ended
	}
	if r.Container != "" && r.Container != c.ID || r.Container == "" && c.Name != e.SandboxDir.ContainerName() {
		return e, false
	}
	e.State = e.state()
	return e, true
}

func ofRecord(d datadir.Dir, r datadir.Record) Entry {
	e := Entry{SandboxID: r.SandboxID, UserID: r.UserID, Image: r.Image, DataDir: d.Path(), Created: r.Created, Ended: r.Ended, Dir: d, Record: r}
	e.SandboxDir, _ = d.Sandbox(r.SandboxID) // it was listed by this ID
	e.State = e.state()
	return e
}

func (e Entry) state() string {
	if e.Ended != nil && !e.Running {
		return string(e.Ended.Outcome)
	}
	if !e.Running {
		if e.Container == "" {
			return "preparing"
		}
		return "ending"
	}
	st, err := e.SandboxDir.State()
	switch {
	case err != nil:
		return "starting"
	case st.Ready:
		return "ready"
	}
	return string(st.Phase)
}
