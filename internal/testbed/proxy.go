package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/matrx/sandbox/internal/config"
)

// FaultProxy passes requests on to a Server, but for what its faults say. It answers at a
// port and at a unix socket; what goes through either is one stream of requests.
type FaultProxy struct {
	Endpoint string // http://127.0.0.1:PORT
	Socket   string // unix://PATH

	t        testing.TB
	server   *Server
	upstream *http.Transport
	addrs    []listenAddr

	sent atomic.Int64

	mu       sync.Mutex
	listen   []net.Listener
	serve    *http.Server
	running  sync.WaitGroup // of handlers
	latency  time.Duration
	faults   []*Applied
	requests []Request
	counts   map[string]int
	inFlight int
	most     int
	changed  chan struct{} // closed when a request comes
}

type listenAddr struct{ network, address string }

// Request is what the proxy has seen.
type Request struct {
	Verb   string // "GET", "HEAD", "LIST", "PUT", "COPY", "DELETE", "CREATE", "PART", "PARTCOPY", "LISTPARTS", "COMPLETE", "ABORT"
	Method string
	Bucket string
	Key    string
	Query  url.Values
	Header http.Header
}

// Proxy starts a proxy in front of the server. It ends with the test.
func Proxy(t testing.TB, srv *Server) *FaultProxy {
	t.Helper()
	p := &FaultProxy{t: t, server: srv, counts: map[string]int{}, changed: make(chan struct{})}
	p.upstream = &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
	p.addrs = []listenAddr{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(srv.dir, "p-"+rand.Text()[:8])}}
	p.open()
	p.addrs[0].address = p.listen[0].Addr().String()
	p.Endpoint = "http://" + p.addrs[0].address
	p.Socket = "unix://" + p.addrs[1].address
	t.Cleanup(func() {
		p.ClearFaults()
		p.Away()
		p.upstream.CloseIdleConnections()
	})
	return p
}

// Config reaches the bucket through the proxy.
func (p *FaultProxy) Config(b *Bucket) config.S3 {
	c := b.Config()
	c.Endpoint = p.Endpoint
	return c
}

func (p *FaultProxy) open() {
	p.t.Helper()
	srv := &http.Server{Handler: http.HandlerFunc(p.handle), ReadHeaderTimeout: time.Minute}
	var listen []net.Listener
	for _, a := range p.addrs {
		l, err := net.Listen(a.network, a.address)
		if err != nil {
			p.t.Fatalf("cannot listen: %v", err)
		}
		listen = append(listen, l)
		go func() { _ = srv.Serve(l) }()
	}
	p.mu.Lock()
	p.serve, p.listen = srv, listen
	p.mu.Unlock()
}

// Away makes the store unreachable: connections are refused, those that are open are
// reset. It returns when no request is under way any more.
func (p *FaultProxy) Away() {
	p.mu.Lock()
	srv, listen := p.serve, p.listen
	p.serve = nil
	p.mu.Unlock()
	if srv == nil {
		return
	}
	for _, l := range listen {
		_ = l.Close() // the server closes those only that it serves by now
	}
	_ = srv.Close() // cancels the requests' contexts, too
	p.running.Wait()
}

// Back ends Away, at the same addresses.
func (p *FaultProxy) Back() {
	p.t.Helper()
	p.Away()
	p.open()
}

// Latency is added to each request from now on.
func (p *FaultProxy) Latency(d time.Duration) {
	p.mu.Lock()
	p.latency = d
	p.mu.Unlock()
}

// Requests are those that have come since the start or the last Forget, in order.
func (p *FaultProxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Count is the number of requests of a verb since the start or the last Forget; of all with "".
func (p *FaultProxy) Count(verb string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if verb == "" {
		return len(p.requests)
	}
	return p.counts[verb]
}

// MostInFlight is the largest number of requests at a time since the start or the last Forget.
func (p *FaultProxy) MostInFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// Forget begins counting anew.
func (p *FaultProxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.counts, p.most = nil, map[string]int{}, p.inFlight
	p.sent.Store(0)
}

// WaitFor returns when as many requests that match have come, or fails the test when ctx ends first.
func (p *FaultProxy) WaitFor(ctx context.Context, m Match, n int) {
	p.t.Helper()
	for {
		p.mu.Lock()
		changed, got := p.changed, 0
		for i := range p.requests {
			if m.matches(&p.requests[i]) {
				got++
			}
		}
		p.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			p.t.Fatalf("%d requests %+v have come, want %d: %v", got, m, n, context.Cause(ctx))
		}
	}
}

func (p *FaultProxy) handle(w http.ResponseWriter, in *http.Request) {
	req := readRequest(in)
	faults, latency, done, ok := p.begin(req)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer done()
	if latency > 0 && !pauseFor(in.Context(), latency) {
		panic(http.ErrAbortHandler)
	}
	in.Body = &countedBody{in.Body, &p.sent}
	x := &exchange{proxy: p, w: w, in: in, req: req, flipRequest: -1, flipResponse: -1}
	for _, f := range faults {
		f.Do.arrange(x)
	}
	x.run()
}

// begin counts a request and picks the faults that it meets.
func (p *FaultProxy) begin(req *Request) (faults []*Applied, latency time.Duration, done func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serve == nil {
		return nil, 0, nil, false
	}
	p.running.Add(1)
	p.requests = append(p.requests, *req)
	p.counts[req.Verb]++
	p.inFlight++
	p.most = max(p.most, p.inFlight)
	close(p.changed)
	p.changed = make(chan struct{})
	for _, f := range p.faults {
		if f.take(req) {
			faults = append(faults, f)
		}
	}
	return faults, p.latency, func() {
		p.mu.Lock()
		p.inFlight--
		p.mu.Unlock()
		p.running.Done()
	}, true
}

// Sent is how many bytes of bodies clients have sent since the start or the last Forget.
func (p *FaultProxy) Sent() int64 { return p.sent.Load() }

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// readRequest says what a request is (Amazon S3 API reference). The URL is read from the
// request line: parsing has lost which characters were escaped.
func readRequest(in *http.Request) *Request {
	path, query, _ := strings.Cut(in.RequestURI, "?")
	q, _ := url.ParseQuery(query)
	raw := strings.TrimPrefix(path, "/")
	bucket, key, _ := strings.Cut(raw, "/")
	key, _ = url.PathUnescape(key)
	r := &Request{Method: in.Method, Bucket: bucket, Key: key, Query: q, Header: in.Header.Clone()}
	upload := q.Has("uploadId")
	switch {
	case in.Method == http.MethodGet && key == "":
		r.Verb = "LIST"
	case in.Method == http.MethodGet && upload:
		r.Verb = "LISTPARTS"
	case in.Method == http.MethodPut && upload && in.Header.Get("X-Amz-Copy-Source") != "":
		r.Verb = "PARTCOPY"
	case in.Method == http.MethodPut && upload:
		r.Verb = "PART"
	case in.Method == http.MethodPut && in.Header.Get("X-Amz-Copy-Source") != "":
		r.Verb = "COPY"
	case in.Method == http.MethodPost && upload:
		r.Verb = "COMPLETE"
	case in.Method == http.MethodPost && q.Has("uploads"):
		r.Verb = "CREATE"
	case in.Method == http.MethodDelete && upload:
		r.Verb = "ABORT"
	default:
		r.Verb = in.Method
	}
	return r
}

// forward sends the request on, as it came, to the server.
func (p *FaultProxy) forward(ctx context.Context, in *http.Request, header http.Header, body io.Reader, resign bool) (*http.Response, error) {
	path, query, _ := strings.Cut(in.RequestURI, "?")
	out := &http.Request{
		Method: in.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:  &url.URL{Scheme: "http", Host: p.server.address(), Opaque: path, RawQuery: query},
		Host: in.Host, Header: header, ContentLength: in.ContentLength,
	}
	if in.ContentLength != 0 {
		out.Body = io.NopCloser(body)
	}
	header.Del("Connection")
	if resign {
		if err := p.sign(ctx, out); err != nil {
			return nil, err
		}
	}
	return p.upstream.RoundTrip(out.WithContext(ctx))
}

// sign makes the signature fit a request that a fault has changed.
func (p *FaultProxy) sign(ctx context.Context, r *http.Request) error {
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		return errors.New("not signed with Signature Version 4")
	}
	for _, h := range []string{"Authorization", "X-Amz-Date"} {
		r.Header.Del(h)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: p.server.AccessKey, SecretAccessKey: p.server.SecretKey}, r, hash, "s3", p.server.Region, time.Now())
}
