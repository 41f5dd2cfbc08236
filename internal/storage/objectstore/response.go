package objectstore

import (
	"errors"
	"io"
	"net/http"
)

// maxDocument bounds an answer that is no object: a page of a listing is well below 3 MB.
const maxDocument = 16 << 20

// response is a 2xx. Close lets the connection go, and waits until nothing reads the
// request's body any more, so that its owner may change it.
type response struct {
	*http.Response
	watch *watch
	sent  *sendBody
}

func (r *response) Close() error {
	err := r.Body.Close()
	if r.sent != nil {
		r.sent.wait()
	}
	r.watch.stop()
	return err
}

// Read reads the body; each byte that comes shows that the connection lives.
func (r *response) Read(p []byte) (int, error) {
	n, err := r.Body.Read(p)
	if err == nil {
		r.watch.progress()
	} else if !errors.Is(err, io.EOF) {
		err = r.watch.explain(err)
	}
	return n, err
}

// all reads a document to its end and closes.
func (r *response) all(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit))
	return b, errors.Join(err, r.Close())
}
