package sizes

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/internal/host/images/store"
	"github.com/matrx/sandbox/internal/testbed/layerstest"
)

// shelf is an engine of a few images.
type shelf struct {
	t       *testing.T
	images  map[string]v1.Image
	exports int
}

func (s *shelf) Inspect(_ context.Context, ref string) (store.Image, error) {
	img := s.images[ref]
	if img == nil {
		return store.Image{}, store.ErrNoImage
	}
	id, err := img.ConfigName()
	if err != nil {
		s.t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		s.t.Fatal(err)
	}
	out := store.Image{ID: id.String()}
	for _, d := range config.RootFS.DiffIDs {
		out.Layers = append(out.Layers, d.String())
	}
	return out, nil
}

func (s *shelf) Export(_ context.Context, ref, _ string) (v1.Image, error) {
	s.exports++
	return s.images[ref], nil
}

func TestMeasure(t *testing.T) {
	below := layerstest.Layer(t, layerstest.File("a", strings.Repeat("a", 2000)))
	s := &shelf{t: t, images: map[string]v1.Image{
		"parent": layerstest.Image(t, nil, below, layerstest.Layer(t, layerstest.File("init", "1"))),
		"own":    layerstest.Image(t, nil, below, layerstest.Layer(t, layerstest.File("b", strings.Repeat("b", 3000))), layerstest.Layer(t, layerstest.File("init", "2"))),
	}}
	cache := t.TempDir()
	subject := Subject{"own", "own", "parent", "parent"}
	first, err := Measure(t.Context(), s, subject, cache)
	if err != nil {
		t.Fatal(err)
	}
	if first.Unpacked != 5001 || first.GivenUnpacked != 2000 || !first.Layers[0].Parents || first.Layers[1].Parents || first.Layers[1].Command != "a layer" {
		t.Errorf("measured %+v", first)
	}
	if unpacked, packed := first.Adds(); unpacked != 3001 || packed <= 0 || packed >= first.Packed {
		t.Errorf("it adds %d, %d packed", unpacked, packed)
	}
	again, err := Measure(t.Context(), s, subject, cache)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" || s.exports != 2 { // its own and its parent's
		t.Errorf("the second time, with %d exports (-first +again):\n%s", s.exports, diff)
	}
	if _, err := Measure(t.Context(), s, Subject{Reference: "none"}, cache); !errors.Is(err, store.ErrNoImage) {
		t.Errorf("an image that is not there: %v", err)
	}

	var b bytes.Buffer
	if err := Text(&b, []Image{first}, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ADDS", "  1   parent   0.0 MB", "  2   own      0.0 MB", "/ 0.0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := Markdown(&b, []Image{first}); err != nil || !strings.Contains(b.String(), "| own | parent | 0.0 |") {
		t.Errorf("the page: %v\n%s", err, b.String())
	}
}

// An image that was built before the parent's sandbox-init changed has that layer from it.
func TestAFormerInitIsTheParents(t *testing.T) {
	below := layerstest.Layer(t, layerstest.File("a", "a"))
	last := func(c *v1.ConfigFile) { c.History[1].CreatedBy = "COPY sandbox-init" }
	s := &shelf{t: t, images: map[string]v1.Image{
		"parent": layerstest.Image(t, last, below, layerstest.Layer(t, layerstest.File("init", "new"))),
		"own":    layerstest.Image(t, last, below, layerstest.Layer(t, layerstest.File("init", "old")), layerstest.Layer(t, layerstest.File("b", "bb"))),
	}}
	m, err := Measure(t.Context(), s, Subject{"own", "own", "parent", "parent"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, _ := m.Adds(); unpacked != 2 || !m.Layers[1].Parents || m.Layers[2].Parents {
		t.Errorf("it adds %d: %+v", unpacked, m.Layers)
	}
}

func TestCommandsAreCut(t *testing.T) {
	for in, want := range map[string]string{
		"RUN /bin/sh -c apt-get x # buildkit":                                                   "RUN apt-get x",
		"RUN |2 TARGETARCH=amd64 A=b /bin/sh -c --mount=type=cache,target=/x sh   y # buildkit": "RUN sh y",
		"/bin/sh -c #(nop) CMD":                                                                 "RUN CMD",
		"COPY a b # buildkit":                                                                   "COPY a b",
		"":                                                                                      "(the image that it is built from)",
		"COPY " + strings.Repeat("x", 90):                                                       "COPY " + strings.Repeat("x", 32) + "...",
	} {
		if got := command(in, 40); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
