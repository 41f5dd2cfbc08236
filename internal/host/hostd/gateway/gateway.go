package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"

	"github.com/matrx/sandbox/contract"
)

// maxInFlight bounds the requests of one sandbox that are under way. Its storage
// process has some hundred at most; the rest is told to slow down, so that no
// sandbox takes the store from the others.
const maxInFlight = 512

// Options say what a gateway serves.
type Options struct {
	Scope    Scope
	Upstream Upstream
	Log      *slog.Logger

	// Lease, when given, is called with each record of the lease that the sandbox
	// has written. No other process knows for certain which instance it is.
	Lease func(contract.LeaseHolder)

	// Honours is what the sandbox is told of the store, see contract.HostStoreHeader; empty: it finds out itself.
	Honours string

	// Room, when given, says why an object or part of that size, or a copy of another key, may
	// not be stored, or an upload not be begun. What it returns is called when that has ended.
	Room func(size int64, source string) (ended func(), err error)
}

// Gateway is an http.Handler for one sandbox.
type Gateway struct {
	scope  Scope
	store  *store
	proxy  *httputil.ReverseProxy
	log    *slog.Logger
	lease  func(contract.LeaseHolder)
	tells  string
	room   func(int64, string) (func(), error)
	places chan struct{}

	served, refused, unanswered atomic.Int64
}

var _ http.Handler = (*Gateway)(nil)

// New makes a gateway. Close frees what it holds.
func New(ctx context.Context, o Options) (*Gateway, error) {
	s, err := o.Upstream.open(ctx)
	if err != nil {
		return nil, err
	}
	g := &Gateway{scope: o.Scope, store: s, log: o.Log, lease: o.Lease, tells: o.Honours, room: o.Room, places: make(chan struct{}, maxInFlight)}
	g.proxy = &httputil.ReverseProxy{
		Rewrite:        g.rewrite,
		Transport:      s,
		ModifyResponse: g.answered,
		ErrorHandler:   g.failed,
		BufferPool:     &buffers,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return g, nil
}

// Close closes the idle connections to the store.
func (g *Gateway) Close() { g.store.transport.CloseIdleConnections() }

// Counts are the requests passed on and those refused, since the gateway was made.
func (g *Gateway) Counts() (served, refused int64) { return g.served.Load(), g.refused.Load() }

type admittedKey struct{}

// admitted is what the steps of one request know of it.
type admitted struct {
	request
	lease *leaseBody // the body, when it is the lease that is written
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	default:
		(&refusal{http.StatusServiceUnavailable, "SlowDown", "too many requests of this sandbox at once"}).write(w, r)
		return
	}
	q, refused := g.scope.admit(r)
	ended := func() {}
	if refused == nil {
		ended, refused = g.bound(q, r)
	}
	if refused != nil {
		g.refuse(w, r, refused)
		return
	}
	defer ended()
	g.served.Add(1)
	a := &admitted{request: q, lease: g.watchLease(q, r)}
	g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admittedKey{}, a)))
}

// maxRequest is the longest body that the store does not keep but takes as a whole into its memory: the parts of a
// CompleteMultipartUpload, 10,000 with their checksums at most.
const maxRequest = 4 << 20

// bound refuses a request whose body is too long, or for which there is no room. Another holds that room until ended is called.
func (g *Gateway) bound(q request, r *http.Request) (ended func(), refused *refusal) {
	nothing := func() {}
	switch {
	case r.ContentLength < 0:
		return nil, &refusal{http.StatusLengthRequired, "MissingContentLength", "S3 wants to know a body's length before it comes"}
	case !q.stores && r.ContentLength > maxRequest:
		return nil, &refusal{http.StatusBadRequest, "MaxMessageLengthExceeded", q.name + " has a body of more than 4 MiB"}
	case !q.takes || g.room == nil:
		return nothing, nil
	}
	ended, err := g.room(r.ContentLength, q.source)
	if err != nil {
		// A connection that is closed while the client sends loses the answer, and the client
		// would try again.
		_, _ = io.Copy(io.Discard, r.Body)
		return nil, &refusal{http.StatusBadRequest, "EntityTooLarge", err.Error()} // final for this key alone
	}
	return ended, nil
}

// rewrite makes the request to the store from what was admitted, and from nothing else.
func (g *Gateway) rewrite(p *httputil.ProxyRequest) {
	a := p.In.Context().Value(admittedKey{}).(*admitted)
	p.Out.URL = g.store.url(a.key, a.params)
	p.Out.Host = p.Out.URL.Host
	p.Out.Header = forward(p.In.Header)
	if a.source != "" {
		p.Out.Header.Set("X-Amz-Copy-Source", escape("/"+g.scope.Bucket+"/"+a.source))
	}
	if _, ok := p.Out.Header["User-Agent"]; !ok {
		p.Out.Header.Set("User-Agent", "") // none, instead of Go's
	}
}

// refuse counts every refusal and logs the 1st, 2nd, 4th, 8th...: a sandbox must not be
// able to fill the host's disk by asking.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, f *refusal) {
	n := g.refused.Add(1)
	if notable(n) {
		g.log.Warn("refused a request of the sandbox", "event", "gateway_refused", "method", r.Method, "path", r.URL.Path, "reason", f.message, "count", n)
	}
	f.write(w, r)
}

// notable says whether the nth of its kind is logged.
func notable(n int64) bool { return n&(n-1) == 0 }

// failed answers when the store did not. Whether a write arrived is unknown then: the
// client has to find out, as with S3 itself.
func (g *Gateway) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client is gone
	}
	if n := g.unanswered.Add(1); notable(n) {
		g.log.Warn("the store did not answer", "event", "gateway_upstream_failed", "method", r.Method, "error", err, "count", n)
	}
	// What is wrong with the host's credentials names its files and accounts: the log has it.
	switch {
	case errors.Is(err, ErrCredentialsAwaited):
		unavailable("the host waits for the credentials of the store").write(w, r)
		return
	case errors.Is(err, errCredentials):
		(&refusal{http.StatusForbidden, "InvalidAccessKeyId", "the host has no credentials for the store; its log says why"}).write(w, r)
		return
	}
	unavailable("the store cannot be reached from the host").write(w, r)
}

// bufferPool keeps the copying of bodies from making garbage.
type bufferPool struct{ sync.Pool }

var buffers bufferPool

const bufferSize = 64 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.Pool.Get().(*[bufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, bufferSize)
}

func (p *bufferPool) Put(b []byte) { p.Pool.Put((*[bufferSize]byte)(b)) }
