package lease

import (
	"strings"
	"testing"
	"time"
)

// The lifecycle rule in docs/stores.md knows a lease by its size, and says how large one can be.
func TestLongestRecordIsWhatTheDocumentSays(t *testing.T) {
	seal := Seal{Manifest: strings.Repeat("0", 32), Until: 1 << 31}
	l := &Lease{opts: Options{SandboxID: strings.Repeat("x", 128), Instance: strings.Repeat("0", 32)}}
	if n := len(l.record(true, seal).encode()); n > 400 {
		t.Errorf("%d bytes", n)
	}
	l.opts.SandboxID = "sandbox-0123456789"
	if n := len(l.record(false, seal).encode()); n > 250 {
		t.Errorf("%d bytes", n)
	}
}

// Last-Modified may be later than the Date of the answer: a server rounds the one up, or caches the other.
func TestAgeIsNeverNegative(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	if age := (stored{modified: now.Add(time.Second), date: now}).age(); age != 0 {
		t.Errorf("%s", age)
	}
	if age := (stored{modified: now, date: now.Add(time.Minute)}).age(); age != time.Minute {
		t.Errorf("%s", age)
	}
}
