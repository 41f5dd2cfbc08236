package execd

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"syscall"

	"github.com/matrx/sandbox/internal/execapi"
)

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
		if !s.isBound() {
			writeJSON(w, execapi.ErrUnbound.Status(), execapi.ErrUnbound.Because("the sandbox is no user's yet: bind it first"))
			return
		}
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
	x, reader, err := s.start(spec, wantsStream(r))
	if err != nil {
		return nil, err
	}
	if reader != nil {
		return nil, s.attach(w, x, reader, spec.Tied)
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
