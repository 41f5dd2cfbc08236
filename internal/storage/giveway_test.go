package storage

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// listingCold is a cold path whose lists end with their requests alone.
type listingCold struct {
	fakeCold
	listing, ended chan struct{}
}

func (c *listingCold) Handler() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.listing <- struct{}{}
		<-r.Context().Done()
		c.ended <- struct{}{}
	})
}

// list asks for a list, and is gone when the test ends.
func list(t *testing.T, runDir string) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(runDir, contract.ControlSocketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go io.Copy(io.Discard, conn)
	fmt.Fprintf(conn, "GET %s?recursive=1 HTTP/1.1\r\nHost: sandbox\r\n\r\n", contract.ControlColdListPath)
}

// The lists that a workload has asked for end when the sandbox drains and when it flushes, before anything is saved.
func TestListsEndBeforeTheFlush(t *testing.T) {
	b := newBed(t)
	cold := &listingCold{listing: make(chan struct{}), ended: make(chan struct{})}
	b.cold = cold
	b.hot.flush = func(ctx context.Context) (wire.Flushed, error) {
		select {
		case <-cold.ended:
			return wire.Flushed{}, nil
		case <-ctx.Done():
			return wire.Flushed{}, fmt.Errorf("a list goes on beside the flush: %w", ctx.Err())
		}
	}
	b.start()
	if m := <-b.from; m.Hydrated == nil {
		t.Fatalf("%+v", m)
	}
	list(t, b.cfg.RunDir)
	b.reaches(t, cold.listing)
	b.to <- packet{Message: wire.Message{Drain: soon()}}
	b.reaches(t, cold.ended)
	<-b.hot.drained

	list(t, b.cfg.RunDir) // by a pre-stop hook
	b.reaches(t, cold.listing)
	b.to <- packet{Message: wire.Message{Flush: soon()}}
	if f := (<-b.from).Flushed; f == nil || f.Reason != "" {
		t.Errorf("Flushed = %+v", f)
	}
	if code := b.ends(); code != exitDone {
		t.Errorf("it ended with %d", code)
	}
}
