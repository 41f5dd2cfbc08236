package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/contract"
)

// Backend is what the server shows. Both are called side by side.
type Backend interface {
	Status() contract.StorageStatus
	// Checkpoint returns when what was on disk at the call is in S3. An error that wraps
	// ErrNotReady is one of the moment.
	Checkpoint(ctx context.Context) (contract.Checkpoint, error)
}

// ErrNotReady says that there is nothing to be saved yet or any more.
var ErrNotReady = errors.New("not ready")

// answerFor is how long a client may take to read an answer.
const answerFor = 10 * time.Second

// Server is a control socket that is served.
type Server struct {
	http *http.Server
	path string
	done chan struct{}
}

// Serve makes the socket in runDir and serves it until Close. cold answers what is below
// contract.ControlColdPrefix; it may be nil.
func Serve(runDir string, backend Backend, cold http.Handler, log *slog.Logger) (*Server, error) {
	l, err := listen(runDir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		http: &http.Server{
			Handler: handler(backend, cold),
			// No ReadTimeout: it would end the context of a checkpoint that takes longer.
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       5 * time.Second,
			MaxHeaderBytes:    8 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		path: filepath.Join(runDir, contract.ControlSocketName),
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			log.Error("the control socket is not served any more", "event", "control_failed", "error", err)
		}
	}()
	return s, nil
}

// Close ends all connections and removes the socket. It may be called again.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return errors.Join(err, ignoreMissing(os.Remove(s.path)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func handler(b Backend, cold http.Handler) http.Handler {
	mux := http.NewServeMux()
	if cold != nil {
		mux.Handle(contract.ControlColdPrefix, cold)
	}
	mux.HandleFunc("GET "+contract.ControlStatusPath, func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, b.Status())
	})
	mux.HandleFunc("POST "+contract.ControlCheckpointPath, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// A body that never comes would also hide that the client has gone.
			w.Header().Set("Connection", "close")
			answer(w, http.StatusBadRequest, contract.ControlError{Error: "a checkpoint takes no body"})
			return
		}
		done, err := b.Checkpoint(r.Context())
		switch {
		case err == nil:
			answer(w, http.StatusOK, done)
		case errors.Is(err, ErrNotReady):
			answer(w, http.StatusServiceUnavailable, contract.ControlError{Error: err.Error()})
		default:
			answer(w, http.StatusInternalServerError, contract.ControlError{Error: err.Error()})
		}
	})
	mux.HandleFunc("GET "+contract.ControlMetricsPath, func(w http.ResponseWriter, r *http.Request) {
		setDeadline(w)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writeMetrics(w, b.Status())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, contract.ControlError{Error: "there is no " + r.Method + " " + r.URL.Path + " here"})
	})
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	setDeadline(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone, or reads too slowly
}

func setDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerFor))
}
