package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/matrx/sandbox/internal/testbed/layerstest"
)

// What an engine is given is an image that others can read, too.
func TestAnArchiveIsAnImage(t *testing.T) {
	twice := layerstest.Layer(t, layerstest.File("a", "1"))
	img := layerstest.Image(t, nil, twice, layerstest.Layer(t, layerstest.File("b", strings.Repeat("2", 100000))), twice)
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeArchive(t.Context(), f, config, layers, []string{"a:1", "a:2"}), f.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	want, _ := img.ConfigName()
	if id, _ := got.ConfigName(); id != want {
		t.Errorf("its ID is %s, want %s", id, want)
	}
	m, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(file) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a:1", "a:2"}, m[0].RepoTags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// The status of the response says nothing of what came of the image.
func TestAnEnginesAnswerIsRead(t *testing.T) {
	if err := loaded(strings.NewReader(`{"stream":"Loaded image: a\n"}` + "\n")); err != nil {
		t.Error(err)
	}
	if err := loaded(strings.NewReader(`{"stream":"x"}{"errorDetail":{"message":"no space"},"error":"no space left"}`)); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the error is %v", err)
	}
	if err := loaded(strings.NewReader(`{"stream"`)); err == nil {
		t.Error("an answer that is cut is taken for a success")
	}
}
