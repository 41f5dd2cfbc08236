// Package rawclient is the yardstick of the benchmarks: what S3 over net/http costs when
// nothing else is done. It signs (with the SDK's signer), sends and receives, many at a time;
// it keeps no attributes, verifies nothing, tries nothing again. A client that is faster does
// less than one request an object, or is wrong.
//
// Command bench/raw runs it in a process of its own, so that its CPU time and memory can
// be measured beside those of the other peers.
package rawclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// Options say where the bucket is, and how many requests are under way at a time.
type Options struct {
	Endpoint             string // http://HOST:PORT or unix://PATH
	Bucket               string
	AccessKey, SecretKey string // both empty: not signed
	Region               string // us-east-1
	Workers              int    // 64
	PartSize             int64  // of one large object; 16 MiB
}

// Client sends requests.
type Client struct {
	o      Options
	base   string
	http   *http.Transport
	signer *v4.Signer
}

// New makes a Client. Nothing is sent.
func New(o Options) *Client {
	if o.Workers == 0 {
		o.Workers = 64
	}
	if o.PartSize == 0 {
		o.PartSize = 16 << 20
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	c := &Client{o: o, base: o.Endpoint, signer: v4.NewSigner(func(s *v4.SignerOptions) { s.DisableURIPathEscaping = true })}
	c.http = &http.Transport{MaxIdleConnsPerHost: 2 * o.Workers, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
	if socket, ok := unixhttp.Path(o.Endpoint); ok {
		c.base = "http://localhost"
		c.http.DialContext = unixhttp.Dial(socket)
	}
	return c
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Response is the answer to a request that succeeded. The caller closes its Body.
type Response = http.Response

// do sends one request; an answer over 299 is an error.
func (c *Client) do(ctx context.Context, method, key, query string, header map[string]string, body io.Reader, size int64) (*Response, error) {
	u := c.base + "/" + c.o.Bucket
	if key != "" {
		u += "/" + escape(key)
	}
	if query != "" {
		u += "?" + query
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	if c.o.AccessKey != "" {
		const unsigned = "UNSIGNED-PAYLOAD"
		req.Header.Set("X-Amz-Content-Sha256", unsigned)
		creds := aws.Credentials{AccessKeyID: c.o.AccessKey, SecretAccessKey: c.o.SecretKey}
		if err := c.signer.SignHTTP(ctx, creds, req, unsigned, "s3", c.o.Region, time.Now()); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, u, err)
	}
	if resp.StatusCode > 299 {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", method, u, resp.Status, b)
	}
	return resp, nil
}

// drop sends a request whose answer has nothing to read.
func (c *Client) drop(ctx context.Context, method, key, query string, body io.Reader, size int64) (http.Header, error) {
	resp, err := c.do(ctx, method, key, query, nil, body, size)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.Header, err
}

// escape encodes a key for a path as signatures want it.
func escape(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(p), "+", "%20")
	}
	return strings.Join(parts, "/")
}
