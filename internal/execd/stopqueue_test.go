package execd

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

// TestExecsThatEndAtOnceAreStoppedTogether: all that come while the first two stops go on are ended by the third.
func TestExecsThatEndAtOnceAreStoppedTogether(t *testing.T) {
	stopped, goOn := make(chan []*execution), make(chan struct{})
	q := newStopQueue(func(execs []*execution) {
		stopped <- execs
		<-goOn
	})
	var ended sync.WaitGroup
	want := map[*execution]int{}
	come := func() {
		x := &execution{}
		want[x]++
		ended.Go(func() { q.end(x) })
	}
	had := func(execs []*execution) (n int) {
		for _, x := range execs {
			want[x]--
		}
		return len(execs)
	}
	for range mostStops {
		come()
		if n := had(<-stopped); n != 1 {
			t.Fatalf("where there is room %d are ended by one stop", n)
		}
	}
	const rest = execapi.MaxRunning - mostStops
	for range rest {
		come()
	}
	for until := time.Now().Add(patience); q.waiting() < rest; runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("%d wait, not %d", q.waiting(), rest)
		}
	}
	goOn <- struct{}{}
	if n := had(<-stopped); n != rest {
		t.Errorf("of %d that wait %d are ended by the next stop", rest, n)
	}
	close(goOn)
	ended.Wait()
	for x, n := range want {
		if n != 0 {
			t.Errorf("%p was ended %d times too few", x, n)
		}
	}
}

func (q *stopQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == nil {
		return 0
	}
	return len(q.next.execs)
}
