package hydrate

import (
	"slices"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// siftTwins leaves one key of each path: a path has two keys when another tool has written one in
// a form that is not ours. The other one is the file's twin: it stays in S3, and the journal has it, so
// that a deletion of the file deletes both.
func (h *run) siftTwins() error {
	twins := map[string]journal.Twin{}
	losers := map[string]bool{}
	for i := range h.items {
		raw := &h.items[i]
		key, err := posixattr.KeyWithPrefix("", raw.path(), raw.isMarker())
		if err != nil || key == raw.key {
			continue
		}
		ours, ok := h.find(key)
		if !ok {
			continue
		}
		twin := h.twinOf(ours, raw)
		twins[twin.name()] = journal.Twin{Key: twin.key, ETag: twin.etag()}
		losers[twin.key] = true
		h.kept[twin.key] = true
		h.Log.Warn("two objects mean the same path; one is the file's, and the other stays in S3 until the file is deleted",
			"event", "twin_keys", "path", twin.path(), "kept_in_s3", h.prefix+twin.key)
	}
	h.items = slices.DeleteFunc(h.items, func(it item) bool { return losers[it.key] })
	return h.Journal.Twins().Replace(twins)
}

// twinOf chooses between two objects of one path, and returns the one that is not the file's. The file's
// is the one that the journal knows, else the one that was written last, so that the next sandbox shows what
// this one has written. Where the path was deleted here, an object that was not there at that time is new.
func (h *listing) twinOf(ours, raw *item) (twin *item) {
	e, ok := h.Journal.Get(ours.path())
	switch {
	case ok && e.Key == ours.key:
		if h.isNewTwin(raw) {
			return ours
		}
		return raw
	case ok && e.Key == raw.key:
		if h.isNewTwin(ours) {
			return raw
		}
		return ours
	case raw.modified > ours.modified:
		return ours
	}
	return raw
}

// isNewTwin tells whether the path of an object was deleted here before that object, which is not the
// file's, was written.
func (h *listing) isNewTwin(it *item) bool {
	known, ok := h.Journal.Twins().Get(it.name())
	return h.Journal.HasTombstone(it.path()) && (!ok || known != journal.Twin{Key: it.key, ETag: it.etag()})
}
