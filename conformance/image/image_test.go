package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type entry struct {
	name, body, link string
	kind             byte
	mode             int64
}

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Size: int64(len(e.body)), Mode: e.mode, Linkname: e.link}
		require.NoError(t, w.WriteHeader(h))
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func gz(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

const manifest = `[{"Config":"c.json","RepoTags":["x"],"Layers":["a/layer.tar","b/layer.tar"]}]`
const config = `{"architecture":"amd64","config":{"User":"agent","Env":["PATH=/usr/bin","DB_PASSWORD=hunter22"]},"rootfs":{"diff_ids":["sha256:1","sha256:2"]},"history":[]}`

func export(t *testing.T, lower, upper []byte) []byte {
	return tarOf(t,
		entry{name: "a/VERSION", body: "1.0"}, entry{name: "a/layer.tar", body: string(lower)},
		entry{name: "b/layer.tar", body: string(upper)}, entry{name: "c.json", body: config}, entry{name: "manifest.json", body: manifest})
}

func TestLayersAreMerged(t *testing.T) {
	lower := tarOf(t,
		entry{name: "etc/", kind: tar.TypeDir, mode: 0o755}, entry{name: "etc/a", body: "old"}, entry{name: "etc/gone", body: "x"},
		entry{name: "opt/x/", kind: tar.TypeDir}, entry{name: "opt/x/hidden", body: "x"}, entry{name: "bin", kind: tar.TypeSymlink, link: "usr/bin"},
		entry{name: "usr/bin/tool", body: "t", mode: 0o4755}, entry{name: "usr/bin/alias", kind: tar.TypeSymlink, link: "tool"})
	upper := gz(t, tarOf(t,
		entry{name: "etc/a", body: "new"}, entry{name: "etc/.wh.gone"}, entry{name: "opt/x/.wh..wh..opq"}, entry{name: "opt/x/kept", body: "y"}))
	im, err := Read(bytes.NewReader(export(t, lower, upper)))
	require.NoError(t, err)
	if f := im.Files["/etc/a"]; f == nil || string(f.Content) != "new" || f.Layer != 1 {
		t.Errorf("/etc/a is %+v", f)
	}
	for _, gone := range []string{"/etc/gone", "/opt/x/hidden"} {
		if im.Files[gone] != nil {
			t.Errorf("%s is still there", gone)
		}
	}
	if im.Files["/opt/x/kept"] == nil {
		t.Error("an opaque directory lost what its own layer put there")
	}
	if f := im.Resolve("/bin/alias"); f == nil || f.Path != "/usr/bin/tool" || f.Mode&0o4000 == 0 {
		t.Errorf("/bin/alias resolves to %+v", f)
	}
	if f := im.Resolve("/bin/nothing"); f != nil {
		t.Errorf("/bin/nothing resolves to %+v", f)
	}
}

func TestSecretsAreFoundInEveryLayer(t *testing.T) {
	key := "-----BEGIN OPENSSH PRIVATE KEY-----\n" + strings.Repeat("Ab3+", 20) + "\n"
	lower := tarOf(t,
		entry{name: "root/.aws/credentials", body: "[default]\naws_secret_access_key = " + strings.Repeat("aB3/", 10) + "\n"},
		entry{name: "opt/key", body: key}, entry{name: "usr/share/doc/example", body: key},
		entry{name: "etc/docs", body: "use AKIAIOSFODNN7EXAMPLE"}, entry{name: "home/x/.netrc", body: "machine a"})
	upper := tarOf(t, entry{name: "opt/.wh.key"})
	im, err := Read(bytes.NewReader(export(t, lower, upper)))
	require.NoError(t, err)
	got := map[string]string{}
	for _, l := range im.Leaks {
		got[l.Path] = l.Kind
	}
	want := map[string]string{"/root/.aws/credentials": "an AWS secret key", "/opt/key": "a private key", "/home/x/.netrc": "passwords", "DB_PASSWORD": "a secret in a variable"}
	for p, kind := range want {
		if got[p] != kind {
			t.Errorf("%s: found %q, want %q", p, got[p], kind)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %v, want only %v", got, want)
	}
}

func TestBrokenExportsAreErrors(t *testing.T) {
	lower := tarOf(t, entry{name: "a", body: "x"})
	whole := export(t, lower, lower)
	for name, data := range map[string][]byte{
		"cut short":          whole[:len(whole)/2],
		"no manifest":        tarOf(t, entry{name: "c.json", body: config}),
		"a layer is missing": tarOf(t, entry{name: "a/layer.tar", body: string(lower)}, entry{name: "c.json", body: config}, entry{name: "manifest.json", body: manifest}),
	} {
		if _, err := Read(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
