// Package image reads an image from an engine without running it: its configuration, its
// files layer by layer, and secrets that any layer holds. Everything comes from one
// pass over the engine's own export (`docker save`), so that an image of a gigabyte
// costs seconds and no disk.
package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
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

// Resolve follows symbolic links, of directories on the way too, and returns the file
// at the end; nil when there is none.
func (im *Image) Resolve(name string) *File {
	for range 40 { // ELOOP's bound, path_resolution(7)
		resolved := "/"
		var link *File
		rest := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
		for i, part := range rest {
			resolved = path.Join(resolved, part)
			f := im.Files[resolved]
			if f != nil && f.Type == tar.TypeSymlink {
				target := f.Link
				if !path.IsAbs(target) {
					target = path.Join(path.Dir(resolved), target)
				}
				name = path.Join(append([]string{target}, rest[i+1:]...)...)
				link = f
				break
			}
		}
		if link != nil {
			continue
		}
		f := im.Files[resolved]
		if f != nil && f.Type == tar.TypeLink {
			return im.Files[path.Join("/", f.Link)]
		}
		return f
	}
	return nil
}

// blob is one entry of an export: JSON, or a layer.
type blob struct {
	link  string
	json  []byte
	files []*File
	leaks []Leak
}

// readBlob tells JSON from layers by the first bytes, since the manifest that says which
// is which comes last in some engines' exports.
func readBlob(r io.Reader) (*blob, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var layer io.Reader = br
	switch {
	case len(head) > 0 && (head[0] == '{' || head[0] == '['):
		data, err := io.ReadAll(io.LimitReader(br, 16<<20))
		return &blob{json: data}, err
	case bytes.Equal(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		layer = z
	case len(head) > 0 && head[0] >= '0' && head[0] <= '9':
		// Docker before 25 writes a VERSION file of "1.0" beside each layer.
		_, err := io.Copy(io.Discard, br)
		return &blob{}, err
	}
	return readLayer(layer)
}

func readLayer(r io.Reader) (*blob, error) {
	b := &blob{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		f := &File{
			Path: path.Join("/", h.Name), Type: h.Typeflag, Mode: h.Mode, UID: h.Uid, GID: h.Gid, Size: h.Size, Link: h.Linkname,
			Caps: h.PAXRecords["SCHILY.xattr.security.capability"] != "",
		}
		if h.Typeflag == tar.TypeReg {
			if err := b.look(f, tr); err != nil {
				return nil, err
			}
		}
		b.files = append(b.files, f)
	}
}

// look reads of a file what the checks need: configuration, digests, secrets.
func (b *blob) look(f *File, r io.Reader) error {
	small := f.Size <= keepContent
	switch {
	case small && (strings.HasPrefix(f.Path, "/etc/") || strings.HasPrefix(f.Path, "/opt/sandbox/")):
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		f.Content = data
		f.SHA256 = digest(data)
		b.leaks = append(b.leaks, fileLeaks(f.Path, data)...)
	case f.Size <= maxSecretFile && mayHoldSecret(f.Path):
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		b.leaks = append(b.leaks, fileLeaks(f.Path, data)...)
	case strings.HasPrefix(f.Path, "/usr/local/bin/"):
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		f.SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
