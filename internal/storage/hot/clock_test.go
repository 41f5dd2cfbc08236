package hot

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// A clock jumps by an hour, the sandbox's or the server's, either way: what is written before
// and after it arrives once, as it is, and a restart finds nothing in conflict.
func TestClockJumps(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run("ours "+name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			var jump atomic.Int64
			s.clock = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
			clockJumps(s, func() { jump.Store(int64(by)) })
		})
		t.Run("the server's "+name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			clockJumps(s, func() {
				at := time.Now().Add(by).UTC().Format(http.TimeFormat)
				s.proxy.Add(testbed.Fault{Do: testbed.SetResponseHeader("Date", at)})
			})
		})
	}
}

func clockJumps(s *sandbox, jump func()) {
	s.start()
	s.write("same", "one")
	s.write("changed", "one")
	s.write("gone", "one")
	s.saved()
	s.write("pending", "one")
	jump()
	s.write("changed", "two")
	s.write("new", "two")
	s.remove("gone")
	s.saved()
	wantAll := func() {
		s.t.Helper()
		for name, content := range map[string]string{"same": "one", "changed": "two", "new": "two", "pending": "one"} {
			s.want(name, content)
			s.wantFile(name, content)
		}
		s.wantNone("gone")
	}
	wantAll()
	s.write("changed", "three")
	s.write("changed", "two")
	s.flushed()
	wantAll()
	s.start().saved()
	wantAll()
	if n := s.e.Status().Conflicts; n != 0 || len(s.keys()) != 4 {
		s.t.Errorf("%d conflicts, keys %q", n, s.keys())
	}
}

// With a clock that was set back each new file is too young for its times, for as long as the clock was set
// back by: it is compared once more, and not again and again.
func TestFileIsComparedOnceWhenTheClockWasSetBack(t *testing.T) {
	s := newSandbox(t)
	s.clock = func() time.Time { return time.Now().Add(-time.Hour) }
	s.start()
	s.write("f", "x")
	s.saved()
	s.eventually("it was compared, and need not be any more", func() bool {
		e, _ := s.e.journal.Get("f")
		s.e.mu.Lock()
		defer s.e.mu.Unlock()
		return !e.Local.Racy && s.e.verify.len() == 0
	})
	s.flushed()
}
