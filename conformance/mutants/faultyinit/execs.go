package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/relay"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// execRule is what a proxy in front of the exec server gets wrong. Each may be left out.
type execRule struct {
	start     func(*execapi.Spec)
	request   func(*http.Request)
	modify    func(*http.Response) error
	noPorts   bool
	cutAtStop bool
}

// execAnywhere leaves the exec server out where the real one would refuse to start.
func execAnywhere() {
	if os.Getuid() != 0 {
		unset(contract.EnvExecSocket)
	}
	become()
}

func otherEnvironment(s *execapi.Spec) { s.Env = append(s.Env, "HOME=/root") }

func byShell(s *execapi.Spec) {
	s.Args = append([]string{"/bin/sh", "-c", `exec "$@"`, "sh"}, s.Args...)
}

func usualSize(s *execapi.Spec) {
	if s.Terminal != nil {
		s.Terminal = &execapi.Size{Rows: 24, Columns: 80}
	}
}

func fromTheBeginning(r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/attach") {
		r.URL.RawQuery = "offset=0"
	}
}

func putAppends(r *http.Request) {
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/files/content") {
		r.Method, r.URL.Path = http.MethodPost, "/v1/files/append"
	}
}

// killsItsGroup keeps timeouts as a shell's wrapper does.
func killsItsGroup(s *execapi.Spec) {
	if s.Timeout == 0 {
		return
	}
	if s.ID == "" {
		s.ID = rand.Text()
	}
	id := s.ID
	time.AfterFunc(s.Timeout, func() {
		_ = realExecs().Signal(context.Background(), id, int(syscall.SIGKILL))
	})
	s.Timeout = 0
}

// forgetLost says that there has been no exec where the server of one was killed.
func forgetLost(r *http.Response) error {
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if bytes.Contains(body, []byte(`"reason":"`+string(execapi.Lost)+`"`)) {
		r.StatusCode, r.Status = http.StatusNotFound, "404 Not Found"
		if body, err = json.Marshal(execapi.ErrNotFound.Because("there is no such exec")); err != nil {
			return err
		}
	}
	setBody(&r.Body, &r.ContentLength, r.Header, body)
	return nil
}

func setBody(to *io.ReadCloser, length *int64, h http.Header, body []byte) {
	*to, *length = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	h.Set("Content-Length", strconv.Itoa(len(body)))
}

// realSocket is where the real one serves: beside the socket that the host asks for, so that the real one judges the
// same directory.
func realSocket() string { return os.Getenv(contract.EnvExecSocket) }

func dialReal(ctx context.Context) (net.Conn, error) {
	return unixhttp.Dial(realSocket())(ctx, "", "")
}

func realExecs() *execapi.Client { return execapi.New(dialReal) }

// serveExecs listens where the host looks for the exec server, if it asks for one, and passes on to the real one. settle
// returns when what the real one has said last has been passed on.
func serveExecs(wrong execRule) (settle func()) {
	socket := os.Getenv(contract.EnvExecSocket)
	if socket == "" || os.Getuid() != 0 { // the real one refuses to start as the agent
		return func() {}
	}
	l, err := net.Listen("unix", socket)
	if err == nil {
		err = os.Chmod(socket, 0o666)
	}
	if err != nil {
		fatal(err)
	}
	set(contract.EnvExecSocket, socket+".real")
	p := &execProxy{wrong: wrong, proxy: &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: "execd"})
			p.Out.Host = p.In.Host
		},
		Transport:      unixhttp.OneShot(realSocket()), // the real one may be killed
		ModifyResponse: wrong.modify,
		FlushInterval:  -1,
	}}
	server := &http.Server{Handler: p, ConnState: p.watch}
	if wrong.cutAtStop {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		go func() { <-stop; p.cut() }()
	}
	go func() { _ = server.Serve(l) }()
	return p.settle
}

type execProxy struct {
	wrong execRule
	proxy *httputil.ReverseProxy

	serving sync.WaitGroup
	mu      sync.Mutex
	conns   []net.Conn
}

// settle waits for a second at most, since a client may not read.
func (p *execProxy) settle() {
	settled := make(chan struct{})
	go func() { p.serving.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(time.Second):
	}
}

func (p *execProxy) watch(c net.Conn, s http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == http.StateNew {
		p.conns = append(p.conns, c)
	}
}

func (p *execProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *execProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serving.Add(1)
	defer p.serving.Done()
	if r.Method == http.MethodConnect {
		p.connect(w, r)
		return
	}
	if p.wrong.start != nil && r.Method == http.MethodPost && r.URL.Path == "/v1/execs" {
		var s execapi.Spec
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			fatal(err)
		}
		p.wrong.start(&s)
		body, err := json.Marshal(s)
		if err != nil {
			fatal(err)
		}
		setBody(&r.Body, &r.ContentLength, r.Header, body)
	}
	if p.wrong.request != nil {
		p.wrong.request(r)
	}
	p.proxy.ServeHTTP(w, r)
}

// connect joins the two connections of a request for a port, which a ReverseProxy does not know.
func (p *execProxy) connect(w http.ResponseWriter, r *http.Request) {
	if p.wrong.noPorts {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(execapi.ErrNotFound.Because("there are no ports"))
		return
	}
	far, err := dialReal(r.Context())
	if err != nil {
		fatal(err)
	}
	defer far.Close()
	near, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fatal(err)
	}
	defer near.Close()
	if _, err := io.WriteString(far, "CONNECT "+r.Host+" HTTP/1.1\r\nHost: "+r.Host+"\r\n\r\n"); err != nil {
		return
	}
	relay.Both(far, near, rw.Reader)
}
