package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bed is a bucket, a proxy in front of it, and a home.
type bed struct {
	t      *testing.T
	bucket *testbed.Bucket
	proxy  *testbed.FaultProxy
	f      *Fetcher
	home   string
	dir    *tree.Dir
	store  *objectstore.Store
}

func newBed(t *testing.T) *bed {
	t.Helper()
	srv := testbed.S3(t)
	b := &bed{t: t, bucket: srv.Bucket(t), proxy: testbed.Proxy(t, srv), home: filepath.Join(t.TempDir(), "home")}
	must(t, os.Mkdir(b.home, 0o755))
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: b.proxy.Config(b.bucket), Credentials: b.bucket.Credentials()})
	must(t, err)
	b.store, b.f = store, New(store, "hot/", slog.New(slog.DiscardHandler))
	root, err := tree.Open(b.home)
	must(t, err)
	b.dir, err = root.OpenDir("")
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(b.dir.Close(), root.Close())); store.Close() })
	return b
}

func (b *bed) at(name string) string { return filepath.Join(b.home, name) }

// only fails the test when there is anything but names in the home.
func (b *bed) only(names ...string) {
	b.t.Helper()
	es, err := os.ReadDir(b.home)
	must(b.t, err)
	var got []string
	for _, e := range es {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		b.t.Errorf("the home has %q, want %q", got, names)
	}
}

func attr(mode uint32) map[string]string {
	return posixattr.Encode(posixattr.Attr{Mode: mode, Mtime: 1_600_000_000_000_000_123}, "")
}

func TestFetch(t *testing.T) {
	b := newBed(t)
	for _, c := range []struct {
		key, body string
		meta      map[string]string
		mode      uint32
		hashed    bool
	}{
		{"file", "content", attr(0o100640), 0o100640, true},
		{"empty", "", attr(0o100600), 0o100600, true},
		{"plain", "plain", nil, 0o100644, true},
		{"setuid", "s", attr(0o106755), 0o100755, true},
		{"link", "/etc/passwd", attr(0o120777), 0o120777, true},
		{"dir/", "", attr(0o040711), 0o040711, false},
		{"middle", strings.Repeat("m", 300_000), attr(0o100644), 0o100644, true},
		{"zeros", strings.Repeat("\x00", 300_000), attr(0o100644), 0o100644, true},
	} {
		etag := b.bucket.Put("hot/"+c.key, c.body, c.meta)
		name := strings.TrimSuffix(c.key, "/")
		e, err := b.f.Fetch(t.Context(), Source{Key: c.key, ETag: etag, Size: int64(len(c.body))}, Target{Dir: b.dir, Name: name})
		if err != nil {
			t.Errorf("%s: %v", c.key, err)
			continue
		}
		i, err := b.dir.Lstat(name)
		must(t, err)
		stored, _ := b.bucket.Get("hot/" + c.key)
		if e.Path != name || e.Key != c.key || e.ETag != etag || e.Size != int64(len(c.body)) || e.Mode != c.mode || e.Local != i.Stat || e.Modified != stored.LastModified.Unix() {
			t.Errorf("%s: the entry is %+v, lstat says %+v", c.key, e, i)
		}
		if c.hashed != (e.SHA256 == sha256.Sum256([]byte(c.body))) {
			t.Errorf("%s: the hash is %x", c.key, e.SHA256)
		}
		if i.Mode != c.mode || c.meta != nil && i.Mtime != 1_600_000_000_000_000_123 {
			t.Errorf("%s: mode %o, mtime %d", c.key, i.Mode, i.Mtime)
		}
		switch {
		case i.IsSymlink():
			if target, _ := b.dir.Readlink(name); target != c.body {
				t.Errorf("%s leads to %q", c.key, target)
			}
		case i.IsRegular():
			if got, _ := os.ReadFile(b.at(name)); string(got) != c.body {
				t.Errorf("%s has %d bytes", c.key, len(got))
			}
		}
	}
}

// What is at the path is replaced when it is what the caller saw, and stays otherwise.
func TestFetchOver(t *testing.T) {
	b := newBed(t)
	b.bucket.Put("hot/f", "theirs", nil)
	src := Source{Key: "f", Size: 6}
	must(t, os.WriteFile(b.at("f"), []byte("seen"), 0o644))
	if _, err := b.f.Fetch(t.Context(), src, Target{Dir: b.dir, Name: "f"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over what nobody saw: %v", err)
	}
	seen, err := b.dir.Lstat("f")
	must(t, err)
	must(t, os.WriteFile(b.at("f"), []byte("changed since"), 0o644))
	if _, err := b.f.Fetch(t.Context(), src, Target{Dir: b.dir, Name: "f", Seen: &seen}); !errors.Is(err, tree.ErrChanged) {
		t.Errorf("over what changed: %v", err)
	}
	if got, _ := os.ReadFile(b.at("f")); string(got) != "changed since" {
		t.Errorf("it is %q", got)
	}
	seen, err = b.dir.Lstat("f")
	must(t, err)
	_, err = b.f.Fetch(t.Context(), src, Target{Dir: b.dir, Name: "f", Seen: &seen})
	must(t, err)
	if got, _ := os.ReadFile(b.at("f")); string(got) != "theirs" {
		t.Errorf("it is %q", got)
	}
	b.only("f")
}

// What fails leaves nothing behind.
func TestFetchFails(t *testing.T) {
	b := newBed(t)
	big := strings.Repeat("b", 300_000)
	b.bucket.Put("hot/f", big, nil)
	b.bucket.Put("hot/fifo", "", attr(0o010644))
	b.bucket.Put("hot/link", big, attr(0o120777))
	b.bucket.Put("hot/nothing", "", attr(0o120777))
	refused := new(*Refused)
	for _, c := range []struct {
		what string
		key  string
		name string
		do   testbed.Action
		ok   func(error) bool
	}{
		{"gone", "absent", "absent", nil, func(err error) bool { return errors.Is(err, objectstore.ErrNotFound) }},
		{"a marker that is gone", "absent/", "absent", nil, func(err error) bool { return errors.Is(err, objectstore.ErrNotFound) }},
		{"a FIFO", "fifo", "fifo", nil, func(err error) bool { return errors.As(err, refused) }},
		{"a link to a whole file", "link", "link", nil, func(err error) bool { return errors.As(err, refused) }},
		{"a link to nothing", "nothing", "nothing", nil, func(err error) bool { return errors.As(err, refused) }},
		{"a name that is too long", "f", strings.Repeat("n", 256), nil, func(err error) bool { return errors.As(err, refused) }},
		{"no right", "f", "f", testbed.Refuse(403, "AccessDenied"), func(err error) bool { return errors.Is(err, objectstore.ErrAccessDenied) }},
		{"damaged every time", "f", "f", testbed.CorruptResponse(200_000), func(err error) bool { return errors.Is(err, objectstore.ErrChecksum) }},
	} {
		if c.do != nil {
			b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET"}, Do: c.do})
		}
		_, err := b.f.Fetch(t.Context(), Source{Key: c.key, Size: 10}, Target{Dir: b.dir, Name: c.name})
		if err == nil || !c.ok(err) {
			t.Errorf("%s: %v", c.what, err)
		}
		b.proxy.ClearFaults()
		b.only()
	}
}

// An object that became large since it was listed comes as a large one.
func TestFetchGrown(t *testing.T) {
	b := newBed(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), (largeObject+1<<20)/16)
	_, err := b.store.Put(t.Context(), "hot/f", bytes.NewReader(content), int64(len(content)), objectstore.PutOptions{})
	must(t, err)
	for _, size := range []int64{10, int64(len(content))} {
		e, err := b.f.Fetch(t.Context(), Source{Key: "f", Size: size}, Target{Dir: b.dir, Name: "f"})
		must(t, err)
		got, err := os.ReadFile(b.at("f"))
		must(t, err)
		if !bytes.Equal(got, content) || e.Size != int64(len(content)) {
			t.Errorf("%d bytes came, the entry has %d", len(got), e.Size)
		}
		must(t, os.Remove(b.at("f")))
	}
}

func TestFetchCancelled(t *testing.T) {
	b := newBed(t)
	b.bucket.Put("hot/f", "f", nil)
	ctx, cancel := context.WithCancel(t.Context())
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET"}, Do: testbed.Stall()})
	go func() {
		b.proxy.WaitFor(t.Context(), testbed.Match{Verb: "GET"}, 1)
		cancel()
	}()
	if _, err := b.f.Fetch(ctx, Source{Key: "f", Size: 1}, Target{Dir: b.dir, Name: "f"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: %v", err)
	}
	b.only()
}
