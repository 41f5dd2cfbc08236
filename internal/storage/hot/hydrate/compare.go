package hydrate

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/threads"
)

const (
	comparers    = 8
	compareBatch = 128 // neighbours, which share a block of the manifest
)

// comparer settles what only contents can.
type comparer struct{ *run }

// compare settles the verdicts that only contents can: what was to be compared, verified
// or rechecked is nothing or fetched after it.
func (h comparer) compare(ctx context.Context) error {
	var open []int
	for i := range h.items {
		if h.items[i].isOpen() {
			open = append(open, i)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(comparers)
	for len(open) > 0 {
		batch := open[:min(compareBatch, len(open))]
		open = open[len(batch):]
		g.Go(func() error {
			entries := h.manifest.Items()
			for _, i := range batch {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := h.compareOne(ctx, i, entries); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// isOpen says that only the content can settle the item's verdict.
func (it *item) isOpen() bool {
	return it.verdict == compared || it.verdict == verified || it.verdict == rechecked
}

func (h comparer) compareOne(ctx context.Context, i int, entries *manifest.Item) error {
	it := &h.items[i]
	path := it.path()
	info, err := h.Root.Lstat(path)
	if isAbsent(err) {
		it.verdict = fetched
		return nil
	}
	if err != nil {
		return err
	}
	equal, err := h.compareContent(h.patient(ctx), i, path, info, entries)
	if errors.Is(err, objectstore.ErrNotFound) { // gone from S3 meanwhile: ours is a new file
		it.verdict = nothing
		return h.Journal.Forget(path)
	}
	if h.putOff(ctx, i, err) {
		return nil
	}
	if reason, ok := h.unreadable(err); ok {
		h.denied(err)
		h.keep(it.key, reason)
		it.verdict = nothing // the file here stays too
		return nil
	}
	if err != nil || it.verdict == fetched {
		return err
	}
	if equal {
		it.verdict = nothing
		return nil
	}
	it.verdict = fetched
	return h.gatedMoveAside(path)
}

// compareContent tells whether the content at a path is the item's. It makes an item fetched
// that may replace what is there.
func (h comparer) compareContent(ctx context.Context, i int, path string, info tree.Info, entries *manifest.Item) (bool, error) {
	switch h.items[i].verdict {
	case verified:
		return h.verify(i, path, info)
	case rechecked:
		unchanged, err := h.gatedUnchanged(path, info)
		if err != nil {
			return false, err
		}
		if unchanged {
			h.replace(i, info)
			return false, nil
		}
	}
	return h.adopt(ctx, &h.items[i], path, info, entries)
}

// verify says whether a file still has the content that the journal knows. Where the
// journal knows no hash, the object is fetched again in the file's place.
func (h comparer) verify(i int, path string, info tree.Info) (bool, error) {
	e, ok := h.Journal.Get(path)
	if ok && e.SHA256 == [32]byte{} && h.state(path, info) == e.Local {
		h.replace(i, info)
		return false, nil
	}
	sums, err := h.sums(path, info, false)
	if err != nil {
		return false, err
	}
	if equal := ok && sums.sha256 == e.SHA256; !equal {
		return false, nil
	}
	h.mu.Lock()
	h.res.Unchanged++
	h.mu.Unlock()
	return true, nil
}

// adopt takes the file here for the object's, if it is.
func (h comparer) adopt(ctx context.Context, it *item, path string, info tree.Info, entries *manifest.Item) (bool, error) {
	state := h.state(path, info)
	if info.Size != it.size && state == info.Stat || !info.IsRegular() && !info.IsSymlink() {
		return false, nil
	}
	sums, err := h.sums(path, info, it.entry == 0 || it.size > largeObject)
	if err != nil || sums.size != it.size {
		return false, err
	}
	o, attr, equal, err := h.sameContent(ctx, it, sums, info, entries)
	if err != nil || !equal {
		return false, err
	}
	// It was read a while ago.
	if now, err := h.Root.Lstat(path); err != nil || now.Stat != info.Stat {
		return false, nil //nolint:nilerr // what cannot be looked at any more is equal to nothing
	}
	e := fetch.Entry(&o, it.key, path, attr, sums.sha256, info)
	if state != info.Stat {
		e.Local = state
	}
	if info.Mtime != attr.Mtime || info.IsRegular() && info.Mode&0o1777 != attr.Mode&0o1777 {
		if err := h.Root.SetAttr(path, tree.Attr{Mode: attr.Mode, Mtime: attr.Mtime}); err != nil {
			return false, err
		}
		if info, err = h.Root.Lstat(path); err != nil {
			return false, err
		}
		e.Local = h.state(path, info)
		e.Local.Racy = true // a write since the last look would not show: compare again
	}
	h.mu.Lock()
	h.res.Adopted++
	h.mu.Unlock()
	return true, h.record(e)
}

// sameContent compares with what is known: the manifest's hash, the ETag when it is an MD5, and
// at last the object itself.
func (h comparer) sameContent(ctx context.Context, it *item, sums sums, info tree.Info, entries *manifest.Item) (o objectstore.Object, attr posixattr.Attr, equal bool, err error) {
	kind := info.Mode & posixattr.TypeMask
	if it.entry > 0 {
		known, err := entries.Get(int(it.entry) - 1)
		if err != nil {
			return o, attr, false, err
		}
		if known.Hashed {
			o, attr = h.vouched(it, known)
			return o, attr, known.SHA256 == sums.sha256 && attr.Type() == kind, nil
		}
	}
	if o, err = h.Store.Head(ctx, h.prefix+it.key); err != nil {
		return o, attr, false, err
	}
	attr, _ = posixattr.Decode(o.Metadata, o.LastModified, false)
	if attr.Type() != kind || o.Size != sums.size {
		return o, attr, false, nil
	}
	if sums.md5 != "" && o.ETag == sums.md5 {
		return o, attr, true, nil
	}
	body, err := h.Store.Get(ctx, h.prefix+it.key, objectstore.GetOptions{IfMatch: o.ETag})
	if errors.Is(err, objectstore.ErrPrecondition) {
		return o, attr, false, nil
	}
	if err != nil {
		return o, attr, false, err
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := body.WriteTo(sum); err != nil {
		return o, attr, false, err
	}
	return o, attr, [32]byte(sum.Sum(nil)) == sums.sha256, nil
}

// sums are the hashes of what is here.
type sums struct {
	size   int64
	sha256 [32]byte
	md5    string // in hexadecimal, as in an ETag; empty when it was not asked for
}

// sums is hash, behind the gate.
func (h *disk) sums(path string, info tree.Info, withMD5 bool) (sums, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return h.hash(path, info, withMD5)
}

// hash reads a file or a link. One that may not be read has no sums, and is equal to nothing.
func (h *disk) hash(path string, info tree.Info, withMD5 bool) (s sums, err error) {
	if info.IsSymlink() {
		target, err := h.Root.Readlink(path)
		if err != nil {
			return s, err
		}
		sum := md5.Sum([]byte(target))
		return sums{int64(len(target)), sha256.Sum256([]byte(target)), hex.EncodeToString(sum[:])}, nil
	}
	if h.state(path, info) != info.Stat {
		return h.hashDatabase(path)
	}
	f, err := h.Root.Open(path)
	if errors.Is(err, fs.ErrPermission) || isAbsent(err) || errors.Is(err, tree.ErrNotRegular) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	a, b := sha256.New(), md5.New()
	to := io.Writer(a)
	if withMD5 {
		to = io.MultiWriter(a, b)
	}
	if s.size, err = io.Copy(to, f); err != nil {
		return s, err
	}
	a.Sum(s.sha256[:0])
	if withMD5 {
		s.md5 = hex.EncodeToString(b.Sum(nil))
	}
	return s, nil
}
