package layers

import (
	"archive/tar"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	. "github.com/matrx/sandbox/internal/testbed/layerstest"
)

func TestVisibleShowsWhatTheLayersTogetherShow(t *testing.T) {
	img := Image(t, nil,
		Layer(t, Folder("etc"), File("etc/a", "1"), File("etc/b", "1"), Folder("opt"), File("opt/x", "1"), Folder("opt/deep"), File("opt/deep/y", "1"), Folder("srv"), File("srv/z", "1"), File("lib/old", "1")),
		Layer(t, File("etc/a", "2"), File("etc/.wh.b", ""), Folder("opt"), File("opt/.wh..wh..opq", ""), File("opt/new", "2"), File(".wh.srv", ""), Link("lib", "usr/lib")),
		Layer(t, File("./etc/c", "3"), Folder("srv"), File("srv/again", "3")),
	)
	var got []string
	err := Visible(img, func(e Entry, layer int, r io.Reader) error {
		body, err := io.ReadAll(r)
		if e.Typeflag == tar.TypeReg {
			got = append(got, e.Path+"="+string(body))
		} else {
			got = append(got, e.Path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{"etc", "etc/a=2", "etc/c=3", "lib", "opt", "opt/new=2", "srv", "srv/again=3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// go-containerregistry flattens images too: the two must agree.
	flat := mutate.Extract(img)
	defer flat.Close()
	var theirs []string
	for tr := tar.NewReader(flat); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(tr)
		p := clean(h.Name)
		if h.Typeflag == tar.TypeReg {
			p += "=" + string(body)
		}
		theirs = append(theirs, p)
	}
	slices.Sort(theirs)
	if diff := cmp.Diff(theirs, got); diff != "" {
		t.Errorf("go-containerregistry sees another image (-theirs +ours):\n%s", diff)
	}
}

func TestDifferences(t *testing.T) {
	base := Layer(t, Folder("etc"), File("etc/a", "1"))
	touched := func(h tar.Header, f func(*tar.Header)) tar.Header { f(&h); return h }
	for _, tc := range []struct {
		name string
		a, b []v1.Layer
		want string
	}{
		{"the same", []v1.Layer{base}, []v1.Layer{base}, ""},
		{"the same by other layers", []v1.Layer{Layer(t, File("a", "1")), Layer(t, File("b", "1"))}, []v1.Layer{Layer(t, File("b", "1"), File("a", "1"))}, ""},
		{"content", []v1.Layer{base, Layer(t, File("x", "1"))}, []v1.Layer{base, Layer(t, File("x", "2"))}, "x"},
		{"mode", []v1.Layer{Layer(t, File("x", "1"))}, []v1.Layer{Layer(t, touched(File("x", "1"), func(h *tar.Header) { h.Mode = 0o755 }))}, "x"},
		{"owner", []v1.Layer{Layer(t, File("x", "1"))}, []v1.Layer{Layer(t, touched(File("x", "1"), func(h *tar.Header) { h.Uid = 1000 }))}, "x"},
		{"time of a file", []v1.Layer{Layer(t, File("x", "1"))}, []v1.Layer{Layer(t, touched(File("x", "1"), func(h *tar.Header) { h.ModTime = Epoch.Add(time.Hour) }))}, "x"},
		{"time of a folder", []v1.Layer{Layer(t, Folder("x"))}, []v1.Layer{Layer(t, touched(Folder("x"), func(h *tar.Header) { h.ModTime = Epoch.Add(time.Hour) }))}, ""},
		{"mode of a folder", []v1.Layer{Layer(t, Folder("x"))}, []v1.Layer{Layer(t, touched(Folder("x"), func(h *tar.Header) { h.Mode = 0o700 }))}, "x/"},
		{"a capability", []v1.Layer{Layer(t, File("x", "1"))}, []v1.Layer{Layer(t, touched(File("x", "1"), func(h *tar.Header) {
			h.PAXRecords["SCHILY.xattr.security.capability"] = "x"
		}))}, "x"},
		{"a link's target", []v1.Layer{Layer(t, Link("x", "a"))}, []v1.Layer{Layer(t, Link("x", "b"))}, "x"},
		{"a folder that became a link", []v1.Layer{Layer(t, Folder("x"), File("x/y", "1"))}, []v1.Layer{Layer(t, Link("x", "b"))}, "x x/y"},
		{"more", []v1.Layer{base}, []v1.Layer{base, Layer(t, File("etc/b", "1"))}, "etc/b"},
		{"taken away", []v1.Layer{base, Layer(t, File("x", "1"))}, []v1.Layer{base, Layer(t, File("x", "1")), Layer(t, File(".wh.x", ""))}, "x"},
		{"taken away with a folder", []v1.Layer{base, Layer(t, Folder("x"), File("x/y", "1"))}, []v1.Layer{base, Layer(t, Folder("x"), File("x/y", "1")), Layer(t, File(".wh.x", ""))}, "x"},
		{"an emptied folder", []v1.Layer{base, Layer(t, Folder("x"), File("x/y", "1"))}, []v1.Layer{base, Layer(t, Folder("x"), File("x/y", "1")), Layer(t, File("x/.wh..wh..opq", ""))}, "x"},
	} {
		found, err := Differences(tc.a, tc.b)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range found {
			p := d.Path
			if d.Folder {
				p += "/"
			}
			got = append(got, p)
		}
		if text := strings.Join(got, " "); text != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, text, tc.want)
		}
	}
}

func TestContents(t *testing.T) {
	deb := "/.\n/usr\n/usr/bin/git\n/lib/git-core\n"
	l := Layer(t,
		File("var/lib/dpkg/info/git:amd64.list", deb), File("usr/bin/git", strings.Repeat("x", 3000)), File("usr/lib/git-core", strings.Repeat("y", 500)),
		File("usr/lib/python3/dist-packages/numpy/core.so", strings.Repeat("z", 2000)), File("usr/lib/python3/dist-packages/numpy-2.0.dist-info/METADATA", "m"), File("usr/lib/python3/dist-packages/six.py", "s"),
		File("usr/lib/node_modules/@scope/tool/node_modules/inner/x.js", "n"), File("opt/toolchains/go/bin/go", "g"), Link("usr/bin/x", "git"))
	c, err := ContentsOf(l)
	if err != nil {
		t.Fatal(err)
	}
	want := []Package{{"deb", "git", 3500}, {"pip", "numpy", 2001}, {"files", "/var/lib/dpkg", int64(len(deb))}, {"files", "/opt/toolchains/go", 1}, {"npm", "@scope/tool", 1}, {"pip", "six", 1}}
	if diff := cmp.Diff(want, c.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if c.Unpacked != 5504+int64(len(deb)) || c.Files != 8 {
		t.Errorf("%d bytes in %d files", c.Unpacked, c.Files)
	}
	var b bytes.Buffer
	if err := pack(&b, l); err != nil || int64(b.Len()) != c.Packed {
		t.Errorf("packed it has %d bytes, %v; measured were %d", b.Len(), err, c.Packed)
	}
}

func TestPackFile(t *testing.T) {
	l := Layer(t, File("a", strings.Repeat("x", 10000)))
	p, err := PackFile(t.TempDir(), l)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := l.DiffID()
	if got, _ := p.DiffID(); got != want {
		t.Errorf("diff ID %s, want %s", got, want)
	}
	r, err := p.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	digest, n, err := v1.SHA256(r)
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := p.Digest(); d != digest {
		t.Errorf("digest %s, want %s", d, digest)
	}
	if size, _ := p.Size(); size != n || n > 1000 {
		t.Errorf("size %d, want %d", size, n)
	}
}
