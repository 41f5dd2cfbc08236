package rebase

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/internal/host/images/layers"
)

// inherited says where the configurations differ that an image inherits from its parent.
// Its own was made from the old one, and would not be by a build from the new one.
func inherited(old, now *v1.ConfigFile) []string {
	var out []string
	a, b := old.Config, now.Config
	for _, f := range []struct {
		name      string
		old, now  any
		different bool
	}{
		{"ENV", a.Env, b.Env, !slices.Equal(sorted(a.Env), sorted(b.Env))},
		{"ENTRYPOINT", a.Entrypoint, b.Entrypoint, !slices.Equal(a.Entrypoint, b.Entrypoint)},
		{"CMD", a.Cmd, b.Cmd, !slices.Equal(a.Cmd, b.Cmd)},
		{"USER", a.User, b.User, a.User != b.User},
		{"WORKDIR", a.WorkingDir, b.WorkingDir, a.WorkingDir != b.WorkingDir},
		{"STOPSIGNAL", a.StopSignal, b.StopSignal, a.StopSignal != b.StopSignal},
		{"SHELL", a.Shell, b.Shell, !slices.Equal(a.Shell, b.Shell)},
		{"ONBUILD", a.OnBuild, b.OnBuild, !slices.Equal(a.OnBuild, b.OnBuild)},
		{"VOLUME", a.Volumes, b.Volumes, !maps.Equal(a.Volumes, b.Volumes)},
		{"EXPOSE", a.ExposedPorts, b.ExposedPorts, !maps.Equal(a.ExposedPorts, b.ExposedPorts)},
		{"the platform", old.OS + "/" + old.Architecture, now.OS + "/" + now.Architecture, old.OS+"/"+old.Architecture != now.OS+"/"+now.Architecture},
	} {
		if f.different {
			out = append(out, fmt.Sprintf("%s of the parent was %q and is %q", f.name, f.old, f.now))
		}
	}
	return out
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// healthchecks compares the parents' as they are written: newer engines have fields that
// this program does not know.
func healthchecks(old, now v1.Image) ([]string, error) {
	var text [2]string
	for i, img := range []v1.Image{old, now} {
		raw, err := img.RawConfigFile()
		if err != nil {
			return nil, fmt.Errorf("cannot read a parent's configuration: %w", err)
		}
		var c struct {
			Config struct{ Healthcheck map[string]json.RawMessage } `json:"config"`
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("cannot read a parent's configuration: %w", err)
		}
		sorted, err := json.Marshal(c.Config.Healthcheck) // by name
		if err != nil {
			return nil, err
		}
		text[i] = string(sorted)
	}
	if text[0] == text[1] {
		return nil, nil
	}
	return []string{fmt.Sprintf("HEALTHCHECK of the parent was %s and is %s", text[0], text[1])}, nil
}

// touched says which of the differences between the parents an image's own layers stand in
// the way of.
func touched(own []v1.Layer, differ []layers.Difference) ([]string, error) {
	at := map[string]layers.Difference{}
	under := map[string]string{} // folder to a path below it that differs
	for _, d := range differ {
		at[d.Path] = d
		for dir := path.Dir(d.Path); ; dir = path.Dir(dir) {
			if _, ok := under[dir]; !ok {
				under[dir] = d.Path
			}
			if dir == "." {
				break
			}
		}
	}
	var out []string
	seen := map[string]bool{}
	say := func(p, format string, args ...any) {
		if !seen[p] {
			seen[p] = true
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for _, l := range own {
		err := layers.Each(l, func(e layers.Entry, _ io.Reader) error {
			does := "has"
			if e.Gone || e.Opaque {
				does = "takes away"
			}
			if _, ok := at[e.Path]; ok && !e.Opaque {
				say(e.Path, "/%s differs between the parents, and the image %s it", e.Path, does)
				return nil
			}
			// An entry that takes a folder's place hides the entries below it.
			hides := e.Gone || e.Opaque || e.Header != nil && !e.FileInfo().IsDir()
			if p, ok := under[e.Path]; ok && hides {
				say(p, "/%s differs between the parents, and the image %s /%s above it", p, does, e.Path)
			}
			for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
				if d, ok := at[dir]; ok && !d.Folder {
					say(e.Path, "/%s differs between the parents, and the image %s /%s below it", dir, does, e.Path)
				}
			}
			// A hard link is the other name of a file, which may be the parent's.
			if e.Header != nil && e.Typeflag == '1' {
				to := strings.TrimPrefix(path.Clean("/"+e.Linkname), "/")
				if _, ok := at[to]; ok {
					say(to, "/%s differs between the parents, and the image links /%s to it", to, e.Path)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Labels that say what an image is, and what it keeps.
const (
	labelName     = "dev.matrx.sandbox.name"
	labelContract = "dev.matrx.sandbox.contract"
)

// labels are the image's. Those that it has from its parent, the contract's among them when
// it does not set its own, become the new parent's; the parent itself is named by its
// name, which is the same (see sameParent).
func labels(image, old, now *v1.ConfigFile) map[string]string {
	out := maps.Clone(image.Config.Labels)
	if out == nil {
		out = map[string]string{}
	}
	for k, v := range old.Config.Labels {
		if out[k] == v {
			delete(out, k)
		}
	}
	for k, v := range now.Config.Labels {
		if _, own := out[k]; !own {
			out[k] = v
		}
	}
	return out
}

// sameParent: an image's own manifest, which lies in its layers, says which image it
// extends and which contract it keeps with it.
func sameParent(old, now *v1.ConfigFile) []string {
	var out []string
	if a, b := old.Config.Labels[labelName], now.Config.Labels[labelName]; a != b {
		out = append(out, fmt.Sprintf("the parent was %q, and %q is another image", a, b))
	}
	a, _, _ := strings.Cut(old.Config.Labels[labelContract], ".")
	if b, _, _ := strings.Cut(now.Config.Labels[labelContract], "."); a != b {
		out = append(out, fmt.Sprintf("the parent kept the contract %s.x, and keeps %s.x", a, b))
	}
	return out
}
