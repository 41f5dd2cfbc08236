package execd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
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
	Env     []string // of execs
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
		Options: o, heap: &heap{}, sightings: newSightings(), spawner: spawner, oom: newOOMCount(oomFiles()),
		copies: threads.NewGate(mostCopies), transfers: make(chan struct{}, mostTransfers),
		ports: make(chan struct{}, execapi.MaxPorts), ready: make(chan struct{}),
	}
	s.stops = newStopQueue(s.endDescendants)
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

// Ready lets requests through: the sandbox's files are there.
func (s *Server) Ready() { s.becoming.Do(func() { close(s.ready) }) }

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

// streams counts those under way.
type streams struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there is none; nil: no caller of idle waits
}

func (s *streams) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n += n; s.n == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// idle is closed when there is none.
func (s *streams) idle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	if s.n == 0 {
		close(c)
	} else {
		s.none = c
	}
	return c
}

// limited admits so many connections at a time.
type limited struct {
	net.Listener
	places chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &counted{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite ends one direction.
func (c *counted) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	return half.CloseWrite()
}

// handler answers a request with a value, or with a problem; nil: it has answered itself.
type handler func(w http.ResponseWriter, r *http.Request) (any, error)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range s.fileRoutes() {
		mux.HandleFunc(pattern, s.answer(h))
	}
	for pattern, h := range map[string]handler{
		"GET /v1/execs":              s.listExecs,
		"POST /v1/execs":             s.startExec,
		"GET /v1/execs/{id}":         s.getExec,
		"DELETE /v1/execs/{id}":      s.removeExec,
		"GET /v1/execs/{id}/attach":  s.attachExec,
		"POST /v1/execs/{id}/signal": s.signalExec,
		"POST /v1/execs/{id}/resize": s.resizeExec,
		"GET /v1/ports":              s.listPorts,
	} {
		mux.HandleFunc(pattern, s.answer(h))
	}
	connect := s.answer(s.connect)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect { // its request has no path
			connect(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.ready:
		case <-r.Context().Done():
			return
		}
		v, err := h(w, r)
		if err != nil {
			p, ok := errors.AsType[*execapi.Problem](err)
			if !ok {
				p = execapi.ErrFailed.Because("%v", err)
			}
			writeJSON(w, p.Status(), p)
			return
		}
		if v != nil {
			writeJSON(w, http.StatusOK, v)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// done is the answer of what has no other.
type done struct{}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, execapi.MaxRequest))
	if err := d.Decode(into); err != nil {
		return execapi.ErrInvalid.Because("the request is not understood: %v", err)
	}
	// Read to its end: only then does net/http notice that the client is gone.
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, execapi.MaxRequest))
	return nil
}

func (s *Server) listExecs(http.ResponseWriter, *http.Request) (any, error) {
	list := []execapi.Exec{}
	for _, x := range s.table.all() {
		list = append(list, x.info())
	}
	return list, nil
}

func (s *Server) startExec(w http.ResponseWriter, r *http.Request) (any, error) {
	var spec execapi.Spec
	if err := readJSON(w, r, &spec); err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err // the client is gone
	}
	x, err := s.start(spec)
	if err != nil {
		return nil, err
	}
	if wantsStream(r) {
		return nil, s.attach(w, x, 0, spec.Tied)
	}
	return x.info(), nil
}

func (s *Server) getExec(_ http.ResponseWriter, r *http.Request) (any, error) {
	x, err := s.table.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return x.info(), nil
}

func (s *Server) removeExec(_ http.ResponseWriter, r *http.Request) (any, error) {
	x, err := s.table.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	x.end(execapi.Stopped)
	select {
	case <-x.over:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if x.timeout != nil {
		x.timeout.Stop()
	}
	s.table.forget(x)
	return done{}, nil
}

func (s *Server) signalExec(w http.ResponseWriter, r *http.Request) (any, error) {
	var q struct{ Signal int }
	x, err := s.table.find(r.PathValue("id"))
	if err == nil {
		err = readJSON(w, r, &q)
	}
	if err != nil {
		return nil, err
	}
	if q.Signal < 1 || q.Signal > 64 {
		return nil, execapi.ErrInvalid.Because("the signal %d is wrong: it must be 1 to 64", q.Signal)
	}
	if err := x.signal(syscall.Signal(q.Signal)); err != nil {
		return nil, err
	}
	return done{}, nil
}

func (s *Server) resizeExec(w http.ResponseWriter, r *http.Request) (any, error) {
	var size execapi.Size
	x, err := s.table.find(r.PathValue("id"))
	if err == nil {
		err = readJSON(w, r, &size)
	}
	if err != nil {
		return nil, err
	}
	if x.tty == nil {
		return nil, execapi.ErrInvalid.Because("the exec %q has no terminal", x.spec.ID)
	}
	if err := x.tty.resize(size); err != nil && x.running() {
		return nil, err
	}
	return done{}, nil
}
