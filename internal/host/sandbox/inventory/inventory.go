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

	Container string          `json:"container,omitempty"`
	Dir       datadir.Dir     `json:"-"`
	Place     datadir.Sandbox `json:"-"`
	Record    datadir.Record  `json:"-"` // zero when there is a container without one
}

// ErrUnknown says that nobody knows a sandbox of that ID.
var ErrUnknown = errors.New("there is no such sandbox")

// Engine is what is asked of the engine.
type Engine interface {
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
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
		entry, err := ofContainer(c)
		if err == nil {
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

// Find finds one sandbox, wherever its data directory is.
func Find(ctx context.Context, e Engine, d datadir.Dir, id string) (Entry, error) {
	containers, err := e.List(ctx, contract.LabelSandboxID+"="+id)
	if err != nil {
		return Entry{}, err
	}
	for _, c := range containers {
		return ofContainer(c)
	}
	place, err := d.Sandbox(id)
	if err != nil {
		return Entry{}, err
	}
	r, err := place.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, fmt.Errorf("%w: %s; `sandbox ps --all` lists them", ErrUnknown, id)
	}
	if err != nil {
		return Entry{}, err
	}
	return ofRecord(d, r), nil
}

func ofContainer(c engine.Container) (Entry, error) {
	e := Entry{
		SandboxID: c.Labels[contract.LabelSandboxID], UserID: c.Labels[contract.LabelUserID], DataDir: c.Labels[contract.LabelDataDir],
		Image: c.Image, Created: c.Created, Running: c.Running, Container: c.ID, State: c.Status,
	}
	e.Dir = datadir.At(e.DataDir)
	var err error
	if e.Place, err = e.Dir.Sandbox(e.SandboxID); err != nil {
		return e, err
	}
	if r, err := e.Place.Load(); err == nil {
		e.Record, e.Created, e.Ended = r, r.Created, r.Ended
	}
	e.State = e.state()
	return e, nil
}

func ofRecord(d datadir.Dir, r datadir.Record) Entry {
	e := Entry{SandboxID: r.SandboxID, UserID: r.UserID, Image: r.Image, DataDir: d.Path(), Created: r.Created, Ended: r.Ended, Dir: d, Record: r}
	e.Place, _ = d.Sandbox(r.SandboxID) // it was listed by this ID
	e.State = e.state()
	return e
}

func (e Entry) state() string {
	if e.Ended != nil {
		return string(e.Ended.Outcome)
	}
	if !e.Running {
		if e.Container == "" {
			return "preparing"
		}
		return "ending"
	}
	st, err := e.Place.State()
	switch {
	case err != nil:
		return "starting"
	case st.Ready:
		return "ready"
	}
	return string(st.Phase)
}
