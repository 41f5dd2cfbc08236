package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
)

// fakeClock is boot time inside a synctest bubble. jump moves it without letting any timer
// fire, as a pause of the whole process does.
type fakeClock struct {
	start time.Time
	mu    sync.Mutex
	extra time.Duration
}

func newClock() *fakeClock { return &fakeClock{start: time.Now()} }

func (c *fakeClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.extra
}

func (c *fakeClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extra += d
}

func (c *fakeClock) Until(ctx context.Context, t time.Duration) error {
	select {
	case <-time.After(t - c.Now()):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// fakeStore is a server with one object, conditions, a clock of its own and faults.
type fakeStore struct {
	mu       sync.Mutex
	body     []byte
	version  int
	modified time.Time
	skew     time.Duration // of the server's clock
	writes   int
	// fault is asked before each write. It may wait; the request then arrives that much later.
	fault func(write int) fault
}

type fault int

const (
	answered   fault = iota
	lostAnswer       // the write arrives, its answer does not
	refused          // the write does not arrive
)

var errAway = errors.New("connection refused")

func (s *fakeStore) now() time.Time { return time.Now().Add(s.skew).Truncate(time.Second) }

func (s *fakeStore) etag() string { return fmt.Sprintf("%q", fmt.Sprint(s.version)) }

func (s *fakeStore) ask() fault {
	s.mu.Lock()
	s.writes++
	ask, n := s.fault, s.writes
	s.mu.Unlock()
	if ask == nil {
		return answered
	}
	return ask(n)
}

func (s *fakeStore) Read(ctx context.Context, _ string) (stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		return stored{}, errNoLease
	}
	r, _ := decode(s.body)
	return stored{record: r, etag: s.etag(), modified: s.modified, date: s.now()}, ctx.Err()
}

func (s *fakeStore) apply(body []byte, etag string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (etag == "") != (s.body == nil) || etag != "" && etag != s.etag() {
		return "", errChanged
	}
	s.body, s.modified = bytes.Clone(body), s.now()
	s.version++
	return s.etag(), nil
}

func (s *fakeStore) Write(ctx context.Context, _ string, body []byte, etag string) (string, error) {
	f := s.ask()
	if f == refused {
		return "", errAway
	}
	newETag, err := s.apply(body, etag)
	if f == lostAnswer {
		return "", errAway
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return newETag, err
}

func (s *fakeStore) Remove(ctx context.Context, _ string, etag string, _ []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		return nil
	}
	if etag != s.etag() {
		return errChanged
	}
	s.body = nil
	return nil
}

func (s *fakeStore) setFault(f func(write int) fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// overwrite is another client's unconditional write.
func (s *fakeStore) overwrite(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.modified = body, s.now()
	s.version++
}

func always(f fault) func(int) fault { return func(int) fault { return f } }

func recordOf(sandbox, instance string, released bool) []byte {
	return record{LeaseHolder: contract.LeaseHolder{SandboxID: sandbox, Instance: instance, Released: released}}.encode()
}

// options for a sandbox named name, whose INSTANCE is i-name.
func options(s *fakeStore, c *fakeClock, name string) Options {
	return Options{Store: s, Key: "users/u/.sandbox/lease", Prefix: "s3://b/users/u/",
		SandboxID: name, Instance: "i-" + name, Clock: c, Log: slog.New(slog.DiscardHandler)}
}

// acquire takes the lease for name and closes it when the test ends.
func acquire(t *testing.T, opts Options) *Lease {
	t.Helper()
	l, err := Acquire(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func mustWrite(t *testing.T, l *Lease) context.Context {
	t.Helper()
	w, cancel, err := l.Write(t.Context())
	if err != nil {
		t.Fatalf("Write = %v", err)
	}
	t.Cleanup(cancel)
	return w
}
