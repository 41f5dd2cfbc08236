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
)

// copies bounds how much content is moved at a time: each copy may block in a thread.
const mostCopies = 4

func (s *Server) copying(r *http.Request) (leave func(), err error) {
	select {
	case s.copies <- struct{}{}:
		return func() { <-s.copies }, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// copyBuffer is what one read or write moves.
const copyBuffer = 256 << 10

func (s *Server) readFile(w http.ResponseWriter, r *http.Request) (any, error) {
	a := asked{r}
	path, err := a.path("path")
	offset, oerr := a.number("offset", 0)
	length, lerr := a.number("length", -1)
	if err := errors.Join(err, oerr, lerr); err != nil {
		return nil, failed(err)
	}
	leave, err := s.copying(r)
	if err != nil {
		return nil, err
	}
	defer leave()
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

func (s *Server) putFile(_ http.ResponseWriter, r *http.Request) (any, error) {
	a := asked{r}
	path, err := a.path("path")
	mode, merr := a.mode(0)
	if err := errors.Join(err, merr); err != nil {
		return nil, failed(err)
	}
	leave, err := s.copying(r)
	if err != nil {
		return nil, err
	}
	defer leave()
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

func (s *Server) appendFile(_ http.ResponseWriter, r *http.Request) (any, error) {
	path, err := asked{r}.path("path")
	if err != nil {
		return nil, err
	}
	leave, err := s.copying(r)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, failed(err)
	}
	_, err = io.CopyBuffer(onlyWriter{f}, r.Body, make([]byte, copyBuffer))
	return done{}, failed(errors.Join(err, f.Close()))
}
