package rebase

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/matrx/sandbox/internal/host/images/layers"
)

// initBinary is where sandbox-init lies in an image, below the root.
const initBinary = "usr/local/bin/sandbox-init"

// Refusal is why an image cannot be put onto another parent: all reasons that were found.
type Refusal struct{ Reasons []string }

// most reasons are named; the rest is counted.
const most = 10

func (r *Refusal) Error() string {
	text := strings.Join(r.Reasons[:min(most, len(r.Reasons))], "\n  ")
	if more := len(r.Reasons) - most; more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return "it must be built again, because\n  " + text
}

func refuse(format string, args ...any) error {
	return &Refusal{[]string{fmt.Sprintf(format, args...)}}
}

// Rebase replaces the old parent below an image by the new one. Labels that the image has
// from its parent become the new parent's. Where it is not right, the error is a *Refusal.
func Rebase(image, oldParent, newParent v1.Image) (Rebased, error) {
	var configs [3]*v1.ConfigFile
	for i, img := range []v1.Image{image, oldParent, newParent} {
		c, err := img.ConfigFile()
		if err != nil {
			return Rebased{}, fmt.Errorf("cannot read an image's configuration: %w", err)
		}
		configs[i] = c
	}
	var reasons []string
	reasons = append(reasons, sameParent(configs[1], configs[2])...)
	reasons = append(reasons, inherited(configs[1], configs[2])...)
	health, err := healthchecks(oldParent, newParent)
	if err != nil {
		return Rebased{}, err
	}
	reasons = append(reasons, health...)

	below, top, err := split(image, oldParent)
	if err != nil {
		return Rebased{}, err
	}
	own, err := image.Layers()
	if err != nil {
		return Rebased{}, err
	}
	own = own[below : len(own)-top]
	news, err := newParent.Layers()
	if err != nil {
		return Rebased{}, err
	}
	olds, err := oldParent.Layers()
	if err != nil {
		return Rebased{}, err
	}
	var last v1.Layer
	if top == 1 {
		if len(news) == 0 {
			return Rebased{}, refuse("the new parent has no layers")
		}
		last = news[len(news)-1]
		alone, err := holdsInitAlone(last)
		if err != nil {
			return Rebased{}, err
		}
		if !alone {
			return Rebased{}, refuse("the new parent's last layer is not sandbox-init alone, as the old one's is")
		}
	}
	differ, err := layers.Differences(olds[:len(olds)-top], news[:len(news)-top])
	if err != nil {
		return Rebased{}, err
	}
	conflicts, err := touched(own, differ)
	if err != nil {
		return Rebased{}, err
	}
	if reasons = append(reasons, conflicts...); len(reasons) > 0 {
		return Rebased{}, &Refusal{reasons}
	}
	all := append(append([]v1.Layer{}, news[:len(news)-top]...), own...)
	steps := append(histories(configs[2], len(news))[:len(news)-top], histories(configs[0], below+len(own)+top)[below:]...)
	if top == 1 {
		all = append(all, last)
	}
	config := configs[0].DeepCopy()
	config.Config.Labels = labels(configs[0], configs[1], configs[2])
	if config.Created.Before(configs[2].Created.Time) {
		config.Created = configs[2].Created
	}
	if config, err = restack(config, all, steps); err != nil {
		return Rebased{}, err
	}
	raw, err := image.RawConfigFile()
	if err != nil {
		return Rebased{}, err
	}
	return Rebased{Config: config, Layers: all, Own: len(own), raw: raw}, nil
}

// Rebased is an image on its new parent: a configuration and the layers that it names. It
// is no v1.Image, because the digest of one asks for its layers compressed, which an engine
// does not.
type Rebased struct {
	Config *v1.ConfigFile
	Layers []v1.Layer
	Own    int // layers that are the image's own; the others are the new parent's
	raw    []byte
}

// RawConfig is the configuration as an engine takes it: what the image's own had and this
// program does not know is kept.
func (r Rebased) RawConfig() ([]byte, error) {
	var whole, inner map[string]json.RawMessage
	if err := json.Unmarshal(r.raw, &whole); err != nil {
		return nil, fmt.Errorf("cannot read an image's configuration: %w", err)
	}
	if err := json.Unmarshal(whole["config"], &inner); err != nil {
		return nil, fmt.Errorf("cannot read an image's configuration: %w", err)
	}
	for _, f := range []struct {
		in    map[string]json.RawMessage
		name  string
		value any
	}{
		{inner, "Labels", r.Config.Config.Labels},
		{whole, "rootfs", r.Config.RootFS},
		{whole, "history", r.Config.History},
		{whole, "created", r.Config.Created},
	} {
		text, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		f.in[f.name] = text
	}
	delete(whole, "moby.buildkit.buildinfo.v1") // it names the old parent
	text, err := json.Marshal(inner)
	if err != nil {
		return nil, err
	}
	whole["config"] = text
	return json.Marshal(whole)
}

// Image is the same for a registry.
func (r Rebased) Image() (v1.Image, error) {
	img, err := mutate.AppendLayers(empty.Image, r.Layers...)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, r.Config)
}

// split says how many of the image's layers are the old parent's, and how many on top (one
// or none) are another copy of the layer that was set aside.
func split(image, oldParent v1.Image) (below, top int, err error) {
	own, err := image.Layers()
	if err != nil {
		return 0, 0, err
	}
	olds, err := oldParent.Layers()
	if err != nil {
		return 0, 0, err
	}
	same, err := layers.Common(own, olds)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case len(olds) == 0:
		return 0, 0, refuse("the old parent has no layers")
	case same == len(olds):
		return same, 0, nil
	case same < len(olds)-1 || same >= len(own):
		return 0, 0, refuse("it was not built from that parent: only the first %d of the parent's %d layers are in it", same, len(olds))
	}
	for _, l := range []v1.Layer{olds[len(olds)-1], own[len(own)-1]} {
		alone, err := holdsInitAlone(l)
		if err != nil {
			return 0, 0, err
		}
		if !alone {
			return 0, 0, refuse("it was not built from that parent: only the first %d of the parent's %d layers are in it", same, len(olds))
		}
	}
	return same, 1, nil
}

// holdsInitAlone says whether a layer is sandbox-init and nothing else but the folders above it.
func holdsInitAlone(l v1.Layer) (bool, error) {
	found, others := false, false
	err := layers.Each(l, func(e layers.Entry, _ io.Reader) error {
		switch {
		case e.Gone || e.Opaque:
			others = true
		case e.Typeflag == tar.TypeDir:
			others = others || e.Path != "." && !strings.HasPrefix(initBinary, e.Path+"/")
		case e.Path == initBinary:
			found = true
		default:
			others = true
		}
		return nil
	})
	return found && !others, err
}

// step is a layer's part of an image's history: the entry of the layer itself, and those
// without a layer that follow it.
type step []v1.History

// histories cuts an image's history by its layers. What stands before the first layer goes
// with it. A history that does not fit the layers is no history.
func histories(config *v1.ConfigFile, n int) []step {
	out := make([]step, n)
	at := -1
	var first step
	for _, h := range config.History {
		if !h.EmptyLayer {
			at++
		}
		switch {
		case at < 0:
			first = append(first, h)
		case at >= n:
			return make([]step, n)
		default:
			out[at] = append(out[at], h)
		}
	}
	if at != n-1 {
		return make([]step, n)
	}
	if n > 0 {
		out[0] = append(first, out[0]...)
	}
	return out
}

// restack is a configuration for other layers. A history that does not fit is left out.
func restack(config *v1.ConfigFile, all []v1.Layer, steps []step) (*v1.ConfigFile, error) {
	config.History, config.RootFS = nil, v1.RootFS{Type: "layers"}
	known := true
	for _, s := range steps {
		known = known && len(s) > 0
	}
	if known {
		for _, s := range steps {
			config.History = append(config.History, s...)
		}
	}
	for _, l := range all {
		d, err := l.DiffID()
		if err != nil {
			return nil, err
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d)
	}
	return config, nil
}
