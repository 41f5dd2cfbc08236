package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
)

// unsavedMost is how much of what is not in S3 an answer lists.
const unsavedMost = 100

func (h handler) sync(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Query().Get("path"), "/")
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	done := make(chan []contract.Unsaved, 1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { done <- h.tree.SyncBelow(ctx, path) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		var unsaved []contract.Unsaved
		p := contract.ColdProgress{}
		select {
		case unsaved = <-done:
			p.Done = true
		case <-tick.C:
		}
		st := h.tree.Status()
		p.PendingFiles, p.PendingBytes = st.PendingFiles, st.PendingBytes
		p.UnsavedCount, p.Unsaved = int64(len(unsaved)), unsaved[:min(len(unsaved), unsavedMost)]
		keepAlive(w)
		if enc.Encode(p) != nil || p.Done {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}
