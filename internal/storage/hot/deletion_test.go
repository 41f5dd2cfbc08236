package hot

import (
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// A deletion that is seen again while it is on its way is deleted again; nothing happens on
// the disk after that, and still the observer has to say that it has seen all before it.
func TestADeletionSeenAgainOnItsWayIsNotForgotten(t *testing.T) {
	s := newSandbox(t)
	s.bucket.Put(prefix+"gone", "x", nil)
	s.bucket.Put(prefix+"kept", "x", nil)
	s.start()
	s.saved()
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE"}, Times: 1, Do: gate})
	s.remove("gone")
	if !gate.WaitArrived(s.ctx(), 1) {
		t.Fatal("the deletion never leaves")
	}
	check(t, s.e.obs.catchUp(s.ctx(), true))
	gate.Open()
	s.eventually("nothing is pending", func() bool { return s.e.Status().DirtyFiles == 0 })
	wantKeys(t, s.keys(), "kept")
}

// The same in a flush, which would wait for it until its time is over.
func TestAFlushSendsADeletionSeenAgainOnItsWay(t *testing.T) {
	s := newSandbox(t)
	for _, name := range []string{"d/gone", "gone", "kept"} {
		s.bucket.Put(prefix+name, "x", nil)
	}
	s.start()
	s.saved()
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE"}, Do: gate})
	s.remove("d")
	s.remove("gone")
	s.e.Drain(time.Time{})
	if !gate.WaitArrived(s.ctx(), 2) {
		t.Fatal("the deletions never leave")
	}
	flushed := make(chan wire.Flushed, 1)
	go func() { flushed <- s.flush() }()
	check(t, s.e.obs.catchUp(s.ctx(), true)) // after the flush's own, or together with it
	check(t, s.e.obs.catchUp(s.ctx(), true))
	gate.Open()
	if f := <-flushed; f.UnsavedCount != 0 {
		t.Errorf("not saved: %+v", f)
	}
	wantKeys(t, s.keys(), "kept")
}
