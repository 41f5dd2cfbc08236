package credentials

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestKeyring: early, once, and not for every request.
func TestKeyring(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	src := &fakeSource{}
	k := &Keyring{source: src, now: func() time.Time { return now }}
	get := func() *Credentials {
		t.Helper()
		c, err := k.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	src.next = Credentials{AccessKey: "1", Expires: now.Add(time.Hour), Renew: now.Add(55 * time.Minute)}
	for range 3 {
		get()
	}
	if src.asked != 1 {
		t.Errorf("asked %d times", src.asked)
	}
	now = now.Add(54 * time.Minute)
	src.next.AccessKey = "2"
	if get().AccessKey != "1" {
		t.Error("asked too early")
	}
	now = now.Add(2 * time.Minute)
	src.err = errors.New("down")
	if get().AccessKey != "1" || src.asked != 2 {
		t.Errorf("what is still good is not used; asked %d times", src.asked)
	}
	get()
	if src.asked != 2 {
		t.Error("a source that is down is asked at every request")
	}
	now = now.Add(90 * time.Second)
	src.err, src.next.Expires, src.next.Renew = nil, now.Add(time.Hour), now.Add(55*time.Minute)
	if get().AccessKey != "2" {
		t.Error("not renewed")
	}
	now = now.Add(2 * time.Hour)
	src.err = errors.New("down")
	if _, err := k.Get(t.Context()); !errors.Is(err, src.err) {
		t.Errorf("expired, and the source is down: %v", err)
	}
	src.err = nil
	src.next.Expires, src.next.Renew = now.Add(time.Hour), now.Add(-time.Minute) // a source that says what is due already
	before := src.asked
	get()
	get()
	if src.asked != before+1 {
		t.Errorf("asked %d times more", src.asked-before)
	}
	old := get()
	src.next.AccessKey = "3"
	refused := func(c *Credentials) bool { renewed, _ := k.Refused(t.Context(), c); return renewed }
	if !refused(old) || get().AccessKey != "3" {
		t.Error("refused, and not asked again")
	}
	asked := src.asked
	if !refused(old) || src.asked != asked {
		t.Error("a late refusal of what is no longer in use asks again")
	}
	if refused(get()) {
		t.Error("the same again counts as new")
	}
}

// TestNobodyWaits for a source that is asked early: what is in use is still good. Those who have
// nothing wait for the one request.
func TestNobodyWaits(t *testing.T) {
	now := time.Now()
	src := &slowSource{asked: make(chan struct{}), answer: make(chan Credentials)}
	k := &Keyring{source: src, now: func() time.Time { return now }}
	got := make(chan *Credentials, 3)
	ask := func() {
		c, err := k.Get(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- c
	}
	for range 3 {
		go ask()
	}
	<-src.asked
	src.answer <- Credentials{AccessKey: "1", Expires: now.Add(2 * time.Minute), Renew: now.Add(-time.Minute)}
	for range 3 {
		if c := <-got; c.AccessKey != "1" {
			t.Errorf("%+v", c)
		}
	}
	k.mu.Lock()
	k.current.Renew = now
	k.mu.Unlock()
	go ask()
	<-src.asked
	if c, err := k.Get(t.Context()); err != nil || c.AccessKey != "1" { // would wait for ever
		t.Errorf("%+v, %v", c, err)
	}
	src.answer <- Credentials{AccessKey: "2"}
	if c := <-got; c.AccessKey != "2" {
		t.Errorf("%+v", c)
	}
	k.current = nil
	go ask()
	<-src.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waited with a context that has ended: %v", err)
	}
	src.answer <- Credentials{AccessKey: "3"}
	<-got
}

type slowSource struct {
	asked  chan struct{}
	answer chan Credentials
}

func (s *slowSource) String() string { return "slow" }
func (s *slowSource) Read(context.Context) (Credentials, error) {
	s.asked <- struct{}{}
	return <-s.answer, nil
}

type fakeSource struct {
	next  Credentials
	err   error
	asked int
}

func (f *fakeSource) String() string { return "fake" }
func (f *fakeSource) Read(context.Context) (Credentials, error) {
	f.asked++
	return f.next, f.err
}
