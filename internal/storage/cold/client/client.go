// Package client asks the storage process for the cold path over the control socket: what
// `sandbox-init cold` does. It needs no mount and no credentials, so the agent may use it
// wherever it runs; contract/cold.go has the API.
package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// Client talks to the storage process of one sandbox.
type Client struct {
	socket string
	http   *http.Client
}

// newClient is for the sandbox whose run directory is runDir.
func newClient(runDir string) *Client {
	socket := filepath.Join(runDir, contract.ControlSocketName)
	t := unixhttp.OneShot(socket)
	// A body goes only once it is asked for: a refusal that comes in the midst of it would
	// be lost with the connection. The storage process asks when S3 has answered it.
	t.ExpectContinueTimeout = time.Minute
	return &Client{socket: socket, http: &http.Client{Transport: t}}
}

// errBroken is an answer that ended before its end.
var errBroken = errors.New("the answer broke off; try again, and see sandbox-init status")

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, size int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://sandbox"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the storage process does not answer on %s: %w; is this a sandbox with storage? see sandbox-init status", c.socket, err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	var refused contract.ControlError
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&refused); err != nil || refused.Error == "" {
		refused.Error = c.socket + " answered " + resp.Status
	}
	return nil, &refusedError{resp.StatusCode, refused.Error}
}

// refusedError is an answer of 400 and more; contract/cold.go says what the statuses mean.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// answered says that an error is an answer with that status.
func answered(err error, status int) bool {
	var r *refusedError
	return errors.As(err, &r) && r.status == status
}

// notThere says that an error is about something that does not exist.
func notThere(err error) bool { return answered(err, http.StatusNotFound) }

// kept says that what was sent is not lost, and not in S3 yet.
func kept(err error) bool { return answered(err, http.StatusBadGateway) }

// bytesOf is an entry's path as it is, where JSON could not carry it.
func bytesOf(e contract.ColdEntry) string {
	if len(e.RawPath) > 0 {
		return string(e.RawPath)
	}
	return e.Path
}

// targetOf is a symbolic link's target as it is.
func targetOf(e contract.ColdEntry) string {
	if len(e.RawTarget) > 0 {
		return string(e.RawTarget)
	}
	return e.Target
}

// List calls each with what is at or in path, in the order of names; recursive goes down.
func (c *Client) List(ctx context.Context, path string, recursive bool, each func(contract.ColdEntry) error) error {
	q := url.Values{"path": {path}}
	if recursive {
		q.Set("recursive", "1")
	}
	return c.list(ctx, q, each)
}

// Tree is List of all that is below path, with the modes of directories, which may take a request
// for each.
func (c *Client) Tree(ctx context.Context, path string, each func(contract.ColdEntry) error) error {
	return c.list(ctx, url.Values{"path": {path}, "recursive": {"1"}, "attributes": {"dirs"}}, each)
}

func (c *Client) list(ctx context.Context, q url.Values, each func(contract.ColdEntry) error) error {
	resp, err := c.do(ctx, http.MethodGet, contract.ControlColdListPath, q, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(bufio.NewReader(resp.Body))
	for {
		var e contract.ColdEntry
		if err := dec.Decode(&e); err != nil {
			return errBroken
		}
		if e.End {
			return nil
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// Keys calls each with every object whose key begins with prefix, whether it can be a file or not.
func (c *Client) Keys(ctx context.Context, prefix string, each func(contract.ColdKey) error) error {
	resp, err := c.do(ctx, http.MethodGet, contract.ControlColdKeysPath, url.Values{"prefix": {prefix}}, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(bufio.NewReader(resp.Body))
	for {
		var k contract.ColdKey
		if err := dec.Decode(&k); err != nil {
			return errBroken
		}
		if k.End {
			return nil
		}
		if err := each(k); err != nil {
			return err
		}
	}
}

// GetKey opens the content of an object that need not be a file, and says how long it is.
func (c *Client) GetKey(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	resp, err := c.do(ctx, http.MethodGet, contract.ControlColdFilePath, url.Values{"key": {key}}, nil, 0)
	if err != nil {
		return nil, 0, err
	}
	return resp.Body, resp.ContentLength, nil
}

// RemoveKey removes an object that need not be a file.
func (c *Client) RemoveKey(ctx context.Context, key string) error {
	resp, err := c.do(ctx, http.MethodDelete, contract.ControlColdFilePath, url.Values{"key": {key}}, nil, 0)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Get opens a file's content. Reading it to its end without an error means that it is whole.
func (c *Client) Get(ctx context.Context, path string) (io.ReadCloser, contract.ColdEntry, error) {
	var e contract.ColdEntry
	resp, err := c.do(ctx, http.MethodGet, contract.ControlColdFilePath, url.Values{"path": {path}}, nil, 0)
	if err != nil {
		return nil, e, err
	}
	header, err := strconv.Unquote(resp.Header.Get(contract.ColdEntryHeader))
	if err == nil {
		err = json.Unmarshal([]byte(header), &e)
	}
	if err != nil {
		resp.Body.Close()
		return nil, e, fmt.Errorf("the storage process gave no description of %q: %w", path, err)
	}
	return resp.Body, e, nil
}

// Put stores size bytes under path and returns when they are in S3.
func (c *Client) Put(ctx context.Context, path string, body io.Reader, size int64, mode uint32, mtime int64) (contract.ColdEntry, error) {
	return c.put(ctx, url.Values{"path": {path}, "mode": {octal(mode)}, "mtime": {strconv.FormatInt(mtime, 10)}}, body, size)
}

// Mkdir makes a directory and those that it is in, and returns when it is kept here; Sync waits
// until it is in S3.
func (c *Client) Mkdir(ctx context.Context, path string, mode uint32) (contract.ColdEntry, error) {
	return c.put(ctx, url.Values{"path": {path}, "kind": {"dir"}, "mode": {octal(mode)}, "wait": {"0"}}, nil, 0)
}

// Symlink makes a symbolic link, in place of a file or link, and returns when it is in S3.
func (c *Client) Symlink(ctx context.Context, path, target string, mtime int64) (contract.ColdEntry, error) {
	return c.put(ctx, url.Values{"path": {path}, "kind": {"symlink"}, "target": {target}, "mtime": {strconv.FormatInt(mtime, 10)}}, nil, 0)
}

func octal(mode uint32) string { return strconv.FormatUint(uint64(mode), 8) }

func (c *Client) put(ctx context.Context, q url.Values, body io.Reader, size int64) (contract.ColdEntry, error) {
	var e contract.ColdEntry
	resp, err := c.do(ctx, http.MethodPut, contract.ControlColdFilePath, q, body, size)
	if err != nil {
		return e, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
		return e, errBroken
	}
	return e, nil
}

// Remove removes a file, or with recursive a directory and all in it, and returns when they
// are gone from S3.
func (c *Client) Remove(ctx context.Context, path string, recursive bool) error {
	q := url.Values{"path": {path}}
	if recursive {
		q.Set("recursive", "1")
	}
	resp, err := c.do(ctx, http.MethodDelete, contract.ControlColdFilePath, q, nil, 0)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Sync waits until what was written before the call, at or below path, is in S3. It calls
// progress about twice a second, and at last with Done.
func (c *Client) Sync(ctx context.Context, path string, progress func(contract.ColdProgress)) error {
	resp, err := c.do(ctx, http.MethodPost, contract.ControlColdSyncPath, url.Values{"path": {path}}, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var p contract.ColdProgress
		if err := dec.Decode(&p); err != nil {
			return errBroken
		}
		progress(p)
		if p.Done {
			return nil
		}
	}
}
