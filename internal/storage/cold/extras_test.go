package cold_test

import (
	"testing"
	"time"
)

// TestStoredFilesAreAsListed: of files that were read, or written and stored, no more is kept in memory than of
// those that were only listed.
func TestStoredFilesAreAsListed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.bucket.Put(keys+"read", "text", nil)
	b.bucket.Put(keys+"appended", "text", nil)
	b.sh(`cat read; echo more >> appended; mkdir d; echo new > d/new; echo moved > m; chmod 600 d/new; mv m moved; echo gone > gone; rm gone`)
	b.sync()
	for end := time.Now().Add(30 * time.Second); ; {
		var kept []string
		if err := b.do("GET", "/extras", nil, &kept); err != nil {
			t.Fatal(err)
		}
		if len(kept) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("more is kept of %q", kept)
		}
		time.Sleep(10 * time.Millisecond) // nothing tells when the kernel gives a closed file back
	}
}
