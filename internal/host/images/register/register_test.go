package register

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/matrx/sandbox/contract"
)

const manifest = `{"name":"mine","version":"1.0.0","tier":"variant","description":"x","gpu":{"count":2},"capabilities":["shell"],"tools":["bash"],
"contract":{"version":"1.0.0","profile":"lifecycle"},"default_access_mode":"restricted",
"resource_limits":{"memory_mb":64,"cpu_cores":1,"timeout_seconds":1,"max_processes":1}}`

var labels = map[string]string{
	"dev.matrx.sandbox.name": "mine", "dev.matrx.sandbox.contract": "1.0.0", "dev.matrx.sandbox.capabilities": "shell", "org.opencontainers.image.version": "1.0.0",
}

// layer makes one of NAME, CONTENT pairs; "-> X" is a symbolic link, a name that ends in / a directory.
func layer(t *testing.T, pairs ...string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Typeflag: tar.TypeReg, Size: int64(len(pairs[i+1])), Mode: 0o644}
		content := pairs[i+1]
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, to, 0, ""
		}
		if strings.HasSuffix(h.Name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func push(t *testing.T, host string, labels map[string]string, layers ...v1.Layer) (string, v1.Image) {
	t.Helper()
	im, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	if im, err = mutate.Config(im, v1.Config{Labels: labels}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/team/mine:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, im); err != nil {
		t.Fatal(err)
	}
	return ref.String(), im
}

func TestFromRegistry(t *testing.T) {
	host := serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	ref, im := push(t, host, labels, layer(t, "etc/", "", "etc/sandbox/", "", "etc/sandbox/capabilities.json", manifest))
	got, err := FromRegistry(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	id, err := im.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != id.String() || string(got.Manifest) != manifest || got.Source != "registry" {
		t.Errorf("read %+v, want the digest %s", got, id)
	}
	m, doubts, err := got.Check()
	if err != nil || len(doubts) != 0 || string(m.Extra["gpu"]) != `{"count":2}` {
		t.Errorf("it is %+v with doubts %q, %v", m, doubts, err)
	}
	if _, err := FromRegistry(t.Context(), host+"/team/other:1"); err == nil || !strings.Contains(err.Error(), "team/other") {
		t.Errorf("an image that there is not: %v", err)
	}
	if _, err := FromRegistry(t.Context(), "Not a Name"); err == nil {
		t.Error("what is no reference is read")
	}
}

// The layers are one file system: what is above hides what is below.
func TestLayersAreReadFromAbove(t *testing.T) {
	const at = "etc/sandbox/capabilities.json"
	below := layer(t, at, "old")
	for _, tc := range []struct {
		name  string
		above v1.Layer
		want  string // content, or part of the error
	}{
		{"nothing above", layer(t, "opt/x", "y"), "old"},
		{"another above", layer(t, "./"+at, "new"), "new"},
		{"it was removed", layer(t, "etc/sandbox/.wh.capabilities.json", ""), errNoManifest.Error()},
		{"its directory was removed", layer(t, "etc/.wh.sandbox", ""), errNoManifest.Error()},
		{"its directory is another", layer(t, "etc/sandbox/.wh..wh..opq", ""), errNoManifest.Error()},
		{"its directory is another, and has one", layer(t, "etc/sandbox/.wh..wh..opq", "", at, "new"), "new"},
		{"another file was removed", layer(t, "etc/sandbox/.wh.capabilities", ""), "old"},
		{"it is a link", layer(t, at, "-> /opt/x"), "register it from the engine"},
		{"its directory is a link", layer(t, "etc/sandbox", "-> /opt"), "register it from the engine"},
		{"it is too large", layer(t, at, strings.Repeat("x", mostManifest+1)), "1048576 are allowed"},
	} {
		content, err := fileOf([]v1.Layer{below, tc.above}, contract.Capabilities)
		got := string(content)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tc.want) || err == nil && got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A registry that sends other bytes than it promised is not believed, even where the
// manifest comes before the bytes that differ.
func TestARegistryThatLiesIsNotBelieved(t *testing.T) {
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			store.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		store.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if bytes.Contains(body, []byte(`"gpu"`)) { // the layer, which is sent unpacked
			body[len(body)-1024-512] ^= 1 // the content of opt/x, which comes last
		}
		w.WriteHeader(rec.Code)
		w.Write(body)
	}))
	good := layer(t, "etc/sandbox/capabilities.json", manifest, "opt/x", "y")
	raw, err := good.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(raw)
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := push(t, host, labels, static{text})
	if im, err := FromRegistry(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("it is read as %+v, %v", im, err)
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name     string
		old, new string
		want     string
	}{
		{"no JSON", "{", "", "schema"},
		{"a field is missing", `"version":"1.0.0",`, "", "'version'"},
		{"a version of a tool that is none", `"tools"`, `"versions":{"bash":"new"},"tools"`, "/versions/bash"},
		{"a newer contract", `"contract":{"version":"1.0.0"`, `"contract":{"version":"1.9.0"`, "keeps contract 1.9.0"},
		{"another contract", `"contract":{"version":"1.0.0"`, `"contract":{"version":"2.0.0"`, "keeps contract 2.0.0"},
		{"an unknown profile", `"lifecycle"`, `"kernel"`, "kernel"},
	} {
		im := &Image{Labels: labels, Manifest: []byte(strings.Replace(manifest, tc.old, tc.new, 1))}
		if _, _, err := im.Check(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	im := &Image{Labels: map[string]string{"dev.matrx.sandbox.name": "base", "dev.matrx.sandbox.contract": "1.0.0", "dev.matrx.sandbox.capabilities": "shell", "org.opencontainers.image.version": "1.0.0"},
		Manifest: []byte(strings.Replace(manifest, `"bash"`, `"bash","wand"`, 1))}
	_, doubts, err := im.Check()
	if err != nil || len(doubts) != 2 || !strings.Contains(doubts[0], `name is "base", the manifest says "mine"`) || !strings.Contains(doubts[1], `"wand" is not in`) {
		t.Errorf("doubts %q, %v", doubts, err)
	}
}

func TestAnImageWithoutAManifest(t *testing.T) {
	host := serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	ref, _ := push(t, host, nil, layer(t, "etc/passwd", "x"))
	if _, err := FromRegistry(t.Context(), ref); !errors.Is(err, errNoManifest) {
		t.Errorf("it is read with %v", err)
	}
}

// static is a layer that is stored as it is.
type static struct{ text []byte }

func (s static) digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(s.text))
	return h, err
}
func (s static) Digest() (v1.Hash, error)            { return s.digest() }
func (s static) DiffID() (v1.Hash, error)            { return s.digest() }
func (s static) Size() (int64, error)                { return int64(len(s.text)), nil }
func (s static) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }
func (s static) Compressed() (io.ReadCloser, error)  { return s.Uncompressed() }
func (s static) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.text)), nil
}
