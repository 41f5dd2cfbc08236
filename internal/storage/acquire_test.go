package storage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

func newAcquirer(t *testing.T, s3 config.S3, creds wire.Credentials, name string) *acquirer {
	t.Helper()
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: s3, Credentials: creds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return &acquirer{cfg: &config.Config{SandboxID: name, UserID: "u", S3: s3}, store: store, instance: "i-" + name,
		log: slog.New(slog.DiscardHandler), onChange: func(contract.LeaseStatus) {}}
}

func TestClaim(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	h, err := newAcquirer(t, b.Config(), b.Credentials(), "one").claim(t.Context(), time.Minute, 0)
	if err != nil || h.Status().State != "held" {
		t.Fatalf("claim = %v", err)
	}
	if keys := b.Keys(""); !slices.Equal(keys, []string{"users/u/.sandbox/lease"}) {
		t.Errorf("a claim leaves %q in S3", keys)
	}
	two := newAcquirer(t, b.Config(), b.Credentials(), "two")
	_, err = two.claim(t.Context(), time.Minute, 0)
	var held *lease.HeldError
	if !errors.As(err, &held) || held.SandboxID != "one" || !strings.Contains(err.Error(), "s3://"+b.Name+"/users/u/") {
		t.Errorf("a second claim = %v", err)
	}
	again, err := two.reclaim(t.Context(), func(string) {})
	if err != nil || again.Status().State != "lost" {
		t.Errorf("reclaim of what another has = %v, %v", again, err)
	}
	if err := h.Release(t.Context(), lease.Seal{}); err != nil {
		t.Error(err)
	}
	if keys := b.Keys(""); len(keys) != 0 {
		t.Errorf("after Release %q is in S3", keys)
	}
}

func TestAStoreWithoutConditionsHasNoLease(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	p.Add(testbed.Fault{Do: testbed.StripConditions()})
	for _, name := range []string{"one", "two"} { // no lease keeps the second out
		h, err := newAcquirer(t, p.Config(b), b.Credentials(), name).claim(t.Context(), time.Minute, 0)
		if err != nil {
			t.Fatal(err)
		}
		if st := h.Status(); st.State != "none" || !strings.Contains(st.Warning, "overwrite each other's files") {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// Some stores make the bucket that is written to: a mistyped name would be an empty home at the next start.
func TestNothingIsWrittenBeforeTheBucketIsSeen(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	p.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, Do: testbed.Refuse(404, "NoSuchBucket")})
	_, err := newAcquirer(t, p.Config(b), b.Credentials(), "one").claim(t.Context(), time.Minute, 0)
	if !errors.Is(err, objectstore.ErrNoBucket) {
		t.Errorf("claim = %v", err)
	}
	for _, r := range p.Requests() {
		if r.Method != "GET" && r.Method != "HEAD" {
			t.Errorf("%s %s", r.Verb, r.Key)
		}
	}
}

// Stores that refuse conditions, each in its own way: there is no lease, and the start goes on.
func TestStoreThatRefusesConditionsHasNoLease(t *testing.T) {
	for name, faults := range map[string][]testbed.Fault{
		"501 to each": {
			{When: testbed.Match{Header: "If-Match"}, Do: testbed.Refuse(501, "NotImplemented")},
			{When: testbed.Match{Header: "If-None-Match"}, Do: testbed.Refuse(501, "NotImplemented")},
		},
		"412 to each If-Match": {{When: testbed.Match{Header: "If-Match"}, Do: testbed.Refuse(412, "PreconditionFailed")}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testbed.S3(t)
			b := srv.Bucket(t)
			// A lease of an earlier sandbox that may be taken over, so that it is written with If-Match.
			b.Put("users/u/"+contract.LeaseName, `{"sandbox_id":"zero","instance":"i-one","released":true,"nonce":"n"}`, nil)
			p := testbed.Proxy(t, srv)
			for _, f := range faults {
				p.Add(f)
			}
			h, err := newAcquirer(t, p.Config(b), b.Credentials(), "one").claim(t.Context(), time.Minute, 0)
			if err != nil || h.Status().State != "none" {
				t.Errorf("claim = %v, %v", h, err)
			}
		})
	}
}

func TestStoreThatComparesBareETagsHasALease(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	p.Add(testbed.Fault{Do: testbed.BareETags()})
	h, err := newAcquirer(t, p.Config(b), b.Credentials(), "one").claim(t.Context(), time.Minute, 0)
	if err != nil || h.Status().State != "held" {
		t.Fatalf("claim = %v, %v", h, err)
	}
	if err := h.Release(t.Context(), lease.Seal{}); err != nil {
		t.Error(err)
	}
	b.WantNone("users/u/" + contract.LeaseName)
}

// What is wrong is said as what it is, and the lease is not left behind.
func TestWhatIsWrongWithTheBucket(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	missing := b.Config()
	missing.Bucket = "no-such-bucket"
	wrongKey := b.Credentials()
	wrongKey.Env["AWS_SECRET_ACCESS_KEY"] = "wrong"
	denied := testbed.Proxy(t, srv)
	denied.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE", Regexp: "probe-"}, Do: testbed.Refuse(403, "AccessDenied")})
	away := b.Config()
	away.Endpoint = "http://" + testbed.FreeAddress(t) // last: who listens next may get this address
	for _, test := range []struct {
		name   string
		s3     config.S3
		creds  wire.Credentials
		within time.Duration
		want   error
	}{
		{"no bucket", missing, b.Credentials(), time.Minute, objectstore.ErrNoBucket},
		{"a wrong secret", b.Config(), wrongKey, time.Minute, objectstore.ErrBadCredentials},
		{"away", away, b.Credentials(), 300 * time.Millisecond, objectstore.ErrUnavailable},
		{"may not delete", denied.Config(b), b.Credentials(), time.Minute, objectstore.ErrAccessDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newAcquirer(t, test.s3, test.creds, "one")
			if _, err := c.claim(t.Context(), test.within, 0); !errors.Is(err, test.want) {
				t.Errorf("claim = %v, want %v", err, test.want)
			}
			b.WantNone("users/u/" + contract.LeaseName)
		})
	}
}

// A sandbox that is stopped while it takes the lease leaves none behind: what it was writing is
// let arrive, and given back.
func TestStoppedWhileTheLeaseIsWritten(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	gate := testbed.Hold()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: contract.LeaseName + "$"}, Times: 1, Do: gate})
	ctx, stop := context.WithCancelCause(t.Context())
	claimed := make(chan error, 1)
	go func() {
		_, err := newAcquirer(t, p.Config(b), b.Credentials(), "one").claim(ctx, time.Minute, 0)
		claimed <- err
	}()
	if !gate.WaitArrived(t.Context(), 1) {
		t.Fatal("no lease is written")
	}
	stopped := errors.New("stopped")
	stop(stopped)
	gate.Open()
	if err := <-claimed; !errors.Is(err, stopped) {
		t.Errorf("claim = %v", err)
	}
	b.WantNone("users/u/" + contract.LeaseName)
	if n := p.Count("DELETE"); n == 0 {
		t.Error("it never was there")
	}
}

// One that resumes while S3 is away says so and goes on trying.
func TestReclaimOutlastsAnOutage(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	p.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, Times: 1, Do: testbed.Refuse(403, "AccessDenied")})
	problems := make(chan string, 16)
	h, err := newAcquirer(t, p.Config(b), b.Credentials(), "one").reclaim(t.Context(), func(s string) { problems <- s })
	if err != nil {
		t.Fatal(err)
	}
	if first := <-problems; !strings.Contains(first, "changes are kept on disk only") || !strings.Contains(first, "access denied") {
		t.Errorf("the problem was %q", first)
	}
	if last := <-problems; last != "" {
		t.Errorf("and then %q", last)
	}
	if err := h.Release(t.Context(), lease.Seal{}); err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	p.Away()
	c := newAcquirer(t, p.Config(b), b.Credentials(), "two")
	cancel()
	if _, err := c.reclaim(ctx, func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("reclaim of a process that ends = %v", err)
	}
}

func TestSweepRemovesOldProbesOnly(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	const old, young, other = "users/u/.sandbox/probe-A-put", "users/u/.sandbox/probe-B-put", "users/u/.sandbox/lease"
	for _, k := range []string{old, young, other} {
		b.Put(k, "x", nil)
	}
	// The embedded S3 keeps objects as files, whose mtime is Last-Modified.
	long := time.Now().Add(-2 * time.Hour)
	for _, k := range []string{old, other} {
		if err := os.Chtimes(filepath.Join(srv.Data, b.Name, k), long, long); err != nil {
			t.Fatal(err)
		}
	}
	newAcquirer(t, b.Config(), b.Credentials(), "one").sweep(t.Context())
	if keys := b.Keys(""); !slices.Equal(keys, []string{other, young}) {
		t.Errorf("what is left: %q", keys)
	}
}
