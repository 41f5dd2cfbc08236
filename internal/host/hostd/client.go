package hostd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"golang.org/x/sys/unix"
)

// Client talks to the daemon of one data directory, whichever process that is.
type Client struct {
	handed map[string]Credentials // what a daemon that was replaced had in its memory alone
	dir    *sockdir.Dir
	http   *http.Client
}

// Dial makes a client. It connects to no daemon yet.
func Dial(d datadir.Dir) (*Client, error) {
	dir, err := sockdir.Open(d.Hostd())
	if err != nil {
		return nil, fmt.Errorf("cannot open the daemon's directory: %w", err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dir.Dial(ctx, controlName) }
	return &Client{dir: dir, http: &http.Client{Transport: &http.Transport{
		DialContext:       dial,
		DisableKeepAlives: true, // the next request may be for the next daemon
	}}}, nil
}

// Close frees the client.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.dir.Close()
}

// errNewer and errOlder say that the daemon and this program have no protocol in common.
var (
	errNewer = errors.New("the daemon is of a newer version of this program")
	errOlder = errors.New("the daemon is of an older version of this program")
)

// Status asks the daemon for its status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	err := c.do(ctx, http.MethodGet, "/v1/daemon", nil, &st)
	if errors.Is(err, errNoSuchCall) {
		// The first protocols had another name for it.
		err = c.do(ctx, http.MethodGet, "/v1/keeper", nil, &st)
	}
	switch {
	case err != nil:
		return st, err
	case st.Protocol < oldestProtocol:
		return st, fmt.Errorf("%w: process %d", errOlder, st.PID)
	case st.Oldest > protocol:
		return st, fmt.Errorf("%w (process %d): use that version, or stop its sandboxes with it", errNewer, st.PID)
	}
	return st, nil
}

// replace has a daemon of an older version end; its sandboxes run on, and the next daemon serves them.
func (c *Client) replace(ctx context.Context, old Status) error {
	err := c.do(ctx, http.MethodPost, "/v1/handover", nil, &c.handed)
	if errors.Is(err, errNoSuchCall) {
		// SIGTERM was the word for it then.
		err = unix.Kill(old.PID, unix.SIGTERM)
	}
	if err != nil {
		return fmt.Errorf("cannot replace the daemon of an older version, process %d: %w", old.PID, err)
	}
	return nil
}

var errNoSuchCall = errors.New("the daemon has no such call")

// Serve has the daemon serve a sandbox's socket. It returns when the socket is there.
func (c *Client) Serve(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, "/v1/sandboxes/"+id, nil, nil)
}

// Authorize hands over the credentials that sign for a sandbox.
func (c *Client) Authorize(ctx context.Context, id string, own Credentials) error {
	if err := c.do(ctx, http.MethodPut, "/v1/sandboxes/"+id+"/credentials", own, nil); err != nil {
		return fmt.Errorf("cannot hand over the credentials of the sandbox %s: %w", id, err)
	}
	return nil
}

// maxAnswer is far more than an answer has: a handover's, the longest, has the credentials of each sandbox of
// the daemon's, 64 KiB at most. One that is cut would lose them, since the daemon has ended by then.
const maxAnswer = 64 << 20

// do sends a value, nil for none, and reads the answer into another.
func (c *Client) do(ctx context.Context, method, path string, value, into any) error {
	var sent io.Reader
	if value != nil {
		b, err := json.Marshal(value)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://hostd"+path, sent)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("the daemon answers %s %s with more than %d MiB", method, path, maxAnswer>>20)
	}
	if res.StatusCode == http.StatusNotFound {
		return errNoSuchCall
	}
	if res.StatusCode != http.StatusOK {
		var p problem
		if json.Unmarshal(body, &p) != nil || p.Error == "" {
			p.Error = res.Status
		}
		return errors.New(p.Error)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// Hold keeps the daemon alive.
type Hold struct {
	body io.ReadCloser
	stop context.CancelFunc
	lost chan struct{}
}

// Hold makes the daemon stay until Release. It outlives ctx.
func (c *Client) Hold(ctx context.Context) (*Hold, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, stop) // while it is being made, ctx counts
	req, err := http.NewRequestWithContext(hctx, http.MethodGet, "http://hostd/v1/hold", nil)
	if err != nil {
		stop()
		return nil, err
	}
	res, err := c.http.Do(req)
	if err == nil && !release() {
		res.Body.Close()
		err = ctx.Err()
	}
	if err != nil {
		stop()
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		stop()
		return nil, errors.New(res.Status)
	}
	h := &Hold{body: res.Body, stop: stop, lost: make(chan struct{})}
	go func() {
		defer close(h.lost)
		_, _ = io.Copy(io.Discard, res.Body) // ends with the daemon, or with Release
	}()
	return h, nil
}

// Lost is closed when the daemon has ended, or the hold was released.
func (h *Hold) Lost() <-chan struct{} { return h.lost }

// Release gives it up.
func (h *Hold) Release() {
	h.stop()
	h.body.Close()
	<-h.lost
}
