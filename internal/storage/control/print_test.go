package control

import (
	"testing"
	"time"
)

// The clock of this machine may be set back while a sandbox runs.
func TestTimesToComeAreShownAsNow(t *testing.T) {
	p := &page{now: time.Unix(1_700_000_000, 0)}
	if got, want := p.since(p.now.Add(time.Second)), short(0); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if got, want := p.since(p.now.Add(-time.Minute)), short(time.Minute); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}
