package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
)

// get sends the content of a file, or of any key.
func (h handler) get(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if key := q.Get("key"); key != "" {
		h.getKey(w, r, key)
		return
	}
	path := q.Get("path")
	f, err := h.tree.OpenPath(r.Context(), path)
	if err != nil {
		refuse(w, r, "read", path, err)
		return
	}
	defer f.Close()
	if err := sendFile(w, r, f); err != nil {
		refuse(w, r, "read", path, err)
	}
}

// sendFile sends a file. An error is one of before the first byte: afterwards too few bytes tell the client.
func sendFile(w http.ResponseWriter, r *http.Request, f *cold.Handle) error {
	// The first block before the header, so that what cannot be had is an error and no content of
	// zero bytes; and the attributes after it, since they come with it.
	size := f.Size()
	buf := make([]byte, cache.BlockSize)
	b, err := f.ReadInto(r.Context(), buf, 0)
	if err != nil {
		return err
	}
	e, err := f.Describe(r.Context())
	if err != nil {
		return err
	}
	e.Size = size // of what follows: a write meanwhile does not change it
	header, err := json.Marshal(e)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set(contract.ColdEntryHeader, strconv.QuoteToASCII(string(header)))
	for off := int64(0); ; {
		keepAlive(w)
		if _, err := w.Write(b[:min(int64(len(b)), size-off)]); err != nil {
			return nil //nolint:nilerr // the answer is under way: the client sees that it ends early
		}
		if off += int64(len(b)); off >= size || len(b) == 0 {
			return nil
		}
		if b, err = f.ReadInto(r.Context(), buf, off); err != nil {
			return nil //nolint:nilerr // likewise
		}
	}
}

// getKey sends an object that need not be a file.
func (h handler) getKey(w http.ResponseWriter, r *http.Request, key string) {
	rd, err := h.tree.OpenKey(r.Context(), key)
	if err != nil {
		refuse(w, r, "read the key", key, err)
		return
	}
	defer rd.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(rd.Size, 10))
	buf := make([]byte, cache.BlockSize)
	for {
		n, err := rd.Read(buf)
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
