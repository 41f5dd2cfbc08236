package hostd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// The control socket is HTTP with JSON. It is in a directory that is the operator's alone. Programs and
// daemons of several versions meet there, since a daemon outlives an upgrade: each says which protocol
// it speaks and which older one it still does.
//
//	GET  /v1/daemon           Status
//	GET  /v1/hold             answers at once and ends with the daemon: while it is open, the daemon stays
//	POST /v1/sandboxes/{id}   serve the sandbox's socket, as its record says; answers when it is served
//	PUT  /v1/sandboxes/{id}/credentials   Credentials to sign with for the sandbox
//	POST /v1/handover         leave the sandboxes to another daemon, and end; answers their Credentials
const (
	protocol       = 4
	oldestProtocol = 4 // that this version still speaks, as a daemon and as a client: before, homes were volumes alone
)

// Status is what a daemon says of itself.
type Status struct {
	Protocol  int             `json:"protocol"`
	Oldest    int             `json:"oldest_protocol"`
	PID       int             `json:"pid"`
	Sandboxes []SandboxStatus `json:"sandboxes"`
}

// SandboxStatus counts what one sandbox has asked of its storage since the daemon started.
type SandboxStatus struct {
	SandboxID string `json:"sandbox_id"`
	Served    int64  `json:"served"`
	Refused   int64  `json:"refused"`

	// AwaitsCredentials says that those were lost with a daemon that was killed.
	AwaitsCredentials bool `json:"awaits_credentials,omitempty"`

	// What it has asked of the hosts it may reach, and of others.
	Out        int64 `json:"out,omitempty"`
	OutRefused int64 `json:"out_refused,omitempty"`
}

type problem struct {
	Error string `json:"error"`
}

type control struct {
	http     *http.Server
	listener net.Listener
}

// listen makes the control socket; a program that connects waits until serve.
func (d *Daemon) listen() (*control, error) {
	l, err := d.sockets.Listen(controlName, 0o600)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/daemon", d.answerStatus)
	mux.HandleFunc("GET /v1/hold", d.answerHold)
	mux.HandleFunc("POST /v1/sandboxes/{id}", d.answerServe)
	mux.HandleFunc("PUT /v1/sandboxes/{id}/credentials", d.answerAuthorize)
	mux.HandleFunc("POST /v1/handover", d.answerHandover)
	return &control{listener: l, http: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}}, nil
}

func (c *control) serve() { _ = c.http.Serve(c.listener) } // until close

// close lets the answers under way be read: those that wait end with the daemon.
func (c *control) close(ctx context.Context) {
	_ = c.http.Shutdown(ctx)
	c.http.Close()
	c.listener.Close() // it may never have been served
}

func (d *Daemon) answerStatus(w http.ResponseWriter, _ *http.Request) {
	st := Status{Protocol: protocol, Oldest: oldestProtocol, PID: os.Getpid(), Sandboxes: []SandboxStatus{}}
	d.mu.Lock()
	for id, s := range d.served {
		served, refused := s.gateway.Counts()
		one := SandboxStatus{SandboxID: id, Served: served, Refused: refused, AwaitsCredentials: s.accessKey != "" && !d.secrets.has(id)}
		if s.proxy != nil {
			one.Out, one.OutRefused = s.proxy.Counts()
		}
		st.Sandboxes = append(st.Sandboxes, one)
	}
	d.mu.Unlock()
	answer(w, http.StatusOK, st)
}

func (d *Daemon) answerHold(w http.ResponseWriter, r *http.Request) {
	d.need(+1)
	defer d.need(-1)
	d.sweepSoon()       // it may have come for a sandbox that was started again
	defer d.sweepSoon() // and may have been killed
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	select {
	case <-r.Context().Done():
	case <-d.ctx.Done():
	}
}

func (d *Daemon) answerServe(w http.ResponseWriter, r *http.Request) {
	switch err := d.serve(r.PathValue("id")); {
	case errors.Is(err, errOver):
		answer(w, http.StatusServiceUnavailable, problem{err.Error()})
	case err != nil:
		answer(w, http.StatusUnprocessableEntity, problem{err.Error()})
	default:
		answer(w, http.StatusOK, struct{}{})
	}
}

func (d *Daemon) answerAuthorize(w http.ResponseWriter, r *http.Request) {
	var c Credentials
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&c)
	if err == nil {
		err = datadir.CheckID("the sandbox's ID", r.PathValue("id"))
	}
	if err == nil && c.AccessKey == "" {
		err = errors.New("there is no access key")
	}
	if err == nil {
		err = d.secrets.put(r.PathValue("id"), c)
	}
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, problem{err.Error()})
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// errHandover is the end of a daemon that another one follows.
var errHandover = errors.New("another daemon follows")

// answerHandover ends the daemon. The sandboxes run on and try their sockets again, which the next daemon
// serves in the same directories. The answer has what is in this one's memory alone.
func (d *Daemon) answerHandover(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, d.secrets.all())
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.fail(errHandover)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
