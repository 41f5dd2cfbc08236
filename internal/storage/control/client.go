package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// errNotServed is wrapped when no process serves the control socket.
var errNotServed = errors.New("the storage process does not answer")

// maxAnswer bounds an answer in bytes; a status with all its lists full has some 100 KiB.
const maxAnswer = 16 << 20

// Client asks the storage process of one sandbox.
type Client struct {
	path string
	http *http.Client
}

// NewClient is for the sandbox whose run directory is runDir.
func NewClient(runDir string) *Client {
	path := filepath.Join(runDir, contract.ControlSocketName)
	return &Client{path: path, http: &http.Client{Transport: unixhttp.OneShot(path)}}
}

// Status asks what storage knows.
func (c *Client) Status(ctx context.Context) (contract.StorageStatus, error) {
	var s contract.StorageStatus
	return s, c.do(ctx, http.MethodGet, contract.ControlStatusPath, &s)
}

// Checkpoint returns when what is on disk now is in S3.
func (c *Client) Checkpoint(ctx context.Context) (contract.Checkpoint, error) {
	var done contract.Checkpoint
	return done, c.do(ctx, http.MethodPost, contract.ControlCheckpointPath, &done)
}

// refusedError is an answer that is an error: the server's own sentence.
type refusedError struct {
	status  int
	message string
}

func (e *refusedError) Error() string { return e.message }

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://sandbox"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.explain(err)
	}
	if resp.StatusCode >= 400 {
		var refused contract.ControlError
		if json.Unmarshal(body, &refused) != nil || refused.Error == "" {
			refused.Error = fmt.Sprintf("%s answered %s", c.path, resp.Status)
		}
		return &refusedError{resp.StatusCode, refused.Error}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("cannot decode the answer of %s: %w", c.path, err)
	}
	return nil
}

func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: no process serves %s; a storage process that was killed is restarted, else see the log", errNotServed, c.path)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w in time on %s", errNotServed, c.path)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return fmt.Errorf("%w on %s: %w", errNotServed, c.path, err)
}
