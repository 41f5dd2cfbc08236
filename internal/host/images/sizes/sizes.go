// Package sizes measures images: what each takes, what of that its parent gives and what
// the image itself adds, layer by layer, unpacked and as a registry sends it, and which
// packages are the largest.
//
// A layer never changes, so what was measured of it is kept in a file by its digest.
package sizes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/internal/host/images/layers"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// Layer is one layer of an image.
type Layer struct {
	DiffID  string `json:"diff_id"`
	Command string `json:"command"` // what made it, as the image's history has it
	Parents bool   `json:"parents"` // the parent has it too
	layers.Contents
}

// Image is what an image takes.
type Image struct {
	Name      string  `json:"name"`
	Reference string  `json:"reference"`
	Parent    string  `json:"parent,omitempty"`
	Layers    []Layer `json:"layers"`
	// Sums of the layers.
	Unpacked      int64 `json:"unpacked"`
	Packed        int64 `json:"packed"`
	GivenUnpacked int64 `json:"given_unpacked"` // by the parent
	GivenPacked   int64 `json:"given_packed"`
}

// Adds is what the image itself takes.
func (i Image) Adds() (unpacked, packed int64) {
	return i.Unpacked - i.GivenUnpacked, i.Packed - i.GivenPacked
}

// Subject is an image to be measured, and the one that it extends.
type Subject struct {
	Name, Reference, Parent, ParentReference string
}

// source is where images come from; the engine, but for tests.
type source interface {
	Inspect(ctx context.Context, ref string) (store.Image, error)
	Export(ctx context.Context, ref, dir string) (v1.Image, error)
}

// Measure reads one image. Layers that were measured before are not read again; cache is the
// folder that has them.
func Measure(ctx context.Context, s source, subject Subject, cache string) (Image, error) {
	out := Image{Name: subject.Name, Reference: subject.Reference, Parent: subject.Parent}
	im, err := s.Inspect(ctx, subject.Reference)
	if err != nil {
		return out, err
	}
	given := 0
	var parent store.Image
	if subject.Parent != "" {
		parent, err = s.Inspect(ctx, subject.ParentReference)
		if err != nil {
			return out, err
		}
		for given < min(len(parent.Layers), len(im.Layers)) && parent.Layers[given] == im.Layers[given] {
			given++
		}
	}
	contents, commands, err := all(ctx, s, subject.Reference, im, cache)
	if err != nil {
		return out, err
	}
	if given == len(parent.Layers)-1 && given < len(commands) {
		// It was built from another state of the parent, whose last layer is sandbox-init.
		_, theirs, err := all(ctx, s, subject.ParentReference, parent, cache)
		if err != nil {
			return out, err
		}
		if commands[given] == theirs[given] && strings.Contains(commands[given], "sandbox-init") {
			given++
		}
	}
	for i, c := range contents {
		l := Layer{DiffID: im.Layers[i], Parents: i < given, Contents: c, Command: commands[i]}
		out.Layers = append(out.Layers, l)
		out.Unpacked += c.Unpacked
		out.Packed += c.Packed
		if l.Parents {
			out.GivenUnpacked += c.Unpacked
			out.GivenPacked += c.Packed
		}
	}
	return out, nil
}

// known is what is kept of an image: the commands by layer; what a layer holds is kept by
// layer, since images share them.
type known struct {
	Commands []string `json:"commands"`
}

func all(ctx context.Context, s source, ref string, im store.Image, cache string) ([]layers.Contents, []string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, nil, err
	}
	contents := make([]layers.Contents, len(im.Layers))
	var k known
	missing, err := recall(cache, im.ID, &k)
	if err != nil {
		return nil, nil, err
	}
	for i, id := range im.Layers {
		no, err := recall(cache, id, &contents[i])
		if err != nil {
			return nil, nil, err
		}
		missing = missing || no
	}
	if !missing && len(k.Commands) == len(im.Layers) {
		return contents, k.Commands, nil
	}

	dir, err := os.MkdirTemp(cache, "export-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	img, err := s.Export(ctx, ref, dir)
	if err != nil {
		return nil, nil, err
	}
	stack, err := img.Layers()
	if err != nil {
		return nil, nil, err
	}
	if len(stack) != len(im.Layers) {
		return nil, nil, fmt.Errorf("%s changed while it was read: measure it again", ref)
	}
	for i, l := range stack {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if no, err := recall(cache, im.Layers[i], &contents[i]); err != nil {
			return nil, nil, err
		} else if !no {
			continue
		}
		if contents[i], err = layers.ContentsOf(l); err != nil {
			return nil, nil, fmt.Errorf("cannot measure %s: %w", ref, err)
		}
		if err := keep(cache, im.Layers[i], contents[i]); err != nil {
			return nil, nil, err
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	k.Commands = make([]string, len(stack))
	n := 0
	for _, h := range config.History {
		if !h.EmptyLayer && n < len(stack) {
			k.Commands[n] = h.CreatedBy
			n++
		}
	}
	return contents, k.Commands, keep(cache, im.ID, k)
}

func file(cache, id string) string {
	return filepath.Join(cache, filepath.Base(id[len("sha256:"):])+".json")
}

// recall reads what was kept; what cannot be read was not kept.
func recall(cache, id string, v any) (missing bool, err error) {
	data, err := os.ReadFile(file(cache, id))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	return json.Unmarshal(data, v) != nil, nil
}

// keep writes whole files or none.
func keep(cache, id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(cache, "new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file(cache, id))
}
