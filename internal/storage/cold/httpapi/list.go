package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/matrx/sandbox/contract"
)

func (h handler) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	path := q.Get("path")
	entries, err := h.tree.List(r.Context(), path, q.Get("recursive") != "", q.Get("attributes") == "dirs")
	if err != nil {
		refuse(w, r, "list", path, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for e, err := range entries {
		keepAlive(w)
		if err != nil || enc.Encode(e) != nil {
			return // an answer without its end
		}
	}
	_ = enc.Encode(contract.ColdEntry{End: true})
}

func (h handler) keys(w http.ResponseWriter, r *http.Request) {
	prefix := r.URL.Query().Get("prefix")
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	begun := false
	for k, err := range h.tree.Keys(r.Context(), prefix) {
		if err != nil {
			if !begun {
				refuse(w, r, "list the keys below", prefix, err)
			}
			return // an answer without its end
		}
		begun = true
		keepAlive(w)
		if enc.Encode(k) != nil {
			return
		}
	}
	_ = enc.Encode(contract.ColdKey{End: true})
}
