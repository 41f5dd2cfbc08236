// Package httpapi answers the control socket's requests about the cold path, below
// contract.ControlColdPrefix, with the operations of its tree. Any process that may open the socket may do with the
// cold path what its mount would let the agent do, and no more: paths stay below the root, and nothing
// follows a symbolic link.
package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

type handler struct{ tree *cold.FS }

// Handler serves the control socket's paths of the cold path.
func Handler(tree *cold.FS) http.Handler {
	h := handler{tree}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+contract.ControlColdListPath, h.list)
	mux.HandleFunc("GET "+contract.ControlColdKeysPath, h.keys)
	mux.HandleFunc("GET "+contract.ControlColdFilePath, h.get)
	mux.HandleFunc("PUT "+contract.ControlColdFilePath, h.put)
	mux.HandleFunc("DELETE "+contract.ControlColdFilePath, h.remove)
	mux.HandleFunc("POST "+contract.ControlColdSyncPath, h.sync)
	return mux
}

// stallFor is how long a client may take no bytes, or send none, before it is given up.
const stallFor = 30 * time.Second

func keepAlive(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallFor))
}

// refuse answers with an error in words, and with the status that says whose it is.
func refuse(w http.ResponseWriter, r *http.Request, what, path string, err error) {
	status := http.StatusInternalServerError
	switch cold.Errno(err) {
	case syscall.ENOENT:
		status = http.StatusNotFound
	case syscall.EISDIR, syscall.ENOTDIR, syscall.ENOTEMPTY, syscall.EEXIST, syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ELOOP:
		status = http.StatusBadRequest
	}
	if errors.Is(err, objectstore.ErrNotFound) {
		status = http.StatusNotFound
	}
	if r.Context().Err() != nil {
		status = http.StatusServiceUnavailable // the request was ended, and not by what it asks for
	}
	if errors.Is(err, errKept) {
		status = http.StatusBadGateway
	}
	keepAlive(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(contract.ControlError{Error: fmt.Sprintf("cannot %s %q: %v", what, path, err)})
}

// errKept is what was taken and is not in S3 yet: nothing is lost, but it is not stored.
var errKept = errors.New("it stays pending, and is tried again")

// answerStored answers when what was done is in S3, and with an error when it is not.
func answerStored(w http.ResponseWriter, r *http.Request, path string, unsaved []contract.Unsaved, body func() any) {
	if len(unsaved) > 0 {
		refuse(w, r, "bring to S3", path, fmt.Errorf("%s; %w", unsaved[0].Reason, errKept))
		return
	}
	keepAlive(w)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body())
}

// number reads a number of the query; what is not there is the default.
func number(q string, base int, otherwise int64) (int64, error) {
	if q == "" {
		return otherwise, nil
	}
	return strconv.ParseInt(q, base, 64)
}
