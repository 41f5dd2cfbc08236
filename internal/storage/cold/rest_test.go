package cold

import (
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// TestFilesRestBeforeTheyGoUp: the pause grows with what the upload before it sent, and ends.
func TestFilesRestBeforeTheyGoUp(t *testing.T) {
	now := time.Now()
	ch := &changes{core: &core{quiet: 250 * time.Millisecond}}
	for name, c := range map[string]struct {
		writers int
		sent    int64         // by an upload that has just ended
		since   time.Duration // the change that S3 does not have
		want    time.Duration // from now on
	}{
		"closed":                      {0, 0, 0, 250 * time.Millisecond},
		"open":                        {1, 0, 0, openRest},
		"open and changed for long":   {1, 0, openMost - time.Second, time.Second},
		"closed, 8 MiB were sent":     {0, 8 << 20, 0, 2 * time.Second},
		"open, 40 MiB were sent":      {1, 40 << 20, 0, 10 * time.Second},
		"1 GiB was sent":              {0, 1 << 30, 0, openMost},
		"1 GiB was sent, 10 s passed": {0, 1 << 30, 10 * time.Second, openMost - 10*time.Second},
	} {
		n := &node{kind: pending.File, ctime: now.UnixNano(), extra: &extra{writers: c.writers, sent: c.sent, sentAt: now}}
		s := &dirtyKey{node: n, since: now.Add(-c.since)}
		if got := ch.rested(s, now).Sub(now).Round(time.Millisecond); got != c.want {
			t.Errorf("%s: it goes up after %v, not %v", name, got, c.want)
		}
	}
}
