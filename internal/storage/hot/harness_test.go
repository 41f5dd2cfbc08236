package hot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sandbox is a home with its engine, beside a real S3.
type sandbox struct {
	t       *testing.T
	bucket  *testbed.Bucket
	proxy   *testbed.FaultProxy
	cfg     config.Config
	home    string
	fence   lease.Fence
	seal    lease.Seal // what hydrate is told of the manifest
	clock   func() time.Time
	patient time.Duration // in place of patience
	probe   bool          // find out what the store honours, as a session does

	e        *Syncer
	store    *objectstore.Store
	stopRun  context.CancelFunc
	ran      chan error
	problems []string
}

const (
	prefix = "users/u/hot/"

	// patience bounds what a test waits for, on a machine that others use too.
	patience = time.Minute
)

// newSandbox makes a home and a bucket, and starts nothing.
func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	return sandboxAt(t, b, p)
}

// sandboxAt is another sandbox of the same user.
func sandboxAt(t *testing.T, b *testbed.Bucket, p *testbed.FaultProxy) *sandbox {
	t.Helper()
	s := &sandbox{t: t, bucket: b, proxy: p, home: t.TempDir()}
	s.cfg = config.Config{
		SandboxID: "sb", UserID: "u", HotPath: s.home, StateDir: t.TempDir(), HydrateTimeout: time.Minute,
		S3:  p.Config(b),
		Hot: config.Hot{Exclude: config.DefaultExclude, Quiet: 50 * time.Millisecond, MaxStaleness: 500 * time.Millisecond},
	}
	return s
}

func (s *sandbox) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), max(patience, s.patient))
	s.t.Cleanup(cancel)
	return ctx
}

// make makes an engine, as a new process would.
func (s *sandbox) make() {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{s.t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	store, err := objectstore.Open(context.Background(), objectstore.Options{S3: s.cfg.S3, Credentials: s.bucket.Credentials(), Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.probe {
		if _, err := store.Probe(s.ctx(), s.cfg.UserPrefix()+contract.ProbePrefix); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.fence == nil {
		s.fence = lease.None{}
	}
	e, err := New(Options{Config: &s.cfg, Store: store, Fence: s.fence, Log: log, Problem: func(p string) { s.problems = append(s.problems, p) }})
	if err != nil {
		s.t.Fatal(err)
	}
	e.wall = s.clock
	s.e, s.store = e, store
}

// hydrate makes an engine and brings the home to what S3 holds.
func (s *sandbox) hydrate() wire.Hydrated {
	s.t.Helper()
	s.make()
	h, err := s.e.Hydrate(s.ctx(), s.seal)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// start hydrates and runs.
func (s *sandbox) start() *sandbox {
	s.t.Helper()
	s.hydrate()
	s.run()
	return s
}

func (s *sandbox) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	e := s.e
	go func() { ran <- e.Run(ctx) }()
	s.stopRun, s.ran = cancel, ran
	s.t.Cleanup(s.kill)
	select {
	case <-e.runs: // the observer is there
	case err := <-ran:
		ran <- err
	}
}

// kill ends the engine as a killed process would: what is under way is cut off.
func (s *sandbox) kill() {
	if s.e == nil {
		return
	}
	s.endRun()
	s.e.Close()
	s.store.Close()
	s.e = nil
}

// endRun ends Run, and what it has under way.
func (s *sandbox) endRun() {
	if s.stopRun == nil {
		return
	}
	s.stopRun()
	if err := <-s.ran; !errors.Is(err, context.Canceled) {
		s.t.Errorf("Run ends with %v", err)
	}
	s.stopRun = nil
}

// saved makes everything that is on the disk be in S3.
func (s *sandbox) saved() contract.Checkpoint {
	s.t.Helper()
	c, err := s.e.Checkpoint(s.ctx())
	if err != nil {
		s.t.Fatalf("%v; pending %s, status %+v", err, s.pending(), s.e.Status())
	}
	return c
}

// pending is what the line has, for messages.
func (s *sandbox) pending() (all string) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for p := range s.e.queue.Pending {
		all += fmt.Sprintf("%+v ", p)
	}
	return fmt.Sprintf("%s, %+v", all, *s.e.queue)
}

// flush ends the sandbox as a stop does.
func (s *sandbox) flush() wire.Flushed {
	s.t.Helper()
	f, err := s.e.Flush(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// flushed flushes, wants everything saved, and ends.
func (s *sandbox) flushed() {
	s.t.Helper()
	if f := s.flush(); f.UnsavedCount != 0 {
		s.t.Fatalf("not saved: %+v", f)
	}
	s.kill()
}

func (s *sandbox) path(name string) string { return filepath.Join(s.home, name) }

func (s *sandbox) write(name, content string) {
	s.t.Helper()
	check(s.t, os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
	check(s.t, os.WriteFile(s.path(name), []byte(content), 0o644))
}

func (s *sandbox) remove(name string) {
	s.t.Helper()
	check(s.t, os.RemoveAll(s.path(name)))
}

func (s *sandbox) rename(from, to string) {
	s.t.Helper()
	check(s.t, os.Rename(s.path(from), s.path(to)))
}

// want wants the object of a file.
func (s *sandbox) want(name, content string) { s.t.Helper(); s.bucket.Want(prefix+name, content) }
func (s *sandbox) wantNone(name string)      { s.t.Helper(); s.bucket.WantNone(prefix + name) }

// wantFile wants a file of the home.
func (s *sandbox) wantFile(name, content string) {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil || string(b) != content {
		s.t.Errorf("%s: %q, %v; want %q", name, b, err, content)
	}
}

// keys are those of the home.
func (s *sandbox) keys() (keys []string) {
	for _, k := range s.bucket.Keys(prefix) {
		keys = append(keys, strings.TrimPrefix(k, prefix))
	}
	return keys
}

// eventually waits for something that happens by itself. It looks again whenever the engine
// has done something.
func (s *sandbox) eventually(what string, ok func() bool) {
	s.t.Helper()
	ctx := s.ctx()
	for !ok() {
		s.e.mu.Lock()
		w := s.e.waiters
		s.e.mu.Unlock()
		select {
		case <-w:
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("never: %s; status %+v", what, s.e.Status())
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}
