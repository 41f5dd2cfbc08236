package execd

import (
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/wire"
)

// mostStops bounds how many stops there are at a time: each waits in a thread.
const mostStops = 2

// stopQueue has the execs that are being ended. Those that come while there is no place for another stop wait together and
// are ended by one: however many reach their timeout at once, none waits for more than the stop before it.
type stopQueue struct {
	places chan struct{}
	stop   func([]*execution) // returns when none of their processes is left

	mu   sync.Mutex
	next *stopBatch // of those that wait; nil: none does
}

type stopBatch struct {
	execs []*execution
	done  chan struct{}
}

func newStopQueue(stop func([]*execution)) *stopQueue {
	return &stopQueue{places: make(chan struct{}, mostStops), stop: stop}
}

// end ends all processes of an exec and returns when none is left.
func (q *stopQueue) end(x *execution) {
	q.mu.Lock()
	mine, first := q.next, q.next == nil
	if first {
		mine = &stopBatch{done: make(chan struct{})}
		q.next = mine
	}
	mine.execs = append(mine.execs, x)
	q.mu.Unlock()
	if !first {
		<-mine.done
		return
	}
	q.places <- struct{}{}
	q.mu.Lock()
	q.next = nil
	q.mu.Unlock()
	q.stop(mine.execs)
	<-q.places
	close(mine.done)
}

const (
	endGrace  = time.Second      // from SIGTERM to SIGKILL
	endWithin = 10 * time.Second // after SIGKILL: what it has not ended by then is given up
)

// endDescendants ends all processes of some execs, with SIGKILL after the grace.
func (s *Server) endDescendants(execs []*execution) {
	var ids []string
	for _, x := range execs {
		ids = append(ids, x.spec.ID)
	}
	stop, err := process.NewStop()
	if err != nil {
		s.Log.Error("execs cannot be ended", "event", "exec_end_failed", "execs", ids, "error", err.Error())
		return
	}
	defer stop.Close()
	stop.Scope, stop.Log, stop.Now = descendants(execs), s.Log, wire.Boottime
	stop.KillAt, stop.Patience = wire.Boottime()+int64(endGrace), int64(endWithin)
	left, err := stop.Run()
	if err != nil || len(left) > 0 {
		s.Log.Error("processes of execs could not be ended", "event", "exec_left", "execs", ids, "processes", process.Names(left), "error", err)
	}
}
