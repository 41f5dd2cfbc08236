package storage

import (
	"context"
	"errors"
	"testing"

	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/wire"
)

// The seal passes from the lease to hydrate, and from the hot path to the lease once nothing is under way any more.
func TestSealPassesThroughTheSession(t *testing.T) {
	old, own := lease.Seal{Manifest: "old", Until: 1}, lease.Seal{Manifest: "own", Until: 2}
	for name, test := range map[string]struct {
		hydrate error
		message wire.Message
		want    lease.Seal // that the lease is released with; zero: it keeps the one that was there
	}{
		"flushed":      {nil, wire.Message{Flush: soon()}, own},
		"stopped":      {nil, wire.Message{Stop: soon()}, lease.Seal{}},
		"not hydrated": {errors.New("disk full"), wire.Message{}, lease.Seal{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			var left lease.Seal
			b.claim = func(context.Context) (lease.Holder, error) {
				return fakeHolder{journalOf: b.journalOf, seal: old, left: &left}, nil
			}
			b.hot.hydrate = func(context.Context) error { return test.hydrate }
			b.hot.seal = func() lease.Seal {
				if !b.hot.ended.Load() {
					t.Error("the hot path is asked for a seal while it may write")
				}
				return own
			}
			b.start()
			if m := <-b.from; m.Hydrated != nil {
				b.to <- packet{Message: test.message}
				<-b.from
			}
			b.ends()
			if b.hot.sealed != old || left != test.want {
				t.Errorf("hydrate was told %+v, and the lease %+v; want %+v and %+v", b.hot.sealed, left, old, test.want)
			}
		})
	}
}
