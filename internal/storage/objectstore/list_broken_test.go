package objectstore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestBrokenOffListingIsNoWholeListing: a caller that compares a listing with the keys that it
// knows takes a key that did not come for deleted. That a page is under way when its context ends is a race, so it
// is run often.
func TestBrokenOffListingIsNoWholeListing(t *testing.T) {
	b := newBench(t)
	for i := range 4 {
		b.bucket.Put(fmt.Sprintf("%sf%d", prefix, i), "x", nil)
	}
	for i := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		gate := testbed.Hold()
		held := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, After: i % 3, Times: 1, Do: gate})
		go func() {
			<-gate.Arrived()
			cancel()
		}()
		n, broken := 0, false
		for _, err := range b.store.List(ctx, ListOptions{Prefix: prefix, MaxKeys: 1}) {
			if err == nil {
				n++
			} else if broken = true; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
		}
		if !broken {
			t.Fatalf("a listing that was broken off after %d of 4 keys ended without an error", n)
		}
		cancel()
		gate.Open()
		held.Remove()
	}
}
