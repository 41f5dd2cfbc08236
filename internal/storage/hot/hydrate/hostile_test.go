package hydrate

import (
	"context"
	"encoding/xml"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// written is a server whose answers are written out: the embedded one keeps objects as
// files, and cannot have these.
type written map[string]writtenObject

type writtenObject struct {
	body string
	mode string // file-permissions
}

func (w written) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	stamp := time.Unix(1_700_000_000, 0).UTC()
	key := strings.TrimPrefix(in.URL.Path, "/bucket/users/u/hot/")
	if strings.TrimSuffix(in.URL.Path, "/") == "/bucket" {
		q := in.URL.Query()
		fmt.Fprint(out, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>false</IsTruncated>`)
		for _, k := range slices.Sorted(maps.Keys(w)) {
			full := "users/u/hot/" + k
			if strings.HasPrefix(full, q.Get("prefix")) && full > q.Get("start-after") {
				fmt.Fprintf(out, `<Contents><Key>`)
				_ = xml.EscapeText(out, []byte(full))
				fmt.Fprintf(out, `</Key><LastModified>%s</LastModified><ETag>"%032x"</ETag><Size>%d</Size></Contents>`, stamp.Format(time.RFC3339), len(k), len(w[k].body))
			}
		}
		fmt.Fprint(out, `</ListBucketResult>`)
		return
	}
	o, ok := w[key]
	if !ok {
		out.WriteHeader(http.StatusNotFound)
		fmt.Fprint(out, `<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>`)
		return
	}
	h := out.Header()
	h.Set("ETag", fmt.Sprintf(`"%032x"`, len(key)))
	h.Set("Last-Modified", stamp.Format(http.TimeFormat))
	h.Set("Content-Length", fmt.Sprint(len(o.body)))
	if o.mode != "" {
		h.Set("X-Amz-Meta-File-Permissions", o.mode)
	}
	if in.Method == http.MethodGet {
		fmt.Fprint(out, o.body)
	}
}

// from hydrates an empty home from a server that is written out.
func from(t *testing.T, w written, home string) Result {
	t.Helper()
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	cfg := &config.Config{SandboxID: "sb", UserID: "u", HydrateTimeout: time.Minute, S3: config.S3{Bucket: "bucket", Prefix: "users/", Endpoint: srv.URL, ForcePathStyle: true}}
	store, err := objectstore.Open(context.Background(), objectstore.Options{S3: cfg.S3, Credentials: wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}}})
	must(t, err)
	t.Cleanup(store.Close)
	root, err := tree.Open(home)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	state := t.TempDir()
	j, err := journal.Open(state, journal.Identity{Bucket: "bucket"})
	must(t, err)
	t.Cleanup(func() { j.Close() })
	r, err := Run(t.Context(), Deps{Config: cfg, Store: store, Root: root, Journal: j, Dir: state, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	for _, k := range r.Kept {
		if _, ok := j.Get(k.Path); ok {
			t.Errorf("%q is kept in S3, and in the journal: the sync would take it for deleted", k.Path)
		}
	}
	return r
}

// What cannot be here stays in S3 and is named; the rest comes; nothing leaves the home.
func TestHostileKeys(t *testing.T) {
	dir := t.TempDir()
	home, outside := filepath.Join(dir, "home"), filepath.Join(dir, "outside")
	must(t, os.Mkdir(home, 0o755))
	must(t, os.Mkdir(outside, 0o755))

	kept := written{
		"../escape": {}, "x/../../escape": {}, "/abs": {}, "//abs": {}, "a//b": {}, ".": {}, "..": {}, "./c": {}, "x/..": {}, "x/../": {}, "y//": {},
		"link":                              {body: outside, mode: "0120777"}, // with link/passwd
		"both":                              {body: "a file"},                 // with both/file
		strings.Repeat("n", 256):            {body: "too long a name"},
		"body/":                             {body: "a directory with content"},
		"fifo":                              {mode: "0010644"},
		"device":                            {mode: "0020666"},
		"dir":                               {mode: "0040755"},
		"empty-link":                        {mode: "0120777"},
		"long-link":                         {body: strings.Repeat("l", 5000), mode: "0120777"},
		"huge-link":                         {body: strings.Repeat("l", 70_000), mode: "0120777"},
		"nul-link":                          {body: "a\x00b", mode: "0120777"},
		strings.Repeat("d", 300) + "/below": {body: "below a name that is too long"},
	}
	good := map[string]string{
		"fine": "fine", "link/passwd": "root", "both/file": "file", "..a": "a", "a..": "a", "...": "dots", "x/y": "y",
		"%2e%2e": "percent", "%2E%2E%2Fup": "percent", "setuid": "s", "odd-mode": "o",
	}
	w := maps.Clone(kept)
	for k, body := range good {
		w[k] = writtenObject{body: body}
	}
	w["setuid"] = writtenObject{body: "s", mode: "0106755"}
	w["odd-mode"] = writtenObject{body: "o", mode: "rwxr-xr-x"}
	w[".sandbox-hydrate-0123456789abcdef.tmp"] = writtenObject{body: "excluded"}
	w["out"] = writtenObject{body: "../outside/planted", mode: "0120777"}

	r := from(t, w, home)
	var names []string
	for _, k := range r.Kept {
		names = append(names, k.Path)
		if k.Reason == "" {
			t.Errorf("%q is kept without a reason", k.Path)
		}
	}
	slices.Sort(names)
	if want := slices.Sorted(maps.Keys(kept)); !slices.Equal(names, want) {
		t.Errorf("kept %q,\nwant %q", names, want)
	}
	got := testbed.Scan(t, home)
	for p, body := range good {
		if n, ok := got[p]; !ok || string(n.Content) != body {
			t.Errorf("%q is %q, %v", p, n.Content, ok)
		}
		delete(got, p)
	}
	if n := got["out"]; n.Target != "../outside/planted" {
		t.Errorf("the link out of the home leads to %q", n.Target)
	}
	for p, n := range got {
		if !n.IsDir() && p != "out" {
			t.Errorf("%q should not be here", p)
		}
	}
	if i, _ := os.Lstat(filepath.Join(home, "setuid")); i == nil || i.Mode() != 0o755 {
		t.Errorf("the setuid file has %v", i)
	}
	for _, d := range []string{dir, outside} {
		es, err := os.ReadDir(d)
		must(t, err)
		if d == dir && len(es) != 2 || d == outside && len(es) != 0 {
			t.Errorf("%s has %v", d, es)
		}
	}
}

// A workload of an earlier start, or an attacker in the container, can have put a link
// anywhere: nothing is written, removed or changed through it.
func TestLinksInTheHome(t *testing.T) {
	dir := t.TempDir()
	home, outside := filepath.Join(dir, "home"), filepath.Join(dir, "outside")
	must(t, os.MkdirAll(filepath.Join(home, "d"), 0o755))
	must(t, os.Mkdir(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "file"), []byte("untouched"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(home, "linked")))
	must(t, os.Symlink("../../outside", filepath.Join(home, "d", "linked")))
	must(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(home, "file")))
	must(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(home, ".sandboxignore")))
	before := testbed.Scan(t, outside)
	r := from(t, written{"linked/file": {body: "new"}, "d/linked/file": {body: "new"}, "file": {body: "new"}, "linked/": {mode: "0040777"}}, home)
	if len(r.Conflicts) != 3 {
		t.Errorf("conflicts %q", r.Conflicts)
	}
	testbed.WantTree(t, before, testbed.Scan(t, outside), testbed.Ignore{})
	for _, p := range []string{"linked/file", "d/linked/file", "file"} {
		if b, err := os.ReadFile(filepath.Join(home, p)); string(b) != "new" {
			t.Errorf("%s: %q, %v", p, b, err)
		}
	}
}

// Names of any bytes, of which some are longer in S3 than the embedded server can hold.
func TestLongEscapes(t *testing.T) {
	w := written{}
	for i, name := range testbed.LongEscapes() {
		w[strings.NewReplacer("\n", "%0A", "\xff", "%FF").Replace(name)] = writtenObject{body: fmt.Sprint(i)}
	}
	home := t.TempDir()
	if r := from(t, w, home); len(r.Kept) > 0 {
		t.Errorf("kept %v", r.Kept)
	}
	for i, name := range testbed.LongEscapes() {
		if b, err := os.ReadFile(filepath.Join(home, name)); string(b) != fmt.Sprint(i) {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
}

// A directory that cannot be written is no name that is refused: the start fails, and
// says which.
func TestUnwritableDirectory(t *testing.T) {
	h := newHome(t)
	h.tmpfs("size=4m")
	must(t, os.Mkdir(h.at("locked"), 0o755))
	h.put("locked/f", "f")
	h.put("fine", "fine")
	if err := immutable(h.at("locked"), true); err != nil {
		t.Fatalf("cannot make a directory immutable on a tmpfs: %v; this needs a kernel with CONFIG_TMPFS_XATTR and root", err)
	}
	defer immutable(h.at("locked"), false)
	if _, err := h.tryHydrate(t.Context()); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a directory that cannot be written: %v", err)
	}
}

// immutable sets or clears FS_IMMUTABLE_FL (ioctl_iflags(2)).
func immutable(path string, on bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const getFlags, setFlags, flag = 0x80086601, 0x40086602, 0x10
	v, err := unix.IoctlGetInt(int(f.Fd()), getFlags)
	if err != nil {
		return err
	}
	v &^= flag
	if on {
		v |= flag
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), setFlags, v)
}
