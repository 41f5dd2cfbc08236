package hydrate

import (
	"errors"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// unreadable says why an object that the store does not give stays there, when that is about this object
// alone: it is archived, this key is denied, its content does not match its checksum, or the store gives no
// proper answer for it while it does for others. An object
// with the rules of what is left out is none of those: without them the rest cannot be told apart.
func (h *listing) unreadable(err error) (reason string, ok bool) {
	if h.rulesAlone {
		return "", false
	}
	for _, kind := range []error{objectstore.ErrArchived, objectstore.ErrAccessDenied, objectstore.ErrChecksum, objectstore.ErrInvalid, objectstore.ErrUnsupported, errAlone} {
		if errors.Is(err, kind) {
			return err.Error(), true
		}
	}
	return "", false
}

// denied notes that a key was denied. Where no other can be read it is the store that denies them all.
func (h *run) denied(err error) {
	if !errors.Is(err, objectstore.ErrAccessDenied) || errors.Is(err, objectstore.ErrArchived) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.firstDenied == nil {
		h.firstDenied = err
	}
}

// allDenied is the error of a home of which nothing may be read, though it may be listed.
func (h *run) allDenied() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.res.Files > 0 || h.res.Unchanged > 0 || h.res.Adopted > 0 {
		return nil // of what is here already none had to be read: that tells nothing
	}
	return h.firstDenied
}
