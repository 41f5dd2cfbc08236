package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrx/sandbox/contract"
)

func TestRenewalsKeepTheFenceOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		w := mustWrite(t, l)
		time.Sleep(5*time.Minute + time.Second)
		if w.Err() != nil || l.Status().State != "held" {
			t.Errorf("after five minutes: %v, %+v", context.Cause(w), l.Status())
		}
		if s.writes != 31 {
			t.Errorf("%d writes of the lease in five minutes, want 1 and 30", s.writes)
		}
	})
}

// The deadline counts from the sending of the last renewal that was answered.
func TestTheFenceClosesOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		var changes []string
		opts := options(s, c, "one")
		opts.OnChange = func(st contract.LeaseStatus) { changes = append(changes, st.State) }
		l := acquire(t, opts)
		w := mustWrite(t, l)
		time.Sleep(11 * time.Second) // one renewal, at 10 s
		s.setFault(always(refused))

		time.Sleep(30*time.Second - 11*time.Second - time.Millisecond)
		synctest.Wait()
		if err := w.(*write).Context.Err(); err != nil {
			t.Fatalf("cancelled before its time: %v", err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		// Context, not Err: no caller has asked, the deadline's own goroutine did it.
		if err := w.(*write).cause(); !errors.Is(err, ErrInDoubt) {
			t.Fatalf("at the deadline the cause is %v, want ErrInDoubt", err)
		}
		if st := l.Status(); st.State != "waiting" || st.Warning == "" {
			t.Errorf("status = %+v", st)
		}

		// A new write waits, and goes on when the server is back and no other sandbox took the lease.
		admitted := make(chan error, 1)
		go func() {
			_, cancel, err := l.Write(context.Background())
			if err == nil {
				cancel()
			}
			admitted <- err
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-admitted:
			t.Fatalf("a write was admitted in doubt: %v", err)
		default:
		}
		s.setFault(nil)
		if err := <-admitted; err != nil {
			t.Fatalf("after the server came back: %v", err)
		}
		synctest.Wait()
		if len(changes) != 2 || changes[0] != "waiting" || changes[1] != "held" {
			t.Errorf("OnChange saw %v", changes)
		}
	})
}

func (w *write) cause() error { return context.Cause(w.Context) }

// A write that waits ends with its own context.
func TestAWriteInDoubtObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		s.setFault(always(refused))
		time.Sleep(writeFor)
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		if _, _, err := l.Write(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write = %v", err)
		}
	})
}

// A paused process wakes with no timer having fired yet. The first caller must learn that
// the deadline has passed.
func TestAPauseIsSeenBeforeAnyTimerFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		asked, silent := mustWrite(t, l), mustWrite(t, l)
		c.jump(writeFor - time.Nanosecond)
		if asked.Err() != nil {
			t.Fatal("cancelled one nanosecond early")
		}
		c.jump(time.Nanosecond)
		select {
		case <-asked.Done():
		default:
			t.Error("Done is open after the deadline")
		}
		if err := silent.(*write).cause(); !errors.Is(err, ErrInDoubt) {
			t.Errorf("the other write's cause is %v", err)
		}
	})
}

// A child context made by those who know nothing of leases sees the deadline when made.
func TestAChildMadeAfterThePauseIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		w := mustWrite(t, acquire(t, options(s, c, "one")))
		c.jump(writeFor)
		type key struct{}
		child, cancel := context.WithTimeout(context.WithValue(w, key{}, 1), time.Hour)
		defer cancel()
		if child.Err() == nil {
			t.Error("the child of a write past its deadline lives")
		}
	})
}

// An answer that takes longer than writeFor proves nothing about now.
func TestASlowAnswerDoesNotOpenTheFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		s.fault = func(n int) fault {
			if n == 1 {
				c.jump(writeFor + time.Second)
			}
			return answered
		}
		l := acquire(t, options(s, c, "one"))
		synctest.Wait()
		if s.writes < 2 {
			t.Fatal("no renewal followed at once")
		}
		mustWrite(t, l)
	})
}

func TestLostAnswersLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		w := mustWrite(t, l)
		s.setFault(func(n int) fault {
			if n%2 == 0 {
				return lostAnswer
			}
			return answered
		})
		time.Sleep(10 * time.Minute)
		if w.Err() != nil || l.Status().State != "held" {
			t.Errorf("lost answers closed the fence: %v, %+v", context.Cause(w), l.Status())
		}
	})
}

// takeFrom lets another sandbox take the lease of one that is cut off.
func takeFrom(t *testing.T, s *fakeStore) {
	t.Helper()
	time.Sleep(writeFor)
	s.overwrite(recordOf("two", "i-two", false))
}

func TestALostLeaseStaysLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		lostSeen := make(chan contract.LeaseStatus, 4)
		opts := options(s, c, "one")
		opts.OnChange = func(st contract.LeaseStatus) {
			if st.State == "lost" {
				lostSeen <- st
			}
		}
		l := acquire(t, opts)
		s.setFault(always(refused))
		takeFrom(t, s)
		s.setFault(nil)
		_, _, err := l.Write(t.Context())
		var gone *LostError
		if !errors.Is(err, ErrLost) || !errors.As(err, &gone) || gone.SandboxID != "two" || gone.Instance != "i-two" {
			t.Fatalf("Write = %v", err)
		}
		if st := <-lostSeen; st.State != "lost" || st.Warning == "" {
			t.Errorf("status = %+v", st)
		}
		before := s.writes
		s.mu.Lock()
		s.body = nil // the other one is done: still not ours
		s.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if _, _, err := l.Write(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("later Write = %v", err)
		}
		if s.writes != before {
			t.Error("a lost lease was written")
		}
		s.overwrite(recordOf("three", "i-three", false))
		if err := l.Release(t.Context(), Seal{}); err != nil || s.body == nil {
			t.Errorf("Release of a lost lease = %v, object there: %v", err, s.body != nil)
		}
	})
}

// A copy of a process, made when it held the lease: a disk that was cloned, a machine that was resumed twice.
func TestLeaseIsLostToACopyOfTheSameInstance(t *testing.T) {
	for name, copied := range map[string]func(t *testing.T, s *fakeStore, c *fakeClock, l *Lease){
		"a cloned disk": func(t *testing.T, s *fakeStore, c *fakeClock, l *Lease) { acquire(t, options(s, c, "one")) },
		"a machine resumed twice": func(t *testing.T, s *fakeStore, c *fakeClock, l *Lease) {
			twin := &Lease{opts: l.opts, log: l.log, clock: l.clock, changed: make(chan struct{}), etag: l.etag}
			if err := twin.renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, renewed := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s after %d renewals", name, renewed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, c := &fakeStore{}, newClock()
					l := acquire(t, options(s, c, "one"))
					w := mustWrite(t, l)
					time.Sleep(time.Duration(renewed)*renewEvery + time.Second)
					synctest.Wait()
					copied(t, s, c, l)
					time.Sleep(renewEvery)
					synctest.Wait()
					var gone *LostError
					if _, _, err := l.Write(t.Context()); !errors.As(err, &gone) || !gone.Copy {
						t.Fatalf("Write of a holder beside its copy = %v", err)
					}
					if w.Err() == nil {
						t.Error("a write under way goes on")
					}
					if err := l.Release(t.Context(), Seal{}); err != nil || s.body == nil {
						t.Errorf("Release = %v; the lease of the copy is there: %v", err, s.body != nil)
					}
				})
			})
		}
	}
}

// A holder that stops before its next renewal has not learned of its copy.
func TestReleaseLeavesACopyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		acquire(t, options(s, c, "one"))
		if err := l.Release(t.Context(), Seal{}); err != nil || s.body == nil {
			t.Errorf("Release = %v; the lease of the copy is there: %v", err, s.body != nil)
		}
	})
}

// The store was away for longer than writeFor, and the first renewal of that time had arrived.
func TestLateAnswerIsNoCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		s.setFault(func(n int) fault {
			if n == 2 {
				return lostAnswer
			}
			return refused
		})
		time.Sleep(renewEvery + 3*writeFor)
		s.setFault(nil)
		_, cancel, err := l.Write(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cancel()
	})
}

func TestADeletedLease(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // boot time that passes after the deletion, before the next renewal can run
		lost  bool
	}{
		{"is written anew while nobody may have had it", 0, false},
		{"is lost when somebody may", writeFor, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := &fakeStore{}, newClock()
				l := acquire(t, options(s, c, "one"))
				s.mu.Lock()
				s.body = nil
				s.mu.Unlock()
				c.jump(test.after)
				time.Sleep(renewEvery + time.Second)
				_, cancel, err := l.Write(t.Context())
				if test.lost != errors.Is(err, ErrLost) {
					t.Errorf("Write = %v", err)
				}
				if err == nil {
					cancel()
				}
			})
		})
	}
}

func TestReleaseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		w := mustWrite(t, l)
		// A renewal whose answer is lost is under way when it ends: the ETag is not the known one.
		s.setFault(always(lostAnswer))
		time.Sleep(renewEvery + time.Millisecond)
		s.setFault(nil)
		if err := l.Release(t.Context(), Seal{}); err != nil {
			t.Fatal(err)
		}
		if s.body != nil {
			t.Error("the object is still there")
		}
		if err := w.(*write).cause(); !errors.Is(err, ErrReleased) {
			t.Errorf("the write under way ended with %v", err)
		}
		if _, _, err := l.Write(t.Context()); !errors.Is(err, ErrReleased) {
			t.Errorf("Write = %v", err)
		}
		if err := l.Release(t.Context(), Seal{}); err != nil {
			t.Errorf("a second Release = %v", err)
		}
	})
}

func TestReleaseLeavesTheSuccessorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &fakeStore{}, newClock()
		l := acquire(t, options(s, c, "one"))
		s.overwrite(recordOf("two", "i-two", false))
		if err := l.Release(t.Context(), Seal{}); err != nil || s.body == nil {
			t.Errorf("Release = %v, the successor's lease is there: %v", err, s.body != nil)
		}
	})
}

func TestNoneAlwaysAdmits(t *testing.T) {
	w, cancel, err := None{}.Write(t.Context())
	if err != nil || w.Err() != nil {
		t.Fatal(err)
	}
	cancel()
	if w.Err() == nil {
		t.Error("cancel does nothing")
	}
	if st := (None{}).Status(); st.State != "none" || st.Warning == "" {
		t.Errorf("status = %+v", st)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := (None{}).Write(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Write with an ended context = %v", err)
	}
}
