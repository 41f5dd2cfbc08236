package execapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Client asks one sandbox's exec server. Each request has a connection of its own: the next one may be for
// the server that follows a killed one.
type Client struct {
	dial func(ctx context.Context) (net.Conn, error)
}

// New makes a client. dial reaches the server's socket.
func New(dial func(ctx context.Context) (net.Conn, error)) *Client { return &Client{dial} }

// AnswerWithin bounds how long the server may take to begin its answer. A process in the sandbox can stop the server,
// since both are the agent's.
const AnswerWithin = 30 * time.Second

// maxAnswer bounds the JSON of an answer.
const maxAnswer = 32 << 20

// List gives all execs, the oldest first.
func (c *Client) List(ctx context.Context) (list []Exec, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/execs", nil, nil, &list)
	return list, err
}

// Get looks at one exec; ErrNotFound.
func (c *Client) Get(ctx context.Context, id string) (x Exec, err error) {
	err = c.do(ctx, http.MethodGet, execPath(id, ""), nil, nil, &x)
	return x, err
}

// Start starts a command and leaves it to itself.
func (c *Client) Start(ctx context.Context, s Spec) (x Exec, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/execs", nil, s, &x)
	return x, err
}

// Signal sends a signal to the process group of an exec. To one that has ended it is no error.
func (c *Client) Signal(ctx context.Context, id string, signal int) error {
	return c.do(ctx, http.MethodPost, execPath(id, "/signal"), nil, map[string]int{"signal": signal}, nil)
}

// Resize tells an exec's terminal its size.
func (c *Client) Resize(ctx context.Context, id string, s Size) error {
	return c.do(ctx, http.MethodPost, execPath(id, "/resize"), nil, s, nil)
}

// Remove ends an exec with all its descendants and forgets it.
func (c *Client) Remove(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, execPath(id, ""), nil, nil, nil)
}

func execPath(id, rest string) string { return "/v1/execs/" + url.PathEscape(id) + rest }

// do sends a value, nil for none, and reads the answer into another.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, value, into any) error {
	var body io.Reader
	if value != nil {
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("cannot encode a request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	res, conn, _, err := c.ask(ctx, method, path, query, body, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer res.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the exec server's answer is not understood: %w", err)
	}
	return nil
}

// ask sends a request on a connection of its own, which is the caller's to close when there is no error. ctx
// counts until the answer has begun.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body io.Reader, upgrade string) (*http.Response, net.Conn, *bufio.Reader, error) {
	u := url.URL{Scheme: "http", Host: "execd", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequest(method, u.String(), body)
	if err != nil {
		return nil, nil, nil, err
	}
	req.URL.RawPath = ""
	req.Close = upgrade == ""
	if upgrade != "" {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", upgrade)
	}
	return c.exchange(ctx, req, upgrade != "")
}

func (c *Client) exchange(ctx context.Context, req *http.Request, upgrade bool) (*http.Response, net.Conn, *bufio.Reader, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot reach the exec server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	r := bufio.NewReaderSize(conn, MaxPayload+frameHeader)
	_ = conn.SetReadDeadline(time.Now().Add(AnswerWithin))
	res, err := roundTrip(conn, r, req)
	_ = conn.SetReadDeadline(time.Time{})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the exec server has not answered in %s: a process in the sandbox may have stopped it, or the machine is busy", AnswerWithin)
	case err != nil:
		err = fmt.Errorf("the exec server has not answered: %w", err)
	case res.StatusCode >= 300, upgrade != (res.StatusCode == http.StatusSwitchingProtocols):
		err = readProblem(res)
	}
	if err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	return res, conn, r, nil
}

// roundTrip writes the request beside reading the answer: the server may refuse a body that it has not read.
func roundTrip(conn net.Conn, r *bufio.Reader, req *http.Request) (*http.Response, error) {
	written := make(chan error, 1)
	go func() { written <- req.Write(conn) }()
	res, err := http.ReadResponse(r, req)
	if err != nil {
		select {
		case werr := <-written:
			if werr != nil {
				err = werr
			}
		default:
		}
		return nil, err
	}
	return res, nil
}
