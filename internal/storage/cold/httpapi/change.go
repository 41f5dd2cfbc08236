package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold"
)

// put stores a file, a directory or a symbolic link, and answers when it is in S3, or with wait=0 when it
// is kept here.
func (h handler) put(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	path := strings.Trim(q.Get("path"), "/")
	if kind := q.Get("kind"); r.ContentLength != 0 && (kind == "dir" || kind == "symlink") {
		w.Header().Set("Connection", "close") // while a body does not come, a client that has gone is not noticed
		refuse(w, r, "store", path, fmt.Errorf("a %s has no content: %w", kind, syscall.EINVAL))
		return
	}
	placed, err := h.place(r, clientBody{r.Body, http.NewResponseController(w)}, path)
	if err != nil {
		refuse(w, r, "store", path, err)
		return
	}
	var unsaved []contract.Unsaved
	if q.Get("wait") != "0" {
		own := path
		if q.Get("kind") == "dir" {
			own += "/" // its marker, and not what else is below it
		}
		unsaved = h.tree.SyncBelow(r.Context(), own)
		// Where another client wrote the key, ours has another name.
		if now := placed.Object(); len(unsaved) == 0 && now != "" && now != own {
			unsaved = h.tree.SyncBelow(r.Context(), now)
		}
	}
	answerStored(w, r, path, unsaved, func() any { return placed.Describe() })
}

func (h handler) place(r *http.Request, body io.Reader, path string) (cold.Placed, error) {
	q := r.URL.Query()
	mode, err := number(q.Get("mode"), 8, -1)
	if err != nil {
		return cold.Placed{}, syscall.EINVAL
	}
	mtime, err := number(q.Get("mtime"), 10, time.Now().UnixNano())
	if err != nil {
		return cold.Placed{}, syscall.EINVAL
	}
	return h.tree.Put(r.Context(), cold.PutRequest{Path: path, Kind: q.Get("kind"), Mode: mode, Mtime: mtime, Target: q.Get("target"), Body: body})
}

// clientBody is the body of a request, each piece of which comes within stallFor.
type clientBody struct {
	io.Reader
	control *http.ResponseController
}

func (b clientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(stallFor))
	n, err := b.Reader.Read(p)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{}) // the server reads on, to see that the client goes
	}
	return n, err
}

func (h handler) remove(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	done := func() any { return contract.ColdProgress{Done: true} }
	if key := q.Get("key"); key != "" {
		if err := h.tree.RemoveKey(r.Context(), key); err != nil {
			refuse(w, r, "remove the key", key, err)
			return
		}
		answerStored(w, r, key, nil, done)
		return
	}
	path := strings.Trim(q.Get("path"), "/")
	if err := h.tree.Remove(r.Context(), path, q.Get("recursive") != ""); err != nil {
		refuse(w, r, "remove", path, err)
		return
	}
	answerStored(w, r, path, h.tree.SyncBelow(r.Context(), path), done)
}
