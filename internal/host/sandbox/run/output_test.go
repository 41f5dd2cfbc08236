package run

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shared is what several goroutines write to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestWaitOfMoreThanTwoSecondsIsSaid(t *testing.T) {
	for took, said := range map[time.Duration]bool{time.Second: false, 3 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			var err shared
			over := Output{Err: &err}.waiting("the store of s3://%s/", "b")
			time.Sleep(took)
			synctest.Wait()
			over()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := strings.Contains(err.String(), "waiting for the store of s3://b/"); got != said {
				t.Errorf("after %s it says %q", took, err.String())
			}
		})
	}
}

// A reader that does not read holds up neither the writer nor the memory, and the newest is kept for it.
func TestLaterHoldsUpNoWriter(t *testing.T) {
	var got shared
	held := make(chan struct{})
	first := true
	l := &later{to: writerFunc(func(b []byte) (int, error) {
		if first {
			first = false
			<-held
		}
		return got.Write(b)
	})}
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range 4 * mostLater / len(line) {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("the last\n")); err != nil {
		t.Fatal(err)
	}
	close(held)
	<-l.written()
	if s := got.String(); len(s) > mostLater+2*len(line) || !strings.HasSuffix(s, "the last\n") {
		t.Errorf("%d bytes are written, and end in %q", len(s), s[max(0, len(s)-20):])
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
