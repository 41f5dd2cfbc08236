package execd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/threads"
)

// Server is the exec server. Its process must be a child subreaper and reap by the Reaper that it is given.
type Server struct {
	Options

	heap      *heap
	table     *table
	records   *records
	sightings *sightings
	spawner   *process.Spawner
	oom       *oomCount
	stops     *stopQueue
	copies    threads.Gate  // see mostCopies
	transfers chan struct{} // see mostTransfers
	ports     chan struct{} // see execapi.MaxPorts
	http      *http.Server
	env       []string      // of execs; valid once ready
	bound     atomic.Bool   // the sandbox is a user's; see isBound
	ready     chan struct{} // closed when the sandbox is
	hearing   sync.Mutex    // held while what PID 1 has said is read and done
	told      func() bool   // PID 1 has said something that has not been read; see draining
	becoming  sync.Once

	streams streams
	ctx     context.Context // done when the server ends
	stop    context.CancelFunc
}

// Options are what a server needs.
type Options struct {
	Home    string   // where execs start, and relative paths
	Unbound bool     // until Bind
	Environ *os.File // the environment of execs, each with a NUL after it, from Ready on
	Records *os.File // see records; nil: none
	Reaper  *process.Reaper
	Log     *slog.Logger
}

// What one request may take.
const (
	headerWithin = 10 * time.Second
	maxHeader    = 32 << 10
	mostConns    = 1024 // at a time; the others wait
)

// newServer makes a server, which knows the execs of the one before it.
func newServer(o Options) (*Server, error) {
	spawner, err := o.Reaper.NewSpawner(nil)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Options: o, heap: &heap{patience: readerPatience}, sightings: newSightings(), spawner: spawner, oom: newOOMCount(oomFiles()),
		copies: threads.NewGate(mostCopies), transfers: make(chan struct{}, mostTransfers),
		ports: make(chan struct{}, execapi.MaxPorts), ready: make(chan struct{}),
	}
	s.stops = newStopQueue(s.endDescendants)
	s.bound.Store(!o.Unbound)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.table = newTable(s.forgot)
	var found map[int]record
	s.records, found = openRecords(o.Records)
	for slot, r := range found {
		s.table.restore(s.lost(slot, r))
	}
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: headerWithin, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (s *Server) forgot(x *execution) {
	if x.out != nil {
		x.out.remove()
	}
	s.records.forget(x.slot)
	if x.child != nil {
		s.sightings.forget(x.spec.ID)
	}
}

// Drain starts no more execs: the sandbox stops. What ends from now on was stopped.
func (s *Server) Drain() { s.table.close() }

// draining says whether PID 1 has said so. It does before it signals any process, and what an exec ends by may be
// seen before what PID 1 has said was read: once the sandbox is ready that can only be that it stops.
func (s *Server) draining() bool {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	select {
	case <-s.ready:
		if s.told != nil && s.told() {
			return true
		}
	default:
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.table.closed
}

// Serve serves until Close.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&limited{Listener: l, places: make(chan struct{}, mostConns)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the streams once they have all that there is, at the latest when the time is up, and the server.
func (s *Server) Close(within time.Duration) {
	s.Drain()
	timely, stop := context.WithTimeout(context.Background(), within)
	defer stop()
	for _, x := range s.table.all() {
		select {
		case <-x.over:
		case <-timely.Done():
		}
	}
	select {
	case <-s.streams.idle():
	case <-timely.Done():
	}
	s.stop()
	_ = s.http.Close()
}
