package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// Against the embedded S3: what the fake store of the other tests takes for granted.

const leaseKey = "users/u/" + contract.LeaseName

// fastClock is boot time at fifty times its speed: renewals each 200 ms, a deadline after 400 ms.
type fastClock struct{}

const speed = 50

func (fastClock) Now() time.Duration { return bootClock{}.Now() * speed }

func (fastClock) Until(ctx context.Context, t time.Duration) error {
	return bootClock{}.Until(ctx, (t+speed-1)/speed)
}

func openStore(t testing.TB, cfg config.S3, creds wire.Credentials) *objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(context.Background(), objectstore.Options{S3: cfg, Credentials: creds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func s3Options(s *objectstore.Store, name string) Options {
	return Options{Store: Objects{s}, Key: leaseKey, Prefix: "s3://b/users/u/", SandboxID: name, Instance: "i-" + name, Clock: fastClock{}}
}

func TestLifeOfALeaseInS3(t *testing.T) {
	b := testbed.S3(t).Bucket(t)
	store := openStore(t, b.Config(), b.Credentials())
	first := acquire(t, s3Options(store, "one"))
	o, ok := b.Get(leaseKey)
	r, err := decode(o.Body)
	if !ok || err != nil || r.SandboxID != "one" || r.Instance != "i-one" || r.Released {
		t.Fatalf("the lease is %s, %v", o.Body, err)
	}
	_, err = Acquire(t.Context(), s3Options(store, "two"))
	var h *HeldError
	if !errors.As(err, &h) || h.Instance != "i-one" {
		t.Fatalf("a second one: %v", err)
	}
	for renewals := 0; renewals < 3; renewals++ {
		before := first.Status().Renewed
		for !first.Status().Renewed.After(before) {
			if st := first.Status(); st.State == "lost" {
				t.Fatalf("%+v", st)
			}
			time.Sleep(time.Millisecond)
		}
	}
	if err := first.Release(t.Context(), Seal{}); err != nil {
		t.Fatal(err)
	}
	b.WantNone(leaseKey)
	second := acquire(t, s3Options(store, "two"))
	second.Close() // as if killed
	opts := s3Options(store, "three")
	opts.Takeover = "i-two"
	acquire(t, opts)
	again := s3Options(store, "three")
	acquire(t, again)
}

func TestOneWinnerInS3(t *testing.T) {
	b := testbed.S3(t).Bucket(t)
	store := openStore(t, b.Config(), b.Credentials())
	for round := range 5 {
		var won atomic.Int32
		var mu sync.Mutex
		var winner *Lease
		var racing sync.WaitGroup
		for i := range 24 {
			racing.Go(func() {
				l, err := Acquire(t.Context(), s3Options(store, fmt.Sprintf("%d-%d", round, i)))
				if err == nil {
					won.Add(1)
					mu.Lock()
					winner = l
					mu.Unlock()
				} else if !errors.As(err, new(*HeldError)) {
					t.Error(err)
				}
			})
		}
		racing.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d has %d winners", round, won.Load())
		}
		if err := winner.Release(t.Context(), Seal{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLostAnswersInS3(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	// Every second write of the lease arrives and is not answered, the first one included.
	for i := range 10 {
		p.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Key: leaseKey}, After: 2 * i, Times: 1, Do: testbed.LoseAnswer()})
	}
	l := acquire(t, s3Options(openStore(t, p.Config(b), b.Credentials()), "one"))
	p.WaitFor(t.Context(), testbed.Match{Verb: "PUT", Key: leaseKey}, 20)
	if _, cancel, err := l.Write(t.Context()); err != nil {
		t.Errorf("Write = %v", err)
	} else {
		cancel()
	}
	p.ClearFaults()
	if err := l.Release(t.Context(), Seal{}); err != nil {
		t.Error(err)
	}
	b.WantNone(leaseKey)
}

func TestTheServerIsAwayAndComesBack(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	states := make(chan string, 16)
	opts := s3Options(openStore(t, p.Config(b), b.Credentials()), "one")
	opts.OnChange = func(st contract.LeaseStatus) { states <- st.State }
	l := acquire(t, opts)
	w := mustWrite(t, l)
	p.Away()
	<-w.Done()
	if !errors.Is(context.Cause(w), ErrInDoubt) {
		t.Errorf("the cause is %v", context.Cause(w))
	}
	for s := range states {
		if s == "waiting" {
			break
		}
	}
	p.Back()
	if _, cancel, err := l.Write(t.Context()); err != nil {
		t.Fatalf("Write after it came back = %v", err)
	} else {
		cancel()
	}

	// Away again, and now another one takes it.
	p.Away()
	for l.Status().State != "waiting" {
		time.Sleep(time.Millisecond)
	}
	other := s3Options(openStore(t, b.Config(), b.Credentials()), "two")
	other.Takeover = "i-one"
	acquire(t, other)
	p.Back()
	var gone *LostError
	if _, _, err := l.Write(t.Context()); !errors.As(err, &gone) || gone.Instance != "i-two" {
		t.Errorf("Write = %v, want it lost to i-two", err)
	}
}

// A DELETE without a condition could remove the successor's lease.
func TestReleaseWhereDeleteHasNoCondition(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	p.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE"}, Do: testbed.StripConditions()})
	store := openStore(t, p.Config(b), b.Credentials())
	if c, err := store.Probe(t.Context(), "users/u/.sandbox/probe-"); err != nil || c.Delete || !c.Put {
		t.Fatalf("Probe = %+v, %v", c, err)
	}
	p.Forget()
	l := acquire(t, s3Options(store, "one"))
	if err := l.Release(t.Context(), Seal{}); err != nil {
		t.Fatal(err)
	}
	if n := p.Count("DELETE"); n != 0 {
		t.Errorf("%d DELETEs were sent", n)
	}
	o, ok := b.Get(leaseKey)
	if r, err := decode(o.Body); !ok || err != nil || !r.Released || r.Instance != "i-one" {
		t.Errorf("the lease is %s, %v", o.Body, err)
	}
	acquire(t, s3Options(store, "two"))
}

func TestDeniedIsNotHeld(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	p.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: testbed.Refuse(403, "AccessDenied")})
	_, err := Acquire(t.Context(), s3Options(openStore(t, p.Config(b), b.Credentials()), "one"))
	if !errors.Is(err, objectstore.ErrAccessDenied) || errors.As(err, new(*HeldError)) {
		t.Errorf("Acquire = %v", err)
	}
}
