package cold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// A large file that was changed in part is sent in part: S3 makes the new object of the changed ranges and
// of the version on which the file is based. So what is missing of the file need not come here, and close
// and fsync do not wait for it.

// composeFrom is from which size on, in bytes, that is worth the requests.
const composeFrom = 16 << 20

// maxCopy is up to which size, in bytes, an object is copied by one request. Tests have smaller objects.
var maxCopy int64 = objectstore.MaxCopy

// composedMark begins the id of an upload of which parts were copied: it is not continued.
const composedMark = "~"

func composed(uploadID string) bool { return strings.HasPrefix(uploadID, composedMark) }

// basis is the version in S3 on which a node's content is based. With mu.
func (cs *contents) basis(n *node) (objectstore.Basis, bool) {
	if n.wholeOnly || !n.hasRemote() || n.remote().Size < composeFrom {
		return objectstore.Basis{}, false
	}
	key, err := cs.contentKey(n)
	return objectstore.Basis{Key: key, ETag: n.remote().ETag, Size: n.remote().Size}, err == nil
}

// plan says how content that differs from its basis in some ranges can be sent in part. With mu.
func (cs *contents) plan(n *node, size int64, changed []cache.Range) (objectstore.Plan, bool) {
	b, ok := cs.basis(n)
	if !ok || size < composeFrom {
		return objectstore.Plan{}, false
	}
	for _, r := range changed {
		b.Changed = append(b.Changed, objectstore.Range(r))
	}
	return cs.store.Plan(size, b)
}

// planUpload decides how a job sends its content, and says what it reads of it. With mu.
func (j *job) planUpload(size int64, changed []cache.Range, known bool) []cache.Range {
	j.plan = nil
	if known {
		changed = append(slices.Clone(changed), j.node.patched...) // the object has that from other files
		slices.SortFunc(changed, func(a, b cache.Range) int { return cmp.Compare(a.Off, b.Off) })
		if p, ok := j.contents.plan(j.node, size, changed); ok {
			j.plan = &p
			var needed []cache.Range
			for _, r := range p.Sent {
				needed = append(needed, cache.Range(r))
			}
			return needed
		}
	}
	return []cache.Range{{Off: 0, End: size}}
}

// copiesInParts says that S3 can copy an object that is too large for one request. With mu.
func (cs *contents) copiesInParts(n *node) bool {
	_, ok := cs.plan(n, n.size, nil)
	return ok
}

// planCopy has a job copy its node's object. With mu.
func (j *job) planCopy() error {
	n := j.node
	key, err := j.contents.contentKey(n)
	if err != nil {
		return err
	}
	j.copyFrom, j.copyETag, j.size, j.plan = key, n.remote().ETag, n.remote().Size, nil
	if j.size > maxCopy {
		p, ok := j.contents.plan(n, j.size, nil)
		if !ok {
			return errChanged // it is brought here first
		}
		j.plan, j.body = &p, strings.NewReader("")
	}
	return nil
}

// goesUpInParts says that what is missing of a dirty file need not come here before it goes up. With mu.
func (cs *contents) goesUpInParts(n *node) bool {
	if n.content == nil || n.parent == nil {
		return false
	}
	changed, known := n.content.file.Changed()
	if !known {
		return false
	}
	_, ok := cs.plan(n, n.content.file.Size(), changed)
	return ok
}

// compose sends what the plan says.
func (j *job) compose(ctx context.Context, cond objectstore.Condition) (objectstore.Object, error) {
	o, err := j.store.Compose(ctx, j.key, j.body, *j.plan, objectstore.PutOptions{
		Condition: cond, Metadata: j.meta, Verify: func() error { return j.uploaded() },
		OnUploadID: func(id string) { j.noteUpload(composedMark + id) },
	})
	if errors.Is(err, objectstore.ErrUnsupported) {
		err = j.sendWhole(err)
	}
	return o, err
}

// sendWhole has the next attempt send all of the content.
func (j *job) sendWhole(why error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.node.own().wholeOnly = true
	j.log.Info("a changed file is sent as a whole, since S3 does not copy the parts that did not change", "event", "cold_whole", "path", j.path, "error", why)
	return fmt.Errorf("%w: %w", errChanged, why)
}
