package rebase

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/matrx/sandbox/internal/host/images/layers"
	. "github.com/matrx/sandbox/internal/testbed/layerstest"
)

// initLayer is the last layer of base and core.
func initLayer(t *testing.T, content string) v1.Layer {
	dir := Folder("usr/local/bin")
	dir.ModTime = Epoch.Add(time.Duration(len(content)) * time.Hour) // a build's own time
	return Layer(t, Folder("usr"), Folder("usr/local"), dir, File(initBinary, content))
}

func configured(c *v1.ConfigFile) {
	c.Config.Env = []string{"PATH=/usr/bin", "LANG=C.UTF-8"}
	c.Config.Entrypoint = []string{"/usr/local/bin/sandbox-init", "--"}
	c.Config.User = "agent"
	c.Config.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "x"}, Interval: time.Second}
	c.Config.Labels = map[string]string{"dev.matrx.sandbox.name": "core", "dev.matrx.sandbox.contract": "1.0.0", "org.opencontainers.image.title": "core"}
}

func own(c *v1.ConfigFile) {
	configured(c)
	c.Config.Labels = map[string]string{"dev.matrx.sandbox.name": "ml", "dev.matrx.sandbox.contract": "1.0.0", "org.opencontainers.image.title": "ml", "dev.matrx.sandbox.extends": "matrx-sandbox:latest"}
	c.Config.Env = append(c.Config.Env, "OWN=1")
}

// parents are an image's old parent and its new one, of which sandbox-init is another.
func parents(t *testing.T) (shared v1.Layer, old, now v1.Image) {
	shared = Layer(t, Folder("etc"), File("etc/a", "1"), Folder("var"), Folder("var/lib"), Folder("var/lib/dpkg"), File("var/lib/dpkg/status", "1"))
	return shared, Image(t, configured, shared, initLayer(t, "old")), Image(t, configured, shared, initLayer(t, "new!"))
}

func contents(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := layers.Visible(img, func(e layers.Entry, _ int, r io.Reader) error {
		body, err := io.ReadAll(r)
		if e.Typeflag == tar.TypeReg {
			out[e.Path] = string(body)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestANewInitReachesAnImage(t *testing.T) {
	shared, old, now := parents(t)
	mine := Layer(t, Folder("etc"), File("etc/mine", "1"), File("var/lib/dpkg/status", "2"), Folder("usr"), Folder("usr/local"), Folder("usr/local/bin"), File("usr/local/bin/tool", "1"))
	image := Image(t, func(c *v1.ConfigFile) {
		own(c)
		c.History = append(c.History, v1.History{CreatedBy: "USER agent", EmptyLayer: true})
	}, shared, secondLayer(t, old), mine)
	r, err := Rebase(image, old, now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Image()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"etc/a": "1", "etc/mine": "1", "var/lib/dpkg/status": "2", "usr/local/bin/tool": "1", initBinary: "new!"}
	if diff := cmp.Diff(want, contents(t, got)); diff != "" {
		t.Errorf("it shows (-want +got):\n%s", diff)
	}
	if n, err := layers.Common(r.Layers, stackOf(t, now)); err != nil || n != 2 || r.Own != 1 {
		t.Errorf("it begins with %d of the new parent's layers and has %d of its own (%v)", n, r.Own, err)
	}
	config, _ := image.ConfigFile()
	if diff := cmp.Diff(config.Config, r.Config.Config); diff != "" {
		t.Errorf("its configuration changed (-old +new):\n%s", diff)
	}
	if raw, err := r.RawConfig(); err != nil || !bytes.Contains(raw, []byte(`"Healthcheck":{"Test":["CMD","x"]`)) {
		t.Errorf("its configuration is %s, %v", raw, err)
	}
	if h := r.Config.History; len(h) != 4 || h[3].CreatedBy != "USER agent" {
		t.Errorf("its history is %+v", h)
	}

	// What others rebase with agrees.
	theirs, err := mutate.Rebase(image, old, now)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := layers.Common(r.Layers, stackOf(t, theirs)); err != nil || n != len(r.Layers) || n != len(stackOf(t, theirs)) {
		t.Errorf("go-containerregistry stacks other layers (%v)", err)
	}
}

// secondLayer is the one that holds the program in the images of these tests.
func secondLayer(t *testing.T, img v1.Image) v1.Layer { return stackOf(t, img)[1] }

func stackOf(t *testing.T, img v1.Image) []v1.Layer {
	t.Helper()
	all, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Core is not FROM base: it has sandbox-init on top of its own layers.
func TestAnImageWithInitOnTop(t *testing.T) {
	shared, old, now := parents(t)
	tools := Layer(t, File("opt/tools", "1"))
	image := Image(t, own, shared, tools, initLayer(t, "old, copied again"))
	r, err := Rebase(image, old, now)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := layers.Common(r.Layers, []v1.Layer{shared, tools, secondLayer(t, now)}); n != 3 || len(r.Layers) != 3 || r.Own != 1 {
		t.Errorf("it has %d layers, of which %d are right", len(r.Layers), n)
	}
	got, err := r.Image()
	if err != nil {
		t.Fatal(err)
	}
	if files := contents(t, got); files[initBinary] != "new!" || files["opt/tools"] != "1" {
		t.Errorf("it shows %v", files)
	}

	// When it copies more than that on top, it is no such image.
	other := Image(t, own, shared, tools, Layer(t, File(initBinary, "x"), File("etc/x", "1")))
	refusedFor(t, other, old, now, "it was not built from that parent: only the first 1 of the parent's 2 layers")
	// Nor is the new parent a base when its last layer holds more.
	fat := Image(t, configured, shared, Layer(t, File(initBinary, "x"), File("etc/x", "1")))
	refusedFor(t, image, old, fat, "not sandbox-init alone")
}

func refusedFor(t *testing.T, image, old, now v1.Image, want string) {
	t.Helper()
	_, err := Rebase(image, old, now)
	var r *Refusal
	if !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want a refusal with %q", err, want)
	}
}

func TestEveryRefusal(t *testing.T) {
	with := func(edit func(*v1.Config)) func(*v1.ConfigFile) {
		return func(c *v1.ConfigFile) { configured(c); edit(&c.Config) }
	}
	link := tar.Header{Name: "opt/link", Typeflag: tar.TypeLink, Linkname: "etc/a", Mode: 0o644, ModTime: Epoch}
	private := Folder("etc")
	private.Mode = 0o700
	a2 := []tar.Header{Folder("etc"), File("etc/a", "2"), Folder("var"), Folder("var/lib"), Folder("var/lib/dpkg"), File("var/lib/dpkg/status", "1")}
	for _, tc := range []struct {
		name   string
		mine   []tar.Header
		parent []tar.Header // the new parent's first layer; nil: as it was
		edit   func(*v1.ConfigFile)
		want   string // "" is no refusal
	}{
		{name: "nothing in the way", mine: []tar.Header{Folder("opt"), File("opt/x", "1")}, parent: a2},
		{name: "a folder around it", mine: []tar.Header{Folder("etc"), File("etc/b", "1")}, parent: a2},
		{name: "the same file", mine: []tar.Header{File("etc/a", "3")}, parent: a2, want: "/etc/a differs between the parents, and the image has it"},
		{name: "a whiteout", mine: []tar.Header{File("etc/.wh.a", "")}, parent: a2, want: "/etc/a differs between the parents, and the image takes away it"},
		{name: "a whiteout of the folder", mine: []tar.Header{File(".wh.etc", "")}, parent: a2, want: "/etc/a differs between the parents, and the image takes away /etc above it"},
		{name: "an emptied folder", mine: []tar.Header{File("etc/.wh..wh..opq", "")}, parent: a2, want: "takes away /etc above it"},
		{name: "a file in the folder's place", mine: []tar.Header{File("etc", "x")}, parent: a2, want: "the image has /etc above it"},
		{name: "a link in the folder's place", mine: []tar.Header{Link("etc", "opt")}, parent: a2, want: "the image has /etc above it"},
		{name: "below what became a file", mine: []tar.Header{File("var/lib/x", "1")}, parent: []tar.Header{Folder("etc"), File("etc/a", "1"), Link("var", "opt")}, want: "differs between the parents, and the image has /var/lib/x below it"},
		{name: "below a folder of another mode", mine: []tar.Header{File("etc/x", "1")}, parent: append([]tar.Header{private}, []tar.Header{File("etc/a", "1"), Folder("var"), Folder("var/lib"), Folder("var/lib/dpkg"), File("var/lib/dpkg/status", "1")}...)},
		{name: "a folder of another mode", mine: []tar.Header{Folder("etc"), File("etc/x", "1")}, parent: append([]tar.Header{private}, []tar.Header{File("etc/a", "1")}...), want: "/etc differs between the parents, and the image has it"},
		{name: "a hard link to it", mine: []tar.Header{link}, parent: a2, want: "the image links /opt/link to it"},
		{name: "dpkg's database", mine: []tar.Header{File("var/lib/dpkg/status", "mine")}, parent: []tar.Header{Folder("etc"), File("etc/a", "1"), File("var/lib/dpkg/status", "moved")}, want: "/var/lib/dpkg/status differs"},
		{name: "sandbox-init", mine: []tar.Header{File(initBinary, "mine")}, want: "/" + initBinary + " differs"},
		{name: "a file that is new in the parent", mine: []tar.Header{File("etc/b", "1")}, parent: append(slices.Clone(a2), File("etc/b", "2")), want: "/etc/b differs"},
		{name: "a file that the parent lost", mine: []tar.Header{File("etc/a", "1")}, parent: []tar.Header{Folder("etc")}, want: "/etc/a differs"},
		{name: "ENV", edit: with(func(c *v1.Config) { c.Env = append(c.Env, "X=1") }), want: "ENV of the parent was"},
		{name: "ENV in another order", edit: with(func(c *v1.Config) { slices.Reverse(c.Env) })},
		{name: "ENTRYPOINT", edit: with(func(c *v1.Config) { c.Entrypoint = []string{"x"} }), want: "ENTRYPOINT of the parent was"},
		{name: "USER", edit: with(func(c *v1.Config) { c.User = "root" }), want: "USER of the parent was"},
		{name: "HEALTHCHECK", edit: with(func(c *v1.Config) {
			c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "x"}, Interval: 2 * time.Second}
		}), want: "HEALTHCHECK of the parent was"},
		{name: "no HEALTHCHECK", edit: with(func(c *v1.Config) { c.Healthcheck = nil }), want: "HEALTHCHECK of the parent was"},
		{name: "CMD", edit: with(func(c *v1.Config) { c.Cmd = []string{"x"} }), want: "CMD of the parent was"},
		{name: "WORKDIR", edit: with(func(c *v1.Config) { c.WorkingDir = "/x" }), want: "WORKDIR of the parent was"},
		{name: "STOPSIGNAL", edit: with(func(c *v1.Config) { c.StopSignal = "9" }), want: "STOPSIGNAL of the parent was"},
		{name: "SHELL", edit: with(func(c *v1.Config) { c.Shell = []string{"x"} }), want: "SHELL of the parent was"},
		{name: "ONBUILD", edit: with(func(c *v1.Config) { c.OnBuild = []string{"RUN x"} }), want: "ONBUILD of the parent was"},
		{name: "VOLUME", edit: with(func(c *v1.Config) { c.Volumes = map[string]struct{}{"/x": {}} }), want: "VOLUME of the parent was"},
		{name: "EXPOSE", edit: with(func(c *v1.Config) { c.ExposedPorts = map[string]struct{}{"80/tcp": {}} }), want: "EXPOSE of the parent was"},
		{name: "the platform", edit: func(c *v1.ConfigFile) { configured(c); c.Architecture = "arm64" }, want: "the platform of the parent was"},
		{name: "another parent", edit: with(func(c *v1.Config) { c.Labels["dev.matrx.sandbox.name"] = "base" }), want: `"base" is another image`},
		{name: "another contract", edit: with(func(c *v1.Config) { c.Labels["dev.matrx.sandbox.contract"] = "2.0.0" }), want: "keeps 2.x"},
		{name: "a newer contract", edit: with(func(c *v1.Config) { c.Labels["dev.matrx.sandbox.contract"] = "1.1.0" })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shared, old, now := parents(t)
			if tc.mine == nil {
				tc.mine = []tar.Header{File("opt/x", "1")}
			}
			if tc.parent != nil || tc.edit != nil {
				first, edit := shared, configured
				if tc.parent != nil {
					first = Layer(t, tc.parent...)
				}
				if tc.edit != nil {
					edit = tc.edit
				}
				now = Image(t, edit, first, initLayer(t, "new!"))
			}
			image := Image(t, own, shared, secondLayer(t, old), Layer(t, tc.mine...))
			if tc.want != "" {
				refusedFor(t, image, old, now, tc.want)
			} else if _, err := Rebase(image, old, now); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

// What go-containerregistry does not know of a configuration is kept, and compared.
func TestFieldsThatAreNotKnownAreKept(t *testing.T) {
	shared, old, now := parents(t)
	newer := func(img v1.Image, interval string) v1.Image {
		raw, err := img.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		return rawImage{img, bytes.Replace(raw, []byte(`"Interval":1000000000`), []byte(`"Interval":1000000000,"StartInterval":`+interval), 1)}
	}
	image := newer(Image(t, own, shared, secondLayer(t, old), Layer(t, File("opt/x", "1"))), "5")
	r, err := Rebase(image, newer(old, "5"), newer(now, "5"))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := r.RawConfig(); err != nil || !bytes.Contains(raw, []byte(`"StartInterval":5`)) {
		t.Errorf("the configuration is %s, %v", raw, err)
	}
	refusedFor(t, image, newer(old, "5"), newer(now, "6"), "HEALTHCHECK of the parent was")
}

// rawImage has another configuration, byte by byte.
type rawImage struct {
	v1.Image
	raw []byte
}

func (r rawImage) RawConfigFile() ([]byte, error) { return r.raw, nil }

func TestAnImageThatWasBuiltFromAnotherIsRefused(t *testing.T) {
	_, old, now := parents(t)
	refusedFor(t, Image(t, own, Layer(t, File("x", "1"))), old, now, "it was not built from that parent")
	refusedFor(t, Image(t, own), old, now, "it was not built from that parent")
	refusedFor(t, Image(t, own), Image(t, configured), now, "the old parent has no layers")
}

// Labels that come from the parent follow it; the image's own stay.
func TestLabelsFollowTheParent(t *testing.T) {
	shared, old, _ := parents(t)
	now := Image(t, func(c *v1.ConfigFile) {
		configured(c)
		c.Config.Labels = map[string]string{"dev.matrx.sandbox.name": "core", "dev.matrx.sandbox.contract": "1.1.0", "org.opencontainers.image.title": "core, new", "new": "x"}
	}, shared, initLayer(t, "new!"))
	for _, tc := range []struct{ own, want map[string]string }{
		{ // an image that sets its own, as ours do
			map[string]string{"dev.matrx.sandbox.name": "ml", "dev.matrx.sandbox.contract": "1.0.0", "org.opencontainers.image.title": "ml"},
			map[string]string{"dev.matrx.sandbox.name": "ml", "dev.matrx.sandbox.contract": "1.1.0", "org.opencontainers.image.title": "ml", "new": "x"},
		},
		{ // an image that says nothing of itself
			map[string]string{"dev.matrx.sandbox.name": "core", "dev.matrx.sandbox.contract": "1.0.0", "org.opencontainers.image.title": "core"},
			map[string]string{"dev.matrx.sandbox.name": "core", "dev.matrx.sandbox.contract": "1.1.0", "org.opencontainers.image.title": "core, new", "new": "x"},
		},
	} {
		image := Image(t, func(c *v1.ConfigFile) { own(c); c.Config.Labels = maps.Clone(tc.own) }, shared, secondLayer(t, old), Layer(t, File("opt/x", "1")))
		r, err := Rebase(image, old, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, r.Config.Config.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
	}
}
