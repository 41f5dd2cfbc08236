package fetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// largeObject is the size from which an object comes in ranges.
const largeObject = 16 << 20

// attempts bounds how often an object that is overwritten or damaged while it comes is
// begun anew.
const attempts = 5

// large writes a file from ranges of one version. Its hash is not taken: the store
// checks the content as a whole, and reading it all once more would cost as much as
// fetching it. A hash that the caller knows of that version is kept, so that a rename of the
// file can be a copy inside S3.
func (f *Fetcher) large(ctx context.Context, src Source, t Target) (journal.Entry, error) {
	for attempt := 1; ; attempt++ {
		p, err := create(t)
		if err != nil {
			return journal.Entry{}, err
		}
		e, err := f.download(ctx, src, p, t)
		_ = p.Abort() // of a file that was committed it does nothing
		if !errors.Is(err, objectstore.ErrPrecondition) || attempt == attempts {
			return e, err
		}
		now, err := f.store.Head(ctx, f.prefix+src.Key)
		if err != nil {
			return journal.Entry{}, err
		}
		src = Source{Key: src.Key, ETag: now.ETag, Size: now.Size}
	}
}

func (f *Fetcher) download(ctx context.Context, src Source, p *tree.Pending, t Target) (journal.Entry, error) {
	if err := p.Truncate(src.Size); err != nil {
		return journal.Entry{}, err
	}
	obj, err := f.store.Download(ctx, f.prefix+src.Key, gated{p}, objectstore.DownloadOptions{IfMatch: src.ETag, Size: src.Size})
	if err != nil {
		return journal.Entry{}, err
	}
	attr, err := f.attr(&obj, src.Key)
	if err != nil {
		return journal.Entry{}, err
	}
	if attr.Type() == posixattr.TypeSymlink {
		return journal.Entry{}, &Refused{Key: src.Key, Reason: fmt.Sprintf("a symbolic link to a name of %d bytes", obj.Size)}
	}
	if err := p.Truncate(obj.Size); err != nil {
		return journal.Entry{}, err
	}
	return f.commit(p, &obj, src.Key, attr, src.hashOf(&obj), t)
}

// hashOf is the hash of an object's content, if that is the version that the caller knows the hash of.
func (src Source) hashOf(o *objectstore.Object) [32]byte {
	if src.ETag == "" || o.ETag != src.ETag || o.Size != src.Size {
		return [32]byte{}
	}
	return src.SHA256
}
