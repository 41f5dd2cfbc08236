package storage

import (
	"runtime"
	"testing"

	"github.com/matrx/sandbox/internal/wire"
)

// eager is a PID 1 that answers Hydrated before the sender has gone on.
type eager struct {
	*bed
	fd int
}

func (e eager) Send(m wire.Message, fds ...int) error {
	if m.Hydrated != nil {
		e.to <- packet{Message: wire.Message{Cold: &wire.Cold{}}, fds: []int{e.fd}}
		for range 1000 { // a reader of messages now has every chance to
			runtime.Gosched()
		}
	}
	return e.bed.Send(m, fds...)
}

// The FUSE descriptor that comes as fast as it can is served, and not taken for something
// that came during the hydrate.
func TestTheColdPathIsAskedForAtOnce(t *testing.T) {
	b := newBed(t)
	b.conn = eager{b, devNull(t)}
	b.start()
	<-b.from
	if m := <-b.from; m.ColdReady == nil {
		t.Errorf("PID 1 was told %+v", m)
	}
	b.to <- packet{Message: wire.Message{Stop: soon()}}
	<-b.from
	b.ends()
}
