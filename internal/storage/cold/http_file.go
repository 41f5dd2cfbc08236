package cold

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"syscall"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// serveGet sends the content of a file, or of any key.
func (fs *FS) serveGet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if key := q.Get("key"); key != "" {
		fs.getKey(w, r, key)
		return
	}
	path := q.Get("path")
	n, h, err := fs.openPath(r.Context(), path)
	if errors.Is(err, syscall.ESTALE) { // its object was replaced, or is a link: as the kernel, look again
		n, h, err = fs.openPath(r.Context(), path)
	}
	if err != nil {
		refuse(w, "read", path, err)
		return
	}
	defer h.Close()
	// The first block before the header, so that what cannot be had is an error and no content of
	// zero bytes; and the attributes after it, since they come with it.
	size := h.c.file.Size()
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	b, err := h.readInto(r.Context(), buf[:], 0)
	if err == nil {
		err = fs.fetchAttrs(r.Context(), n)
	}
	if err != nil {
		refuse(w, "read", path, err)
		return
	}
	fs.mu.Lock()
	e := fs.describe(n)
	fs.mu.Unlock()
	e.Size = size // of what follows, whatever is written to it meanwhile
	header, err := json.Marshal(e)
	if err != nil {
		refuse(w, "read", path, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set(contract.ColdEntryHeader, strconv.QuoteToASCII(string(header)))
	for off := int64(0); ; {
		keepAlive(w)
		if _, err := w.Write(b[:min(int64(len(b)), size-off)]); err != nil {
			return
		}
		if off += int64(len(b)); off >= size || len(b) == 0 {
			return
		}
		if b, err = h.readInto(r.Context(), buf[:], off); err != nil {
			return // too few bytes tell the client
		}
	}
}

func (fs *FS) openPath(ctx context.Context, path string) (n *node, h *Handle, err error) {
	if n, err = fs.find(ctx, path); err != nil {
		return nil, nil, err
	}
	switch n.kind {
	case pending.Dir:
		return nil, nil, syscall.EISDIR
	case pending.Symlink:
		return nil, nil, syscall.ELOOP
	}
	h, err = fs.open(ctx, n, false)
	return n, h, err
}

// readInto reads as much as there is for a buffer.
func (h *Handle) readInto(ctx context.Context, buf []byte, off int64) ([]byte, error) {
	p, direct, err := h.Read(ctx, off, len(buf))
	if err != nil || direct != nil {
		return direct, err
	}
	defer p.Release()
	if p.N == 0 {
		return nil, nil
	}
	n, err := p.FD.ReadAt(buf[:p.N], off)
	if n == p.N {
		err = nil
	}
	return buf[:n], err
}

// getKey sends an object that need not be a file.
func (fs *FS) getKey(w http.ResponseWriter, r *http.Request, key string) {
	rd, err := fs.store.Get(r.Context(), fs.prefix+key, objectstore.GetOptions{})
	if err != nil {
		refuse(w, "read the key", key, err)
		return
	}
	defer rd.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(rd.Size, 10))
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	for {
		n, err := rd.Read(buf[:])
		keepAlive(w)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return // at the end, or before it: too few bytes tell the client
		}
	}
}
