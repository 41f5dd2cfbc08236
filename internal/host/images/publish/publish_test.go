package publish

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/matrx/sandbox/internal/host/images/sbom"
	"github.com/matrx/sandbox/internal/testbed/layerstest"
)

// serve starts a registry on loopback and gives the place of the images in it.
func serve(t *testing.T, referrers bool) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://") + "/team"
}

const debs = "Package: git\nStatus: install ok installed\nArchitecture: ARCH\nVersion: 1:2.47\n"

// box is an image of the family.
func box(t *testing.T, arch string, more ...v1.Layer) v1.Image {
	t.Helper()
	stack := append([]v1.Layer{layerstest.Layer(t, layerstest.File("var/lib/dpkg/status", strings.ReplaceAll(debs, "ARCH", arch)))}, more...)
	return layerstest.Image(t, func(c *v1.ConfigFile) {
		c.Architecture = arch
		c.Config.Labels = map[string]string{"dev.matrx.sandbox.name": "ml", "org.opencontainers.image.version": "1.0.0", "org.opencontainers.image.title": "x", "other": "y"}
	}, stack...)
}

func push(t *testing.T, place, arch, commit string, img v1.Image) Pushed {
	t.Helper()
	p, err := Push(t.Context(), img, Request{Repository: place + "/matrx-sandbox-ml", Versions: []string{"latest", "1.0.0"}, Inputs: "sha256:" + arch, Revision: commit, Parent: place + "/matrx-sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPushAndVerifyTwoPlatforms(t *testing.T) {
	for _, referrers := range []bool{true, false} { // a registry of today, and one before OCI 1.1
		place := serve(t, referrers)
		img := box(t, "amd64", layerstest.Layer(t, layerstest.File("opt/x", "x")))
		first := push(t, place, "amd64", "c1", img)
		if !slices.Equal(first.Platforms, []string{"linux/amd64"}) || first.Platform != "linux/amd64" {
			t.Errorf("published alone: %+v", first)
		}
		second := push(t, place, "arm64", "c1", box(t, "arm64"))
		if !slices.Equal(second.Platforms, []string{"linux/amd64", "linux/arm64"}) {
			t.Errorf("published beside the other: %+v", second)
		}
		for _, version := range []string{"latest", "1.0.0"} {
			v, err := Verify(t.Context(), place+"/matrx-sandbox-ml:"+version, "ml")
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Platforms) != 2 || v.Platforms[0].Digest != first.Digest || v.Platforms[1].Platform != "linux/arm64" || v.Platforms[1].Packages["deb"] != 1 || v.Digest != second.Index {
				t.Errorf("verified %+v", v)
			}
		}
		// The same again changes nothing.
		if again := push(t, place, "arm64", "c1", box(t, "arm64")); again.Index != second.Index || again.Digest != second.Digest || again.SBOM != second.SBOM {
			t.Errorf("the second push gives %+v, the first %+v", again, second)
		}

		// What comes back is what was there: the ID is the digest of the configuration.
		got, from, err := Fetch(t.Context(), place+"/matrx-sandbox-ml:latest", "amd64")
		if err != nil {
			t.Fatal(err)
		}
		want, _ := img.ConfigName()
		if id, _ := got.ConfigName(); id != want || from != "sha256:amd64" {
			t.Errorf("it comes back as %s from %s, want %s", id, from, want)
		}
		m, err := got.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for k, want := range map[string]string{"org.opencontainers.image.title": "x", revision: "c1", created: "2023-11-14T22:13:20Z", "other": ""} {
			if m.Annotations[k] != want {
				t.Errorf("annotation %s is %q, want %q", k, m.Annotations[k], want)
			}
		}
		if _, _, err := Fetch(t.Context(), place+"/matrx-sandbox-ml:latest-arm64", "amd64"); err == nil {
			t.Error("an image of another architecture is taken")
		}
	}
}

// One name never stands for two states of the sources.
func TestPlatformsOfOtherCommitsAreLeftOut(t *testing.T) {
	place := serve(t, true)
	push(t, place, "amd64", "c1", box(t, "amd64"))
	if p := push(t, place, "arm64", "c2", box(t, "arm64")); !slices.Equal(p.Platforms, []string{"linux/arm64"}) {
		t.Errorf("joined %q", p.Platforms)
	}
	if p := push(t, place, "amd64", "c2", box(t, "amd64")); !slices.Equal(p.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("joined %q", p.Platforms)
	}
}

func TestTwoMachinesMayPushAtOnce(t *testing.T) {
	for range 5 {
		place := serve(t, true)
		images := map[string]v1.Image{"amd64": box(t, "amd64"), "arm64": box(t, "arm64")}
		var all sync.WaitGroup
		for arch, img := range images {
			all.Go(func() {
				_, err := Push(t.Context(), img, Request{Repository: place + "/matrx-sandbox-ml", Versions: []string{"latest"}, Revision: "c"})
				if err != nil {
					t.Error(arch, err)
				}
			})
		}
		all.Wait()
		v, err := Verify(t.Context(), place+"/matrx-sandbox-ml:latest", "ml")
		if err != nil || len(v.Platforms) != 2 {
			t.Errorf("there are %+v, %v", v.Platforms, err)
		}
	}
}

func TestTheParentIsNamed(t *testing.T) {
	place := serve(t, true)
	parent := box(t, "amd64")
	pushed, err := Push(t.Context(), parent, Request{Repository: place + "/matrx-sandbox", Versions: []string{"latest"}, Revision: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		img  v1.Image
		want string
	}{
		{box(t, "amd64", layerstest.Layer(t, layerstest.File("x", "x"))), pushed.Digest},
		{layerstest.Image(t, nil, layerstest.Layer(t, layerstest.File("x", "x"))), ""},
		{layerstest.Image(t, nil), ""},
	} {
		p := push(t, place, "amd64", "c", tc.img)
		ref, err := name.NewDigest(p.Repository + "@" + p.Digest)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref)
		if err != nil {
			t.Fatal(err)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Annotations[baseHash] != tc.want {
			t.Errorf("the base is %q, want %q", m.Annotations[baseHash], tc.want)
		}
	}
}

// Each way in which a published image can be wrong is found.
func TestVerifyFindsWhatIsWrong(t *testing.T) {
	tag := func(place string) name.Tag {
		r, err := name.NewTag(place + "/matrx-sandbox-ml:latest")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	published := func(place string) v1.Image {
		img, err := remote.Image(tag(place).Context().Tag("latest-amd64"))
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	put := func(place string, img v1.Image) {
		if err := remote.Write(tag(place), img); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name  string
		spoil func(place string)
		want  string
	}{
		{"no list", func(place string) {
			put(place, mutate.Annotations(published(place), map[string]string{"more": "x"}).(v1.Image))
		}, "no list of its contents"},
		{"an annotation", func(place string) {
			put(place, mutate.Annotations(published(place), map[string]string{"org.opencontainers.image.title": "z"}).(v1.Image))
		}, `annotation org.opencontainers.image.title is "z", its label "x"`},
		{"another list", func(place string) {
			img := mutate.Annotations(published(place), map[string]string{"more": "x"}).(v1.Image)
			put(place, img)
			d, err := remote.Head(tag(place))
			if err != nil {
				t.Fatal(err)
			}
			list, err := artifact([]byte(`{"spdxVersion":"SPDX-2.3","packages":[{}]}`), sbom.MediaType, "x", *d)
			if err != nil {
				t.Fatal(err)
			}
			h, _ := list.Digest()
			if err := remote.Write(tag(place).Context().Digest(h.String()), list); err != nil {
				t.Fatal(err)
			}
		}, "is not the one that the layers give"},
		{"another image", func(place string) {
			put(place, layerstest.Image(t, nil))
		}, `dev.matrx.sandbox.name is "", want "ml"`},
		{"a platform", func(place string) {
			index := mutate.AppendManifests(nothing(), mutate.IndexAddendum{Add: published(place), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
			if err := remote.WriteIndex(tag(place), index); err != nil {
				t.Fatal(err)
			}
		}, "the index says linux/arm64, the image is linux/amd64"},
		{"an index of nothing", func(place string) {
			if err := remote.WriteIndex(tag(place), nothing()); err != nil {
				t.Fatal(err)
			}
		}, "an index of nothing"},
	} {
		place := serve(t, true)
		push(t, place, "amd64", "c", box(t, "amd64"))
		if _, err := Verify(t.Context(), tag(place).Name(), "ml"); err != nil {
			t.Fatal(err)
		}
		tc.spoil(place)
		if _, err := Verify(t.Context(), tag(place).Name(), "ml"); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, err := Verify(t.Context(), serve(t, true)+"/none:latest", "ml"); err == nil || !strings.Contains(err.Error(), "published there") {
		t.Errorf("what is not there: %v", err)
	}
}

// A layer that was damaged in the registry is found.
func TestVerifyFindsADamagedBlob(t *testing.T) {
	blobs := &damaged{BlobHandler: registry.NewInMemoryBlobHandler()}
	s := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.WithBlobHandler(blobs), registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	place := strings.TrimPrefix(s.URL, "http://") + "/team"
	push(t, place, "amd64", "c", box(t, "amd64"))
	m, err := func() (*v1.Manifest, error) {
		img, _, err := Fetch(t.Context(), place+"/matrx-sandbox-ml:latest", "amd64")
		if err != nil {
			return nil, err
		}
		return img.Manifest()
	}()
	if err != nil {
		t.Fatal(err)
	}
	blobs.damage(m.Layers[0].Digest)
	if _, err := Verify(t.Context(), place+"/matrx-sandbox-ml:latest", "ml"); err == nil || !strings.Contains(err.Error(), "not what its digest says") {
		t.Errorf("a damaged layer: %v", err)
	}
}

func TestAnArtifactIsOne(t *testing.T) {
	a, err := artifact([]byte("{}"), sbom.MediaType, "x", v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := a.RawManifest()
	if err != nil || !bytes.Contains(raw, []byte(`"artifactType":"application/spdx+json"`)) || !bytes.Contains(raw, []byte(`"subject":{`)) {
		t.Errorf("%s, %v", raw, err)
	}
}
