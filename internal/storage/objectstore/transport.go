package objectstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// idleConns is how many connections wait for the next request: twice the 64 requests
// that the hot path has under way, so that ranges and the cold path do not make it
// dial anew.
const idleConns = 128

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
}

// newTransport speaks HTTP/1.1 alone, as S3 does. It sets no limit to the connections:
// a renewal of the lease never waits behind uploads.
func newTransport(e protocol.Endpoint, roots *x509.CertPool) *http.Transport {
	d := newDialer()
	t := &http.Transport{
		DialContext:            d.DialContext,
		Proxy:                  secureProxy,
		TLSClientConfig:        &tls.Config{RootCAs: roots},
		Protocols:              new(http.Protocols),
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        50 * time.Second, // S3 closes idle connections after some 60 s
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // bodies are what was stored
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
	t.Protocols.SetHTTP1(true)
	if e.Socket != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", e.Socket)
		}
	}
	return t
}

// newServiceTransport reaches the services that hand out credentials.
func newServiceTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{DialContext: newDialer().DialContext, Proxy: secureProxy, TLSClientConfig: &tls.Config{RootCAs: roots},
		MaxIdleConns: 2, IdleConnTimeout: 10 * time.Second}
}

// secureProxy is that of HTTPS_PROXY and NO_PROXY. One for http would read what is sent, and loopback, a
// socket and the services of the own machine are reached directly.
func secureProxy(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// rootCAs are the system's and those of AWS_CA_BUNDLE; nil for the system's alone.
func rootCAs(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("cannot read AWS_CA_BUNDLE=%q: %w", bundle, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE=%q has no certificate in PEM", bundle)
	}
	return roots, nil
}

// variant reads which of AWS's addresses the environment asks for ("AWS SDKs and Tools Reference Guide").
func variant(env map[string]string) protocol.Variant {
	return protocol.Variant{FIPS: env["AWS_USE_FIPS_ENDPOINT"] == "true", DualStack: env["AWS_USE_DUALSTACK_ENDPOINT"] == "true"}
}
