package execapi

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// Port is one of the sandbox's loopback on which a process listens.
type Port struct {
	Port    uint16 `json:"port"`
	Address string `json:"address"` // as the process has bound it
}

// Ports lists those that can be connected to.
func (c *Client) Ports(ctx context.Context) (list []Port, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/ports", nil, nil, &list)
	return list, err
}

// PortHost is the one host that can be connected to: 127.0.0.1, and ::1 where nothing listens there. It is
// contract.ForwardHost.
const PortHost = "localhost"

// MaxPorts is how many connections to ports there may be at a time; further ones wait.
const MaxPorts = 128

// Connect connects to a port. What is read comes from the reader. Each direction ends by itself (CloseWrite).
func (c *Client) Connect(ctx context.Context, port uint16) (net.Conn, *bufio.Reader, error) {
	host := fmt.Sprintf("%s:%d", PortHost, port)
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: host}, Host: host, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}
	_, conn, r, err := c.exchange(ctx, req, false)
	return conn, r, err
}
