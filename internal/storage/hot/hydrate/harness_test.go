package hydrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/index"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
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

// server is one for the whole package: it is started by the first test that asks, and
// stopped by TestMain.
var server struct {
	once sync.Once
	s    *testbed.Server
	tb   *mainTB
}

// mainTB lets something of testbed live as long as the test process.
type mainTB struct {
	testing.TB
	cleanup []func()
}

func (m *mainTB) Helper()                           {}
func (m *mainTB) Cleanup(f func())                  { m.cleanup = append(m.cleanup, f) }
func (m *mainTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (m *mainTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := child(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if server.tb != nil {
		for _, f := range server.tb.cleanup {
			f()
		}
	}
	os.Exit(code)
}

func s3(t testing.TB) *testbed.Server {
	t.Helper()
	server.once.Do(func() {
		server.tb = &mainTB{}
		server.s = testbed.S3(server.tb)
	})
	return server.s
}

// home is a workspace of a test: a bucket, a home directory, a journal.
type home struct {
	t      testing.TB
	bucket *testbed.Bucket
	cfg    *config.Config
	path   string
	state  string
	boot   string // the boot id
	log    *logged
	s3     config.S3 // how the store is reached
}

func newHome(t testing.TB) *home {
	t.Helper()
	b := s3(t).Bucket(t)
	dir := t.TempDir()
	h := &home{t: t, bucket: b, path: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), boot: "boot-1", log: &logged{}, s3: b.Config()}
	must(t, os.Mkdir(h.path, 0o755))
	h.cfg = &config.Config{SandboxID: "sb", UserID: "u", HotPath: h.path, StateDir: h.state, HydrateTimeout: time.Minute,
		S3: h.s3, Hot: config.Hot{Exclude: config.DefaultExclude}}
	return h
}

// logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) has(event string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), `"event":"`+event+`"`)
}

// through makes the home reach S3 through a proxy.
func (h *home) through() *testbed.FaultProxy {
	p := testbed.Proxy(h.t, h.bucket.Server)
	h.s3 = p.Config(h.bucket)
	return p
}

func (h *home) store() *objectstore.Store {
	h.t.Helper()
	s, err := objectstore.Open(context.Background(), objectstore.Options{S3: h.s3, Credentials: h.bucket.Credentials(), Log: slog.New(slog.NewJSONHandler(h.log, nil))})
	must(h.t, err)
	h.t.Cleanup(s.Close)
	return s
}

// opened is a home with its journal, as the storage process has it.
type opened struct {
	*home
	store   *objectstore.Store
	root    *tree.Root
	journal *journal.Journal
}

func (h *home) open() *opened {
	h.t.Helper()
	root, err := tree.Open(h.path)
	must(h.t, err)
	id, err := root.Identity()
	must(h.t, err)
	j, err := journal.Open(h.state, journal.Identity{Bucket: h.bucket.Name, Prefix: h.cfg.HotPrefix(), Dev: id.Dev, Ino: id.Ino, Btime: id.Btime, BootID: h.boot})
	must(h.t, err)
	return &opened{home: h, store: h.store(), root: root, journal: j}
}

func (o *opened) close() {
	o.t.Helper()
	must(o.t, errors.Join(o.journal.Close(), o.root.Close()))
	o.store.Close()
}

func (o *opened) run(ctx context.Context) (Result, error) {
	h := o.slog()
	r, err := Run(ctx, Deps{Config: o.cfg, Store: o.store, Root: o.root, Journal: o.journal, Dir: o.state, Log: h})
	if err == nil {
		must(o.t, r.Manifest.Close())
	}
	return r, err
}

func (o *opened) slog() *slog.Logger { return slog.New(slog.NewJSONHandler(o.log, nil)) }

// hydrate is a start of the sandbox up to the workload's.
func (h *home) hydrate() Result {
	h.t.Helper()
	r, err := h.tryHydrate(context.Background())
	must(h.t, err)
	return r
}

func (h *home) tryHydrate(ctx context.Context) (Result, error) {
	h.t.Helper()
	before := h.bucket.ETags("")
	o := h.open()
	defer o.close()
	r, err := o.run(ctx)
	if after := h.bucket.ETags(""); !equalMaps(before, after) {
		h.t.Errorf("hydrate changed S3: %v before and %v after", before, after)
	}
	if o.journal.Hydrated() != (err == nil) && h.boot == "boot-1" && o.journal.Origin() == journal.Fresh {
		h.t.Errorf("hydrated %v, and the error was %v", o.journal.Hydrated(), err)
	}
	for p := range testbed.Scan(h.t, h.path) {
		if err == nil && tree.IsTemp(filepath.Base(p)) {
			h.t.Errorf("%q is left", p)
		}
	}
	return r, err
}

func equalMaps(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// publish writes the manifest and the bundle of what was hydrated. Of an object that was
// stored in the very second of the manifest nobody can tell which came first, so that
// second is waited out.
func (h *home) publish() index.Published {
	h.t.Helper()
	h.nextSecond()
	o := h.open()
	defer o.close()
	p := o.publisher()
	pub, err := p.Publish(context.Background())
	must(h.t, err)
	must(h.t, p.Close())
	return pub
}

func (o *opened) publisher() *index.Publisher {
	return index.NewPublisher(index.Options{
		Store: o.store, Fence: lease.None{}, Root: o.root, Journal: o.journal, Dir: o.state, Log: o.slog(),
		Place: index.Place{MetaPrefix: o.cfg.MetaPrefix(), HotPrefix: o.cfg.HotPrefix()},
	})
}

// nextSecond waits until the clock, which is the server's as well, is in another second
// than now: Last-Modified has whole ones.
func (h *home) nextSecond() {
	now := time.Now()
	<-time.After(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

// put stores a file as the sync would.
func (h *home) put(path, content string) string {
	h.t.Helper()
	return h.bucket.Put(h.key(path), content, posixattr.Encode(posixattr.Attr{Mode: 0o100644, Mtime: 1_700_000_000_000_000_001}, ""))
}

func (h *home) key(path string) string {
	h.t.Helper()
	isDir := strings.HasSuffix(path, "/")
	k, err := posixattr.KeyWithPrefix(h.cfg.HotPrefix(), strings.TrimSuffix(path, "/"), isDir)
	must(h.t, err)
	return k
}

func (h *home) at(path string) string { return filepath.Join(h.path, path) }

// write changes a file of the home so that its stat shows it.
func (h *home) write(path, content string) {
	h.t.Helper()
	must(h.t, os.MkdirAll(filepath.Dir(h.at(path)), 0o755))
	must(h.t, os.WriteFile(h.at(path), []byte(content), 0o644))
}

// want fails the test unless the file has the content; "" wants no file.
func (h *home) want(path, content string) {
	h.t.Helper()
	b, err := os.ReadFile(h.at(path))
	switch {
	case content == "" && errors.Is(err, fs.ErrNotExist):
	case err != nil || string(b) != content:
		h.t.Errorf("%q is %q (%v), want %q", path, b, err, content)
	}
}

// wantConflict fails the test unless there is exactly one conflict copy of path, with
// that content; "" wants none.
func (h *home) wantConflict(path, content string) {
	h.t.Helper()
	found, err := filepath.Glob(h.at(path) + ".conflict-sb-*")
	must(h.t, err)
	if content == "" {
		if len(found) > 0 {
			h.t.Errorf("there are conflict copies: %q", found)
		}
		return
	}
	if len(found) != 1 {
		h.t.Errorf("%d conflict copies of %q, want one", len(found), path)
		return
	}
	b, err := os.ReadFile(found[0])
	if err != nil || string(b) != content {
		h.t.Errorf("the conflict copy of %q is %q (%v), want %q", path, b, err, content)
	}
}

// upload stores a tree as the sync would.
func (h *home) upload(root string, nodes testbed.Tree) {
	h.t.Helper()
	store := h.store()
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(32)
	for path, n := range nodes {
		isDir := n.IsDir()
		key, err := posixattr.KeyWithPrefix(h.cfg.HotPrefix(), path, isDir)
		must(h.t, err)
		g.Go(func() error {
			var content []byte
			var err error
			switch {
			case n.IsSymlink():
				content = []byte(n.Target)
			case n.IsFile():
				if content, err = os.ReadFile(root + "/" + path); err != nil {
					return err
				}
			}
			meta := posixattr.Encode(posixattr.Attr{Mode: n.Mode, Mtime: n.Mtime, UID: n.UID, GID: n.GID}, "")
			_, err = store.Put(ctx, key, bytes.NewReader(content), int64(len(content)), objectstore.PutOptions{Metadata: meta})
			return err
		})
	}
	must(h.t, g.Wait())
}

// agents makes a tree one of files that belong to the agent, as every home's do when
// the process is root.
func agents(t testbed.Tree) testbed.Tree {
	for p, n := range t {
		if os.Geteuid() == 0 {
			n.UID, n.GID = 1000, 1000
		}
		t[p] = n
	}
	return t
}

func leaks(t *testing.T) {
	t.Helper()
	s3(t)
	// The connections of the test's own client stay open for the next test.
	ignore := []goleak.Option{goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")}
	t.Cleanup(func() { goleak.VerifyNone(t, ignore...) })
}

// tmpfs mounts one of a size over the home.
func (h *home) tmpfs(options string) {
	h.t.Helper()
	if err := unix.Mount("tmpfs", h.path, "tmpfs", 0, options); err != nil {
		h.t.Fatalf("cannot mount a small file system over the home: %v; run the tests as root", err)
	}
	h.t.Cleanup(func() {
		if err := unix.Unmount(h.path, unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
}
