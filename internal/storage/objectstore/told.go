package objectstore

import (
	"net/http"
	"slices"
	"strings"

	"github.com/matrx/sandbox/contract"
)

// hear takes a host's word for what its store honours, so that Probe need not ask the store: a start has
// seventeen requests less. The host alone is believed: its socket lies where root alone may enter.
func (s *sender) hear(h http.Header) {
	said := h.Get(contract.HostStoreHeader)
	if said == "" || s.endpoint.Socket == "" || s.told.Load() != nil {
		return
	}
	verbs := strings.Fields(said)
	has := func(verb string) bool { return slices.Contains(verbs, verb) }
	s.told.Store(&Conditional{Put: has("PUT"), Delete: has("DELETE"), Copy: has("COPY"), Complete: has("COMPLETE")})
}
