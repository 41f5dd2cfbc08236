package execd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/threads"
)

// Content is moved in turns: what reads or writes files may block in a thread. A turn is given up for each wait for the
// client, so that clients that neither read nor send hold up no others.
const (
	mostCopies    = 4
	mostTransfers = 64 // at a time, those that wait for their clients included: each has a buffer
)

// onContent moves the content of a file or a tree, in its turn.
func (s *Server) onContent(move func(w http.ResponseWriter, r *http.Request, path string) (any, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		path, err := asked{r}.path("path")
		if err != nil {
			return nil, err
		}
		for _, place := range []chan struct{}{s.transfers, s.copies} {
			select {
			case place <- struct{}{}:
				defer func() { <-place }()
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		r.Body = &turnReader{r.Body, s.copies}
		return move(&turnWriter{w, s.copies}, r, path)
	}
}

type turnReader struct {
	io.ReadCloser
	turn threads.Gate
}

func (t *turnReader) Read(b []byte) (int, error) {
	t.turn.Leave()
	defer t.turn.Enter()
	return t.ReadCloser.Read(b)
}

type turnWriter struct {
	http.ResponseWriter
	turn threads.Gate
}

func (t *turnWriter) Write(b []byte) (int, error) {
	t.turn.Leave()
	defer t.turn.Enter()
	return t.ResponseWriter.Write(b)
}

// copyBuffer is what one read or write moves.
const copyBuffer = 256 << 10

func readFile(w http.ResponseWriter, r *http.Request, path string) (any, error) {
	offset, err := asked{r}.number("offset", 0)
	length, lerr := asked{r}.number("length", -1)
	if err := errors.Join(err, lerr); err != nil {
		return nil, failed(err)
	}
	// O_NONBLOCK: a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, failed(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, failed(err)
	}
	if !info.Mode().IsRegular() {
		return nil, execapi.ErrInvalid.Because("cannot read %q: it is a %s", path, kind(info.Mode()))
	}
	if offset < 0 {
		return nil, execapi.ErrInvalid.Because("cannot read %q from the offset %d", path, offset)
	}
	// Files of /proc say that they have nothing, and have something.
	if rest := max(0, info.Size()-offset); info.Size() > 0 && (length < 0 || length > rest) {
		length = rest
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	from := io.Reader(io.NewSectionReader(f, offset, 1<<62-offset))
	if length >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
		from = io.LimitReader(from, length)
	}
	// A file that shrinks meanwhile gives less than was said, and net/http then breaks the connection.
	_, _ = io.CopyBuffer(onlyWriter{w}, from, make([]byte, copyBuffer))
	return nil, nil
}

// onlyWriter hides what would choose another buffer.
type onlyWriter struct{ io.Writer }

func putFile(_ http.ResponseWriter, r *http.Request, path string) (any, error) {
	mode, err := asked{r}.mode(0)
	if err != nil {
		return nil, err
	}
	return done{}, failed(put(path, mode, r.Body))
}

// put writes a file under another name in its directory, and renames it.
func put(path string, mode uint32, content io.Reader) error {
	if mode == 0 {
		mode = 0o644
		if info, err := os.Stat(path); err == nil {
			mode = uint32(info.Mode().Perm())
		}
	}
	// By this beginning and end it is left out of what is saved, should it be left.
	temp := filepath.Join(filepath.Dir(path), ".sandbox-hydrate-"+rand.Text()+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return named(err, path)
	}
	_, err = io.CopyBuffer(onlyWriter{f}, content, make([]byte, copyBuffer))
	if err == nil {
		err = unix.Fchmod(int(f.Fd()), mode)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return named(err, path)
	}
	return nil
}

// named says which file could not be written: not the one beside it.
func named(err error, path string) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		err = l.Err
	}
	return fmt.Errorf("cannot write %q: %w", path, err)
}

func appendFile(_ http.ResponseWriter, r *http.Request, path string) (any, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, failed(err)
	}
	_, err = io.CopyBuffer(onlyWriter{f}, r.Body, make([]byte, copyBuffer))
	return done{}, failed(errors.Join(err, f.Close()))
}
