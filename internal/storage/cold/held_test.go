package cold_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/testbed"
)

// TestFailingChangeHoldsNothingElse: a change that cannot go up is named with its reason, and neither
// other files nor deletions wait for it.
func TestFailingChangeHoldsNothingElse(t *testing.T) {
	big := random(4 << 20)
	for name, c := range map[string]struct {
		opts   []option
		change func(*bed)
		named  string
		reason string
	}{
		"its object was replaced before all of it was here": {nil, func(b *bed) {
			// The rest of it stays away until its object is replaced, whenever it is asked for.
			gate := testbed.Hold()
			b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/big"}, Do: gate})
			f := open(b.t.(*testing.T), b.path("big"), os.O_WRONLY)
			if _, err := f.WriteAt(wholeBlock(), 2<<20); err != nil {
				b.t.Fatal(err)
			}
			b.bucket.Put(keys+"big", "theirs", nil)
			gate.Open()
			if err := f.Close(); err != nil && !errors.Is(err, syscall.ESTALE) {
				b.t.Fatal(err)
			}
		}, "big.conflict-sb-", "replaced or deleted by another client"},
		"the store refuses it": {nil, func(b *bed) {
			b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/small"}, Do: testbed.Refuse(403, "AccessDenied")})
			b.sh(`echo new > small`)
		}, "small", "access denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, append([]option{throughProxy}, c.opts...)...)
			b.bucket.Put(keys+"big", big, nil)
			b.bucket.Put(keys+"small", "old", nil)
			b.bucket.Put(keys+"removed", "x", nil)
			b.sh(`ls`)
			c.change(b)
			b.sh(`rm removed; echo yes > other`)
			left := b.flush()
			if len(left) != 1 || !strings.Contains(left[0].Path, c.named) || !strings.Contains(left[0].Reason, c.reason) {
				t.Errorf("left: %+v", left)
			}
			if st := b.status(); !slices.ContainsFunc(st.Failed, func(u contract.Unsaved) bool { return strings.Contains(u.Path, c.named) }) {
				t.Errorf("status: %+v", st)
			}
			b.bucket.WantNone(keys + "removed")
			b.bucket.Want(keys+"other", "yes\n")
			if strings.HasPrefix(c.named, "big") {
				if got := b.sh(`cat big`); got != "theirs" {
					t.Errorf("theirs reads %q", got)
				}
			}
		})
	}
}

// wholeBlock is a block of content in memory that one request carries: a write of it needs nothing of what
// was there.
func wholeBlock() []byte {
	b := alignedBuffer(cache.BlockSize)
	copy(b, random(cache.BlockSize))
	return b
}

// TestPassingFailureHoldsNoDeletion of other files, where S3 has a whole version of the file that fails.
func TestPassingFailureHoldsNoDeletion(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, cacheMax(2<<20))
	big := random(6 << 20)
	b.bucket.Put(keys+"big", big, nil)
	b.bucket.Put(keys+"removed", "x", nil)
	b.sh(`ls`)
	// What has to be fetched of it before it can go up does not fit into the cache.
	f := open(t, b.path("big"), os.O_WRONLY)
	if _, err := f.WriteAt(wholeBlock(), 2<<20); err != nil {
		t.Fatal(err)
	}
	b.sh(`rm removed`)
	if err := b.do("POST", contract.ControlColdSyncPath+"?path=removed", nil, nil); err != nil {
		t.Fatal(err)
	}
	left := b.flushing(func() {})
	if len(left) != 1 || left[0].Path != b.path("big") || !strings.Contains(left[0].Reason, "cache is full") {
		t.Errorf("left: %+v", left)
	}
	b.bucket.WantNone(keys + "removed")
}
