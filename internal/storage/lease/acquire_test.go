package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestASecondSandboxIsToldWhoHoldsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		acquire(t, options(s, c, "one"))
		time.Sleep(3 * time.Second)
		_, err := Acquire(t.Context(), options(s, c, "two"))
		var h *HeldError
		if !errors.As(err, &h) || h.SandboxID != "one" || h.Instance != "i-one" || h.Age != 3*time.Second {
			t.Fatalf("Acquire = %v", err)
		}
		for _, want := range []string{"s3://b/users/u/", `"one"`, "i-one", "3s ago", "LEASE_WAIT_SECONDS", "LEASE_TAKEOVER=i-one"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %s: %v", want, err)
			}
		}
	})
}

// Expiry is the server's Date against its own Last-Modified: more than 32 s, no less.
func TestALeaseExpiresByTheServersClockAlone(t *testing.T) {
	for _, skew := range []time.Duration{0, -5 * time.Hour, 90 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := &fakeStore{skew: skew}, newClock()
				acquire(t, options(s, c, "dead")).Close()
				time.Sleep(32 * time.Second)
				if _, err := Acquire(t.Context(), options(s, c, "next")); !errors.As(err, new(*HeldError)) {
					t.Fatalf("after 32 s: %v, want a HeldError", err)
				}
				time.Sleep(time.Second)
				acquire(t, options(s, c, "next"))
			})
		})
	}
}

func TestAServerWithoutDateNeverMakesALeaseExpire(t *testing.T) {
	s := stored{modified: time.Unix(1, 0)}
	if s.expired() {
		t.Error("a lease expired although the server says no time")
	}
	s = stored{modified: time.Unix(2, 0), date: time.Unix(1, 0)} // Last-Modified is rounded up
	if s.age() != 0 {
		t.Errorf("a lease was written %s ago", s.age())
	}
}

func TestWhoMayTakeItAtOnce(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		free   bool
	}{
		{"another", func(*Options) {}, false},
		{"the same instance", func(o *Options) { o.Instance = "i-dead" }, true},
		{"the same sandbox, another instance", func(o *Options) { o.SandboxID = "dead" }, false},
		{"takeover of the holder", func(o *Options) { o.Takeover = "i-dead" }, true},
		{"takeover of somebody else", func(o *Options) { o.Takeover = "i-other" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := &fakeStore{}, newClock()
				acquire(t, options(s, c, "dead")).Close()
				opts := options(s, c, "next")
				test.change(&opts)
				l, err := Acquire(t.Context(), opts)
				if test.free != (err == nil) {
					t.Fatalf("Acquire = %v", err)
				}
				if l != nil {
					l.Close()
				}
			})
		})
	}
}

func TestAReleasedLeaseIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		if err := l.Release(t.Context(), Seal{}); err != nil {
			t.Fatal(err)
		}
		if s.body != nil {
			t.Errorf("the object is still there: %s", s.body)
		}
		acquire(t, options(s, c, "two")).Close()
		// Where a DELETE has no condition, a record says so instead.
		s.overwrite(recordOf("two", "i-two", true))
		acquire(t, options(s, c, "three"))
	})
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		first := acquire(t, options(s, c, "one"))
		opts := options(s, c, "two")
		opts.Wait = time.Minute
		began := time.Now()
		if _, err := Acquire(t.Context(), opts); !errors.As(err, new(*HeldError)) || !strings.Contains(err.Error(), "after waiting 1m0s") {
			t.Fatalf("Acquire of a lease that is kept = %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it waited %s", took)
		}

		// Released while it waits.
		go func() {
			time.Sleep(25 * time.Second)
			if err := first.Release(context.Background(), Seal{}); err != nil {
				t.Error(err)
			}
		}()
		began = time.Now()
		second := acquire(t, opts)
		if took := time.Since(began); took > 27*time.Second {
			t.Errorf("it was free after 25 s and taken after %s", took)
		}

		// The holder dies while it waits.
		second.Close()
		began = time.Now()
		opts = options(s, c, "three")
		opts.Wait = time.Minute
		acquire(t, opts)
		if took := time.Since(began); took <= 32*time.Second || took > 35*time.Second {
			t.Errorf("a dead holder's lease was taken after %s", took)
		}

		// A stop while it waits.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		opts.SandboxID, opts.Instance = "four", "i-four"
		if _, err := Acquire(ctx, opts); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire = %v", err)
		}
	})
}

func TestAnUnreadableLeaseHoldsUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		s.overwrite([]byte("not json"))
		_, err := Acquire(t.Context(), options(s, c, "one"))
		if !errors.As(err, new(*HeldError)) || !strings.Contains(err.Error(), "cannot be read") {
			t.Fatalf("Acquire = %v", err)
		}
		opts := options(s, c, "one")
		opts.Takeover = "" // an empty INSTANCE is not one to take over
		opts.Wait = 40 * time.Second
		acquire(t, opts)
	})
}

func TestOneWinnerOfARace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for round := range 20 {
			s, c := &fakeStore{}, newClock()
			if round%2 == 1 { // half the rounds race for an expired one
				acquire(t, options(s, c, "dead")).Close()
				time.Sleep(33 * time.Second)
			}
			var won atomic.Int32
			var racing sync.WaitGroup
			for i := range 32 {
				racing.Go(func() {
					l, err := Acquire(t.Context(), options(s, c, fmt.Sprint(i)))
					if err == nil {
						won.Add(1)
						l.Close()
					} else if !errors.As(err, new(*HeldError)) {
						t.Error(err)
					}
				})
			}
			racing.Wait()
			if won.Load() != 1 {
				t.Fatalf("round %d has %d winners", round, won.Load())
			}
		}
	})
}

// The acquiring write arrives, its answer does not, and the client's own retry gets 412.
func TestAcquireRecognisesItsOwnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		once := true
		s.fault = func(int) fault {
			if once {
				once = false
				s.overwrite(recordOf("one", "i-one", false))
			}
			return answered
		}
		acquire(t, options(s, c, "one"))
	})
}
