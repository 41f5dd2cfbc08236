package hydrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
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

	patience time.Duration // 0: the usual
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
	j, err := journal.Open(h.state, journal.Identity{Bucket: h.bucket.Name, Prefix: h.cfg.HotPrefix(), FileSystem: id.Dev, Ino: id.Ino, Btime: id.Btime, BootID: h.boot})
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
	r, err := Run(ctx, Deps{Config: o.cfg, Store: o.store, Root: o.root, Journal: o.journal, Dir: o.state, Log: h, patience: o.patience})
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
// stored in the very second of the manifest nothing tells which came first, so that
// second is waited out, and another one, by which the Date of the server's answers may be late.
func (h *home) publish() manifest.Published {
	h.t.Helper()
	h.nextSecond()
	h.nextSecond()
	o := h.open()
	defer o.close()
	p := o.publisher()
	pub, err := p.Publish(context.Background())
	must(h.t, err)
	must(h.t, p.Close())
	return pub
}

func (o *opened) publisher() *manifest.Publisher {
	return manifest.NewPublisher(manifest.Options{
		Store: o.store, Fence: lease.None{}, Root: o.root, Journal: o.journal, Dir: o.state, Log: o.slog(),
		Place: manifest.Place{MetaPrefix: o.cfg.MetaPrefix(), HotPrefix: o.cfg.HotPrefix()},
	})
}

// nextSecond waits until the clock, which is the server's as well, is in another second
// than now: Last-Modified has whole ones. It is the clock that files get their times from,
// which is a tick behind the other (clock_gettime(2), CLOCK_REALTIME_COARSE).
func (h *home) nextSecond() {
	now := time.Now()
	next := now.Truncate(time.Second).Add(time.Second)
	for wait := next.Sub(now); ; wait = time.Millisecond {
		<-time.After(wait)
		var coarse unix.Timespec
		must(h.t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &coarse))
		if coarse.Sec >= next.Unix() {
			return
		}
	}
}
