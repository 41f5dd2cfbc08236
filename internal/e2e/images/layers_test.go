package images

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// imagesUnderTest are the images that `make images` leaves.
var imagesUnderTest = []string{"base", "core"}

// The restrictions under which an agent's container runs: no capabilities, no way to
// gain any, no network.
var restricted = []string{"--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"}

func eachImage(t *testing.T, test func(t *testing.T, name, ref string)) {
	for _, name := range imagesUnderTest {
		t.Run(name, func(t *testing.T) { test(t, name, catalog.Reference("", name, "")) })
	}
}

// layerFile is one entry of one layer.
type layerFile struct {
	*tar.Header
	layer int // 0 is the lowest
}

// walkLayers calls visit for every entry of every layer, those that a higher layer
// hides included, the lowest layer first.
func walkLayers(t *testing.T, ref string, visit func(layerFile)) {
	t.Helper()
	file := path.Join(t.TempDir(), "image.tar")
	harness.EngineOK(t, "save", "--output", file, ref)

	// The archive's own order is not that of the layers.
	for layer, layerName := range layerOrder(t, file) {
		eachEntry(t, file, func(h *tar.Header, r io.Reader) {
			if h.Name != layerName || h.Typeflag != tar.TypeReg {
				return
			}
			in := tar.NewReader(r)
			for {
				h, err := in.Next()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatalf("cannot read layer %d of %s: %v", layer, ref, err)
				}
				visit(layerFile{h, layer})
			}
		})
	}
}

// overlay lays one entry over those of the layers below it: it replaces what has its
// name, and a whiteout hides what is there (OCI image specification, "Whiteouts").
func overlay(files map[string]layerFile, f layerFile) {
	name := path.Clean("/" + f.Name)
	hidden, opaque := "", false
	if base := path.Base(name); base == ".wh..wh..opq" {
		hidden, opaque = path.Dir(name), true
	} else if rest, ok := strings.CutPrefix(base, ".wh."); ok {
		hidden = path.Join(path.Dir(name), rest)
	}
	if hidden == "" {
		files[name] = f
		return
	}
	for other, o := range files {
		below := strings.HasPrefix(other, hidden+"/") && o.layer < f.layer
		if below || (other == hidden && !opaque) {
			delete(files, other)
		}
	}
}

// layerOrder reads the names of an archive's layers from its manifest.json (Docker
// image specification 1.2).
func layerOrder(t *testing.T, file string) (layers []string) {
	t.Helper()
	eachEntry(t, file, func(h *tar.Header, r io.Reader) {
		if h.Name != "manifest.json" {
			return
		}
		var images []struct{ Layers []string }
		if err := json.NewDecoder(r).Decode(&images); err != nil || len(images) != 1 {
			t.Fatalf("manifest.json of a saved image: %d images, %v", len(images), err)
		}
		layers = images[0].Layers
	})
	if len(layers) == 0 {
		t.Fatal("a saved image has no layers")
	}
	return layers
}

func eachEntry(t *testing.T, file string, visit func(*tar.Header, io.Reader)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := tar.NewReader(f)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("cannot read %s: %v", file, err)
		}
		visit(h, in)
	}
}
