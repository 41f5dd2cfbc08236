package hydrate

import (
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// markerAttr are the attributes of a directory whose marker was looked up. Some stores keep no metadata with a key that
// ends in "/" (SeaweedFS): a marker that has none, and is otherwise as the manifest knows it, has those that
// the manifest says.
func (h *listing) markerAttr(it *item, o objectstore.Object, attr posixattr.Attr) (posixattr.Attr, error) {
	if len(o.Metadata) > 0 {
		return attr, nil
	}
	known, err := h.manifest.Lookup(it.key)
	if err != nil || known == nil || known.ETag != o.ETag || known.Size != o.Size {
		return attr, err
	}
	return posixattr.Attr{Mode: known.Mode, Mtime: known.Mtime}, nil
}
