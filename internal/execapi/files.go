package execapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// File is what is known of one.
type File struct {
	Name    string    `json:"name"` // the last element of its path; of bytes that are not UTF-8 see Raw
	Raw     []byte    `json:"raw,omitempty"`
	Kind    string    `json:"kind"` // file, directory, link, fifo, socket or device
	Size    int64     `json:"size"`
	Mode    uint32    `json:"mode"` // permissions, set-ID and sticky bits as in chmod(2)
	Changed time.Time `json:"changed"`
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	Target  string    `json:"target,omitempty"` // of a link
}

// Change is something that has happened in a directory that is watched. Lost: more has happened than is told.
type Change struct {
	Name string `json:"name,omitempty"`
	Kind string `json:"kind"` // created, written, attributes, removed, moved-from, moved-to, gone (the directory itself), lost
}

// TrailerProblem and TrailerNotes are what follows a tar stream: why it ends too early, and what it leaves out.
const (
	TrailerProblem = "X-Problem"
	TrailerNotes   = "X-Notes"
)

// MaxNotes bounds what is told of what was left out.
const MaxNotes = 100

// Stat looks at a file; with follow at what a link leads to.
func (c *Client) Stat(ctx context.Context, path string, follow bool) (f File, err error) {
	q := url.Values{"path": {path}}
	if follow {
		q.Set("follow", "1")
	}
	err = c.do(ctx, http.MethodGet, "/v1/files/stat", q, nil, &f)
	return f, err
}

// ListFiles calls each for what is in a directory, in no order.
func (c *Client) ListFiles(ctx context.Context, path string, each func(File) error) error {
	res, conn, _, err := c.ask(ctx, http.MethodGet, "/v1/files/list", url.Values{"path": {path}}, nil, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	d := json.NewDecoder(res.Body)
	for {
		var f File
		switch err := d.Decode(&f); {
		case errors.Is(err, io.EOF):
			return trailerProblem(res)
		case err != nil:
			return fmt.Errorf("the list of %q breaks off: %w", path, err)
		}
		if err := each(f); err != nil {
			return err
		}
	}
}

// Read reads a file from an offset on; length is the most, and negative for all.
func (c *Client) Read(ctx context.Context, path string, offset, length int64) (io.ReadCloser, error) {
	q := url.Values{"path": {path}, "offset": {strconv.FormatInt(offset, 10)}, "length": {strconv.FormatInt(length, 10)}}
	return c.body(ctx, "/v1/files/content", q)
}

// Put writes a file: its name has the whole content or what it had before. mode 0 keeps the mode that it has, or makes
// it 0644.
func (c *Client) Put(ctx context.Context, path string, mode uint32, content io.Reader) error {
	q := url.Values{"path": {path}}
	if mode != 0 {
		q.Set("mode", strconv.FormatUint(uint64(mode), 8))
	}
	return c.send(ctx, http.MethodPut, "/v1/files/content", q, content, nil)
}

// Append writes at a file's end, and makes it if there is none.
func (c *Client) Append(ctx context.Context, path string, content io.Reader) error {
	return c.send(ctx, http.MethodPost, "/v1/files/append", url.Values{"path": {path}}, content, nil)
}

// Mkdir makes a directory; with parents those above it as well, and one that is there is no error.
func (c *Client) Mkdir(ctx context.Context, path string, mode uint32, parents bool) error {
	return c.change(ctx, "mkdir", url.Values{"path": {path}, "mode": {strconv.FormatUint(uint64(mode), 8)}, "parents": {strconv.FormatBool(parents)}})
}

// Rename gives a file another name, and replaces a file of that name.
func (c *Client) Rename(ctx context.Context, from, to string) error {
	return c.change(ctx, "rename", url.Values{"path": {from}, "to": {to}})
}

// RemoveFile removes a file or an empty directory; with all a tree, and one that is not there is no error.
func (c *Client) RemoveFile(ctx context.Context, path string, all bool) error {
	return c.change(ctx, "remove", url.Values{"path": {path}, "all": {strconv.FormatBool(all)}})
}

// Chmod sets permissions.
func (c *Client) Chmod(ctx context.Context, path string, mode uint32) error {
	return c.change(ctx, "chmod", url.Values{"path": {path}, "mode": {strconv.FormatUint(uint64(mode), 8)}})
}

func (c *Client) change(ctx context.Context, what string, q url.Values) error {
	return c.do(ctx, http.MethodPost, "/v1/files/"+what, q, nil, nil)
}

// Packed is a tree that comes as a tar archive.
type Packed struct {
	io.Reader
	res  *http.Response
	conn net.Conn
}

// TarOut packs a file or a tree, as `sandbox cp` has it; with follow what a link leads to.
func (c *Client) TarOut(ctx context.Context, path string, follow bool) (*Packed, error) {
	q := url.Values{"path": {path}, "follow": {strconv.FormatBool(follow)}}
	res, conn, _, err := c.ask(ctx, http.MethodGet, "/v1/files/tar", q, nil, "")
	if err != nil {
		return nil, err
	}
	return &Packed{Reader: res.Body, res: res, conn: conn}, nil
}

// End says what was left out, and why the archive ends too early if it does. It reads the rest.
func (p *Packed) End() (notes []string, err error) {
	_, err = io.Copy(io.Discard, p.res.Body)
	_ = json.Unmarshal([]byte(p.res.Trailer.Get(TrailerNotes)), &notes)
	if problem := trailerProblem(p.res); problem != nil {
		return notes, problem
	}
	return notes, err
}

// Close ends the connection.
func (p *Packed) Close() error { return p.conn.Close() }

func trailerProblem(res *http.Response) error {
	if text := res.Trailer.Get(TrailerProblem); text != "" {
		var p Problem
		if json.Unmarshal([]byte(text), &p) == nil {
			return &p
		}
	}
	return nil
}

// Unpacked is the answer to an archive.
type Unpacked struct {
	Notes []string `json:"notes,omitempty"` // what was left out
}

// TarIn unpacks an archive at a path; with into an archive of any names into the directory that is there. When ctx is
// done the archive breaks off, and the answer is awaited: by then nothing is left that is not whole.
func (c *Client) TarIn(ctx context.Context, path string, into bool, archive io.Reader) (notes []string, err error) {
	q := url.Values{"path": {path}, "into": {strconv.FormatBool(into)}}
	var u Unpacked
	err = c.send(ctx, http.MethodPut, "/v1/files/tar", q, archive, &u)
	return u.Notes, err
}

// body asks for content.
func (c *Client) body(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	res, conn, _, err := c.ask(ctx, http.MethodGet, path, q, nil, "")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &content{res.Body, conn, stop}, nil
}

type content struct {
	io.Reader
	conn net.Conn
	stop func() bool
}

func (c *content) Close() error {
	c.stop()
	return c.conn.Close()
}

// breaksOff ends with an error once ctx is done.
type breaksOff struct {
	ctx context.Context
	io.Reader
}

// WriteTo moves more at a time than net/http does by itself.
func (b breaksOff) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(w, struct{ io.Reader }{b}, make([]byte, sendBuffer))
}

func (b breaksOff) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	n, err := b.Reader.Read(p)
	if cause := context.Cause(b.ctx); cause != nil && err != nil && !errors.Is(err, io.EOF) {
		err = cause
	}
	return n, err
}

// send sends content and reads the answer into a value, nil for none.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, from io.Reader, into any) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach the exec server: %w", err)
	}
	defer conn.Close()
	u := url.URL{Scheme: "http", Host: "execd", Path: path, RawQuery: q.Encode()}
	req, err := http.NewRequest(method, u.String(), breaksOff{ctx, from})
	if err != nil {
		return err
	}
	req.Close = true
	written := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(conn, sendBuffer)
		err := req.Write(w)
		if err == nil {
			err = w.Flush()
		}
		if half, ok := conn.(interface{ CloseWrite() error }); ok && err != nil {
			_ = half.CloseWrite() // it ends within a chunk, which the server takes for what it is
		}
		written <- err
	}()
	// The answer may come early, as a refusal. Once ctx is done the server has a moment to clean up.
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now().Add(cleanWithin)) })()
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err == nil && res.StatusCode >= 300 {
		err = readProblem(res)
	} else if err == nil && into != nil {
		err = json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	select {
	case werr := <-written: // what could not be read here is the reason, not what the server made of it
		if werr != nil && err != nil && !isClosed(werr) {
			return werr
		}
	default:
	}
	return err
}

const (
	sendBuffer  = 256 << 10
	cleanWithin = 5 * time.Second
)

// isClosed says whether an error is the connection's.
func isClosed(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// WatchFiles calls each for what happens in a directory, not below it, until ctx is done.
func (c *Client) WatchFiles(ctx context.Context, path string, each func(Change) error) error {
	_, conn, r, err := c.ask(ctx, http.MethodGet, "/v1/files/watch", url.Values{"path": {path}}, nil, Protocol)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for frames := NewFrameReader(r); ; {
		f, err := frames.Next()
		if err != nil {
			return errors.Join(context.Cause(ctx), ErrBroken)
		}
		var change Change
		if f.Type != FrameChange || f.JSON(&change) != nil {
			continue
		}
		if err := each(change); err != nil {
			return err
		}
	}
}
