package objectstore

import (
	"strings"
	"sync"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

const (
	withBackslash = prefix + `a\b`
	withSlash     = prefix + "a/b"
)

// Where the store takes a backslash for a slash, the file of the one name is not touched for that of the other.
func TestKeyThatTheStoreTakesForAnotherIsRefused(t *testing.T) {
	b := newBench(t)
	b.fault("", 0, testbed.FoldBackslashes())
	b.probe()
	b.mustPut(withSlash, "of another name")
	says := []string{`a\\b`, "backslash", "allowBackslashInKey"}
	_, err := b.put(withBackslash, "body", PutOptions{})
	wantKind(t, err, ErrInvalid, says...)
	_, err = b.store.Copy(t.Context(), CopyRequest{SrcKey: withSlash, DstKey: withBackslash})
	wantKind(t, err, ErrInvalid, says...)
	wantKind(t, b.store.Delete(t.Context(), withBackslash, Condition{}), ErrInvalid, says...)
	_, err = b.get(withBackslash, GetOptions{})
	wantKind(t, err, ErrInvalid, says...)
	_, err = b.store.Head(t.Context(), withBackslash)
	wantKind(t, err, ErrInvalid, says...)
	if keys := b.bucket.Keys(""); len(keys) != 1 {
		t.Errorf("the bucket has %q", keys)
	}
	b.bucket.Want(withSlash, "of another name")
}

// Where it keeps them it is tried once, and only for a key that has one.
func TestStoreIsTriedWithABackslashOnce(t *testing.T) {
	b := newBench(t)
	b.probe()
	b.proxy.Forget()
	b.mustPut(withSlash, "body")
	if n := b.proxy.Count(""); n != 1 {
		t.Errorf("%d requests for a key without a backslash", n)
	}
	b.proxy.Forget()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := b.put(withBackslash, "other body", PutOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := b.proxy.Count(""); n != 8+3 {
		t.Errorf("%d requests for eight writes, want three more", n)
	}
	b.bucket.Want(withBackslash, "other body")
	for _, k := range b.bucket.Keys("") {
		if strings.Contains(k, "probe") {
			t.Errorf("%q is left", k)
		}
	}
}

// A store that is away is tried again.
func TestTrialWithABackslashThatFailsIsRepeated(t *testing.T) {
	b := newBench(t)
	b.fault("", 0, testbed.FoldBackslashes())
	b.probe()
	f := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "HEAD"}, Do: testbed.Refuse(403, "AccessDenied")})
	g := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET"}, Do: testbed.Refuse(403, "AccessDenied")})
	_, err := b.put(withBackslash, "body", PutOptions{})
	wantKind(t, err, ErrAccessDenied)
	f.Remove()
	g.Remove()
	_, err = b.put(withBackslash, "body", PutOptions{})
	wantKind(t, err, ErrInvalid, "backslash")
}
