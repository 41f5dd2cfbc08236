package objectstore

import (
	"context"
	"net"
	"net/http"
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
func newTransport(e protocol.Endpoint) *http.Transport {
	d := newDialer()
	t := &http.Transport{
		DialContext:            d.DialContext,
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
