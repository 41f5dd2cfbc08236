package harness

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Screen collects output and lets one wait for it.
type Screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

// NewScreen is an empty one.
func NewScreen() *Screen { return &Screen{more: make(chan struct{}, 1)} }

// Write adds to the text.
func (s *Screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	s.text.Write(b)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// String is all that has come so far.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Await waits until the text is there.
func (s *Screen) Await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("%q has not come; there is:\n%s", text, s)
		}
	}
}

// AwaitLines waits for so many whole lines.
func (s *Screen) AwaitLines(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for strings.Count(s.String(), "\n") < n {
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("%d lines have not come; there is:\n%s", n, s)
		}
	}
}
