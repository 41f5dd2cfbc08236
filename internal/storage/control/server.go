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
	http  *http.Server
	lists *lists
	path  string
	done  chan struct{}
}

// Serve makes the socket in runDir and serves it until Close. cold answers what is below
// contract.ControlColdPrefix; it may be nil.
func Serve(runDir string, backend Backend, cold http.Handler, log *slog.Logger) (*Server, error) {
	l, err := listen(runDir)
	if err != nil {
		return nil, err
	}
	bounded := newLists(cold)
	s := &Server{
		lists: bounded,
		http: &http.Server{
			Handler:     withoutBody(handler(backend, cold, bounded)),
			ConnContext: withTurns,
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

// GiveWayToDrain ends the lists that are under way: the processes that asked for them are told to end. What a
// process lists from then on, a pre-stop hook for one, goes on.
func (s *Server) GiveWayToDrain() { s.lists.giveWay(false) }

// GiveWayToFlush ends the lists that are under way, and refuses those that follow.
func (s *Server) GiveWayToFlush() { s.lists.giveWay(true) }

// withoutBody refuses a body where none belongs: until it has come, the server does not see that its
// client has gone.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut && r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			answer(w, http.StatusBadRequest, contract.ControlError{Error: r.Method + " " + r.URL.Path + " takes no body"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func handler(b Backend, cold http.Handler, bounded *lists) http.Handler {
	mux := http.NewServeMux()
	if cold != nil {
		mux.Handle(contract.ControlColdPrefix, cold)
		mux.Handle("GET "+contract.ControlColdListPath, bounded)
		mux.Handle("GET "+contract.ControlColdKeysPath, bounded)
	}
	mux.HandleFunc("GET "+contract.ControlStatusPath, func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, b.Status())
	})
	mux.HandleFunc("POST "+contract.ControlCheckpointPath, func(w http.ResponseWriter, r *http.Request) {
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
