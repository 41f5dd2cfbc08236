package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/relay"
)

// Proxy lets through what its rules allow.
type Proxy struct {
	rules []Rule
	log   *slog.Logger
	plain *httputil.ReverseProxy
	pipes sync.WaitGroup
	ctx   context.Context
	stop  context.CancelFunc

	served, refused atomic.Int64
}

// dialWithin bounds a connection's beginning.
const dialWithin = 30 * time.Second

// mostConnections of one sandbox at a time: each is two descriptors of the daemon's, which has
// other sandboxes to serve.
const mostConnections = 256

// mostIdle connections to servers are kept for later requests: with a wildcard rule a sandbox reaches any number of
// hosts, and one that is kept belongs to no connection of the sandbox's that mostConnections counts.
const mostIdle = 32

// New makes a proxy.
func New(rules []Rule, log *slog.Logger) *Proxy {
	p := &Proxy{rules: rules, log: log}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.plain = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// The host is the URI's and not the Host header's (RFC 9112, 3.2.2), so that the
			// host that is judged is the host that the server sees.
			r.Out.Host = r.In.URL.Host
		},
		Transport: &http.Transport{
			Proxy:                 nil, // the host's own is not the sandbox's
			DialContext:           func(ctx context.Context, _, address string) (net.Conn, error) { return p.dial(ctx, address) },
			DisableCompression:    true, // the client's headers say what it takes, and it decodes itself
			ResponseHeaderTimeout: 10 * time.Minute,
			MaxIdleConns:          mostIdle,
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       30 * time.Second,
		},
		// What has come goes on at once: when a body is cut short, the connection is cut as
		// well, and what was still held back, the status included, would be lost.
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, r *http.Request, err error) { p.fail(w, r.URL.Host, err) },
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p
}

// Counts are the requests let through and those refused.
func (p *Proxy) Counts() (served, refused int64) { return p.served.Load(), p.refused.Load() }

// refusal is an answer of 403.
type refusal struct{ error }

// ServeHTTP answers one request of the sandbox's.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		if _, err := p.judge(withPort(r.URL.Host, "80")); err != nil {
			p.fail(w, r.URL.Host, err)
			return
		}
		p.served.Add(1)
		p.plain.ServeHTTP(w, r)
	default:
		p.fail(w, r.Host, refusal{errors.New("this is a proxy: it takes CONNECT, and plain HTTP with an absolute URI")})
	}
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// judge finds the rule that lets an address HOST:PORT through, the most trusting one.
func (p *Proxy) judge(address string) (best trust, err error) {
	host, text, err := net.SplitHostPort(address)
	port, perr := strconv.ParseUint(text, 10, 16)
	if err != nil || perr != nil || port == 0 {
		return nothing, refusal{fmt.Errorf("%q is not HOST:PORT", address)}
	}
	host = canonical(host)
	for _, r := range p.rules {
		best = max(best, r.allows(host, uint16(port)))
	}
	if best == nothing {
		return nothing, refusal{fmt.Errorf("this sandbox may not reach %s; an operator may allow it with --access allow=%s", net.JoinHostPort(host, text), net.JoinHostPort(host, text))}
	}
	return best, nil
}

// dial connects to what is allowed. The address is judged in between resolution and
// connection: no name can change its mind there.
func (p *Proxy) dial(ctx context.Context, address string) (net.Conn, error) {
	t, err := p.judge(address)
	if err != nil {
		return nil, err
	}
	// Networks come and go with containers, so the machine is asked each time.
	known, err := devices()
	if err != nil {
		return nil, err
	}
	local := localNetworks(known)
	d := net.Dialer{Timeout: dialWithin, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return refusal{err}
		}
		if err := reach(t, a.Addr(), local); err != nil {
			return refusal{err}
		}
		return nil
	}}
	host, port, _ := net.SplitHostPort(address)
	return d.DialContext(ctx, "tcp", net.JoinHostPort(canonical(host), port))
}

// connect joins the sandbox to a host, byte for byte.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	far, err := p.dial(r.Context(), r.Host)
	if err != nil {
		p.fail(w, r.Host, err)
		return
	}
	defer far.Close()
	near, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.fail(w, r.Host, err)
		return
	}
	defer near.Close()
	p.pipes.Add(1)
	defer p.pipes.Done()
	p.served.Add(1)
	stop := context.AfterFunc(p.ctx, func() { near.Close(); far.Close() })
	defer stop()
	_ = near.SetDeadline(time.Time{})
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	relay.Both(far, near, rw.Reader) // what the client has sent ahead is in the reader
}

// fail answers what cannot be let through.
func (p *Proxy) fail(w http.ResponseWriter, host string, err error) {
	code := http.StatusBadGateway
	if no, ok := errors.AsType[refusal](err); ok {
		code, err = http.StatusForbidden, no.error
		// The 1st, 2nd, 4th, 8th...: a sandbox must not fill the host's disk by asking.
		if n := p.refused.Add(1); n&(n-1) == 0 {
			p.log.Info("a sandbox was refused a host", "event", "egress_refused", "host", host, "reason", err.Error(), "count", n)
		}
	}
	w.Header().Set("Connection", "close")
	http.Error(w, fmt.Sprintf("sandbox: cannot reach %s: %v", host, err), code)
}
