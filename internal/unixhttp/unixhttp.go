// Package unixhttp speaks HTTP to a server on a unix socket. Both wings use it: what runs in the container
// asks the control socket and the host's storage socket, what runs on the host asks its own servers.
package unixhttp

import (
	"context"
	"net"
	"net/http"
	"strings"
)

// Scheme begins the URL of a unix socket: unix:///run/storage.sock.
const Scheme = "unix://"

// Path gives the path of a socket that an endpoint names as unix://PATH. ok is false for other endpoints.
func Path(endpoint string) (path string, ok bool) { return strings.CutPrefix(endpoint, Scheme) }

// Dial dials the socket at path in place of any address: it is an http.Transport's DialContext.
func Dial(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// Transport is for the server at path. The host of a request's URL reaches the server as it is, and does
// not choose the server. Bodies arrive as they were sent: none is decompressed.
func Transport(path string) *http.Transport {
	return &http.Transport{DialContext: Dial(path), DisableCompression: true}
}

// OneShot is Transport with a connection for each request: for a server that another process may replace
// between two requests.
func OneShot(path string) *http.Transport {
	t := Transport(path)
	t.DisableKeepAlives = true
	return t
}
