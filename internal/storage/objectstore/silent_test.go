package objectstore

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// silencer is a router on the way to a store that can forget its connections: each stays open, and nothing
// that is sent over it arrives.
type silencer struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	all    []*silentConn
	opened int
}

type silentConn struct {
	net.Conn
	mu     sync.Mutex
	silent bool
}

func (c *silentConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		silent := c.silent
		c.mu.Unlock()
		if err != nil || !silent {
			return n, err
		}
	}
}

func newSilencer(t *testing.T, endpoint string) *silencer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silencer{listener: l, to: strings.TrimPrefix(endpoint, "http://")}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.relay(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.all {
			c.Close()
		}
		s.mu.Unlock()
		running.Wait()
	})
	return s
}

func (s *silencer) relay(conn net.Conn) {
	c := &silentConn{Conn: conn}
	up, err := net.Dial("tcp", s.to)
	if err != nil {
		conn.Close()
		return
	}
	s.mu.Lock()
	s.all = append(s.all, c)
	s.opened++
	s.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(up, c); up.Close() })
	both.Go(func() { _, _ = io.Copy(c, up); c.Close() })
	both.Wait()
}

// forget silences the connections that are open, and says how many those are.
func (s *silencer) forget() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		c.mu.Lock()
		c.silent = true
		c.mu.Unlock()
	}
	n := s.opened
	s.opened = 0
	return n
}

// afterSilence is a Store whose idle connections, as many, have been forgotten on the way.
func (b *bench) afterSilence(idle int, change ...func(*Options)) *Store {
	b.Helper()
	way := newSilencer(b.T, b.proxy.Endpoint)
	c := b.proxy.Config(b.bucket)
	c.Endpoint = "http://" + way.listener.Addr().String()
	s := open(b.T, c, b.bucket.Credentials(), change...)
	gate := testbed.Hold()
	f := b.fault("HEAD", idle, gate)
	var asked sync.WaitGroup
	for range idle {
		asked.Go(func() { _, _ = s.Head(b.Context(), "none") })
	}
	if !gate.WaitArrived(b.Context(), idle) {
		b.Fatal("they do not come")
	}
	gate.Open()
	asked.Wait()
	f.Remove()
	if n := way.forget(); n != idle {
		b.Fatalf("%d connections are open, want %d", n, idle)
	}
	return s
}

// A router that forgets connections without a word takes those with it that are idle: a request that got
// no answer in its time is not sent over another one of them.
func TestSilentConnectionTakesTheIdleOnesWithIt(t *testing.T) {
	const idle = 6
	t.Run("that stalls", func(t *testing.T) {
		s := newBench(t).afterSilence(idle, func(o *Options) { o.Stall = 500 * time.Millisecond })
		before := s.Requests()["LIST"]
		if err := s.Check(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
		if n := s.Requests()["LIST"] - before; n >= idle {
			t.Errorf("%d requests: each silent connection was tried", n)
		}
	})
	t.Run("whose caller's time ends", func(t *testing.T) {
		s := newBench(t).afterSilence(idle)
		for s.Requests()["LIST"] == 0 {
			short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			err := s.Check(short, prefix)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		before := s.Requests()["LIST"]
		if err := s.Check(t.Context(), prefix); err != nil || s.Requests()["LIST"] != before+1 {
			t.Errorf("%v after %d requests", err, s.Requests()["LIST"]-before)
		}
	})
}

// A store that takes longer for an answer than a connection may be silent is slow, and not away: each
// attempt gives it more time.
func TestSlowAnswerIsAwaitedInTheEnd(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Stall = 200 * time.Millisecond })
	b.fault("LIST", 0, testbed.Slow(700*time.Millisecond))
	if err := b.store.Check(t.Context(), prefix); err != nil {
		t.Error(err)
	}
}
