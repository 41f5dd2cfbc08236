package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// A seal stays true when later holders die, release the lease or come back: it passes through all of them.
func TestSealPassesFromHolderToHolder(t *testing.T) {
	first, newer := Seal{Manifest: "m1", Until: 1}, Seal{Manifest: "m2", Until: 2}
	for name, test := range map[string]struct {
		between func(t *testing.T, s *fakeStore, c *fakeClock)
		want    Seal
	}{
		"no other holder": {func(*testing.T, *fakeStore, *fakeClock) {}, first},
		"one that is killed after renewals": {func(t *testing.T, s *fakeStore, c *fakeClock) {
			l := acquire(t, options(s, c, "two"))
			time.Sleep(25 * time.Second)
			l.Close()
			time.Sleep(33 * time.Second)
		}, first},
		"one that is killed, and comes back": {func(t *testing.T, s *fakeStore, c *fakeClock) {
			acquire(t, options(s, c, "two")).Close()
			acquire(t, options(s, c, "two")).Close()
			time.Sleep(33 * time.Second)
		}, first},
		"one that has none to leave": {func(t *testing.T, s *fakeStore, c *fakeClock) {
			must(t, acquire(t, options(s, c, "two")).Release(t.Context(), Seal{}))
		}, first},
		"one that has another": {func(t *testing.T, s *fakeStore, c *fakeClock) {
			must(t, acquire(t, options(s, c, "two")).Release(t.Context(), newer))
		}, newer},
		"one whose release is not answered": {func(t *testing.T, s *fakeStore, c *fakeClock) {
			l := acquire(t, options(s, c, "two"))
			s.setFault(always(lostAnswer))
			if l.Release(t.Context(), newer) == nil {
				t.Error("the release succeeded without an answer")
			}
			s.setFault(nil)
		}, newer},
		"one whose object is deleted by hand": {func(t *testing.T, s *fakeStore, c *fakeClock) {
			l := acquire(t, options(s, c, "two"))
			s.mu.Lock()
			s.body = nil
			s.mu.Unlock()
			time.Sleep(11 * time.Second)
			must(t, l.Release(t.Context(), Seal{}))
		}, first},
		"no other holder, and the object is deleted by hand": {func(_ *testing.T, s *fakeStore, _ *fakeClock) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.body = nil
		}, Seal{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := &fakeStore{}, newClock()
				l := acquire(t, options(s, c, "one"))
				if l.Seal() != (Seal{}) {
					t.Errorf("the first holder finds %+v", l.Seal())
				}
				must(t, l.Release(t.Context(), first))
				test.between(t, s, c)
				if got := acquire(t, options(s, c, "last")).Seal(); got != test.want {
					t.Errorf("the last holder finds %+v, want %+v", got, test.want)
				}
			})
		})
	}
}

// A holder that lost its lease, whether it knows of that or not, leaves no seal.
func TestLostLeaseIsNotSealed(t *testing.T) {
	for name, known := range map[string]bool{"found out by a renewal": true, "found out by the release": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := &fakeStore{}, newClock()
				l := acquire(t, options(s, c, "one"))
				opts := options(s, c, "two")
				opts.Takeover = "i-one"
				acquire(t, opts)
				if known {
					time.Sleep(11 * time.Second)
				}
				must(t, l.Release(t.Context(), Seal{Manifest: "m", Until: 1}))
				r, err := s.Read(t.Context(), "")
				must(t, err)
				if r.SandboxID != "two" || r.Seal != (Seal{}) {
					t.Errorf("the lease is %+v", r.record)
				}
			})
		})
	}
}

// Stores that are asked to remove a sealed lease are asked to write it instead, and the next sandbox takes it at once.
func TestSealedLeaseInS3IsFree(t *testing.T) {
	b := testbed.S3(t).Bucket(t)
	store := openStore(t, b.Config(), b.Credentials())
	seal := Seal{Manifest: "m", Until: 1}
	must(t, acquire(t, s3Options(store, "one")).Release(t.Context(), seal))
	o, ok := b.Get(leaseKey)
	r, err := decode(o.Body)
	if !ok || err != nil || !r.Released || r.SandboxID != "one" || r.Seal != seal {
		t.Fatalf("the lease is %s, %v", o.Body, err)
	}
	if got := acquire(t, s3Options(store, "two")).Seal(); got != seal {
		t.Errorf("the next holder finds %+v", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
