package cold_test

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

// TestFlushWaitsForConflictCopies: what was pending when a flush began is pending still when it
// goes up under another name.
func TestFlushWaitsForConflictCopies(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	first, second := testbed.Hold(), testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/f"}, Do: first})
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: `f\.conflict-`}, Do: second})
	b.sh(`echo ours > f`)
	b.bucket.Put(keys+"f", "theirs", nil)
	left := b.flushing(func() {
		first.WaitArrived(t.Context(), 1)
		first.Open()
		second.WaitArrived(t.Context(), 1)
	})
	if len(left) != 1 || !strings.Contains(left[0].Path, "f.conflict-sb-") {
		t.Errorf("left: %+v", left)
	}
	second.Open()
	b.sync()
}

// TestFlushWaitsForRenamedFiles, whose content is not in S3 under any name yet.
func TestFlushWaitsForRenamedFiles(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	b.sh(`echo content > a`)
	left := b.flushing(func() {
		gate.WaitArrived(t.Context(), 1)
		b.sh(`mv a b`)
	})
	if len(left) != 1 || left[0].Path != b.path("b") {
		t.Errorf("left: %+v", left)
	}
	gate.Open()
	b.sync()
	b.bucket.Want(keys+"b", "content\n")
	b.bucket.WantNone(keys + "a")
}

// flushing does something while a flush goes on, then has its time be up, and gives what it could
// not bring to S3.
func (b *bed) flushing(during func()) []contract.Unsaved {
	b.t.Helper()
	var left []contract.Unsaved
	ended := make(chan error, 1)
	go func() { ended <- b.do("POST", "/flush?for=5m", nil, &left) }()
	during()
	if err := b.do("POST", "/flush/end", nil, nil); err != nil {
		b.t.Fatal(err)
	}
	if err := <-ended; err != nil {
		b.t.Fatal(err)
	}
	return left
}
