// Package image reads an image from an engine without running it: its configuration, its
// files layer by layer, and secrets that any layer holds. Everything comes from one
// pass over the engine's own export (`docker save`), so that an image of a gigabyte
// costs seconds and no disk.
package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Image is an image at rest.
type Image struct {
	Config Config
	Layers []string         // diff IDs, the lowest first
	Files  map[string]*File // the merged file system, by absolute path
	Leaks  []Leak
}

// Config is the part of an image's configuration that the contract speaks of
// (OCI Image Format Specification, "Image Configuration").
type Config struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		User        string              `json:"User"`
		Env         []string            `json:"Env"`
		Entrypoint  []string            `json:"Entrypoint"`
		Cmd         []string            `json:"Cmd"`
		Labels      map[string]string   `json:"Labels"`
		StopSignal  string              `json:"StopSignal"`
		WorkingDir  string              `json:"WorkingDir"`
		Volumes     map[string]struct{} `json:"Volumes"`
		Healthcheck *struct {
			Test []string `json:"Test"`
		} `json:"Healthcheck"`
	} `json:"config"`
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []struct {
		CreatedBy string `json:"created_by"`
	} `json:"history"`
}

// File is one entry of the file system.
type File struct {
	Path     string
	Type     byte // of archive/tar
	Mode     int64
	UID, GID int
	Size     int64
	Link     string // target of a symbolic or hard link
	Layer    int    // the layer that it comes from
	Caps     bool   // it has file capabilities (capabilities(7))
	SHA256   string // of executables in system paths; "" where it was not taken
	Content  []byte // of small files below /etc and /opt; nil where it was not kept
}

// IsDir says whether it is a directory.
func (f *File) IsDir() bool { return f.Type == tar.TypeDir }

// keepContent is the size in bytes up to which configuration is kept.
const keepContent = 64 << 10

// Read reads an export. The error says at which entry it became unreadable.
func Read(export io.Reader) (*Image, error) {
	blobs := map[string]*blob{}
	tr := tar.NewReader(export)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the image's export: %w", err)
		}
		name := path.Clean(h.Name)
		if h.Typeflag == tar.TypeSymlink { // Docker before 25 links equal layers to each other
			blobs[name] = &blob{link: path.Join(path.Dir(name), h.Linkname)}
			continue
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := readBlob(tr)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of the image's export: %w", name, err)
		}
		blobs[name] = b
	}
	return assemble(blobs)
}

// assemble puts an image together by the manifest.json that every engine's export has.
func assemble(blobs map[string]*blob) (*Image, error) {
	var manifests []struct {
		Config string
		Layers []string
	}
	m := blobs["manifest.json"]
	if m == nil || json.Unmarshal(m.json, &manifests) != nil || len(manifests) != 1 {
		return nil, errors.New("cannot read the image's export: it has no manifest.json with one image in it")
	}
	im := &Image{Files: map[string]*File{}}
	config := blobs[path.Clean(manifests[0].Config)]
	if config == nil {
		return nil, fmt.Errorf("cannot read the image's export: its configuration %s is missing", manifests[0].Config)
	}
	if err := json.Unmarshal(config.json, &im.Config); err != nil {
		return nil, fmt.Errorf("cannot read the image's configuration: %w", err)
	}
	im.Layers = im.Config.RootFS.DiffIDs
	for i, name := range manifests[0].Layers {
		l := blobs[path.Clean(name)]
		for l != nil && l.link != "" {
			l = blobs[l.link]
		}
		if l == nil {
			return nil, fmt.Errorf("cannot read the image's export: layer %s is missing", name)
		}
		im.apply(i, l.files)
		for _, leak := range l.leaks {
			leak.Layer = i
			im.Leaks = append(im.Leaks, leak)
		}
	}
	im.Leaks = append(im.Leaks, configLeaks(im.Config)...)
	return im, nil
}

// apply lays a layer over what is there (OCI Image Format Specification, "Image Layer
// Filesystem Changeset"): whiteouts hide, everything else replaces.
func (im *Image) apply(layer int, files []*File) {
	for _, f := range files {
		base := path.Base(f.Path)
		switch {
		case base == ".wh..wh..opq":
			im.hide(path.Dir(f.Path), false)
		case strings.HasPrefix(base, ".wh."):
			im.hide(path.Join(path.Dir(f.Path), strings.TrimPrefix(base, ".wh.")), true)
		}
	}
	for _, f := range files {
		if strings.HasPrefix(path.Base(f.Path), ".wh.") {
			continue
		}
		if was := im.Files[f.Path]; was != nil && was.IsDir() && !f.IsDir() {
			im.hide(f.Path, false)
		}
		own := *f
		own.Layer = layer
		im.Files[f.Path] = &own
	}
}

func (im *Image) hide(name string, itself bool) {
	if itself {
		delete(im.Files, name)
	}
	prefix := strings.TrimSuffix(name, "/") + "/"
	for p := range im.Files {
		if strings.HasPrefix(p, prefix) {
			delete(im.Files, p)
		}
	}
}
