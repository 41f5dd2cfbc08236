// Package fetch brings one object of hot/ to one path of the home, whole or not at all.
//
// A file, a symbolic link or a directory's marker, each with its mode and its mtime. A
// small object is one GET; a large one comes as ranges of one version in parallel, and
// from the beginning again when it is overwritten meanwhile. The path gets its name
// last (package tree): no process sees a part of a file, and the file at the path is
// replaced only if it is what the caller has seen.
//
// What this home cannot hold (a link that is too long, a name that the file system
// refuses, a FIFO) is a *Refused: the object stays in S3, and the rest goes on.
package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// Fetcher fetches from one prefix. It is safe for concurrent use.
type Fetcher struct {
	store  *objectstore.Store
	prefix string
	log    *slog.Logger
}

// New makes a Fetcher of the objects below prefix, the hot prefix.
func New(store *objectstore.Store, prefix string, log *slog.Logger) *Fetcher {
	return &Fetcher{store: store, prefix: prefix, log: log}
}

// Source is an object as a listing or an earlier look showed it.
type Source struct {
	Key  string // below the prefix; a directory's marker ends in "/"
	ETag string // the version that is expected; another one is fetched as well
	Size int64

	SHA256 [32]byte // of that version's content, where it is known; else all zero
}

// Target is where it goes.
type Target struct {
	Dir  *tree.Dir
	Name string
	Seen *tree.Info // what is there and may be replaced; nil: nothing may be there

	// Before is called when the whole content is here, right before it gets the name. May be nil.
	Before func() error
}

func (t Target) path() string { return tree.Join(t.Dir.Path(), t.Name) }

// Fetch brings src to t and says what S3 and the home hold then. Its errors are those of
// the store (objectstore.ErrNotFound when the object is gone), *Refused, tree.ErrChanged
// and fs.ErrExist when something else is at the path, and those of the file system.
func (f *Fetcher) Fetch(ctx context.Context, src Source, t Target) (journal.Entry, error) {
	e, err := f.fetch(ctx, src, t)
	if err != nil && tree.IsRefused(err) && !isStoreError(err) {
		return e, &Refused{Key: src.Key, Reason: reason(err), Err: err}
	}
	return e, err
}

func (f *Fetcher) fetch(ctx context.Context, src Source, t Target) (journal.Entry, error) {
	if isMarker(src.Key) {
		return f.directory(ctx, src, t)
	}
	if src.Size > largeObject {
		return f.large(ctx, src, t)
	}
	for attempt := 1; ; attempt++ {
		e, err := f.whole(ctx, src, t)
		if !errors.Is(err, objectstore.ErrChecksum) || attempt == attempts {
			return e, err
		}
		f.log.Warn("the content that arrived differs from the stored object; fetching it again", "event", "fetch_checksum", "key", src.Key, "error", err)
	}
}

// whole fetches an object with one request.
func (f *Fetcher) whole(ctx context.Context, src Source, t Target) (journal.Entry, error) {
	body, err := f.store.Get(ctx, f.prefix+src.Key, objectstore.GetOptions{})
	if err != nil {
		return journal.Entry{}, err
	}
	defer body.Close()
	if body.Size > largeObject { // it grew since it was listed
		body.Close()
		return f.large(ctx, Source{Key: src.Key, ETag: body.ETag, Size: body.Size}, t)
	}
	return f.small(body, src.Key, t)
}

// small writes an object whose body comes in one piece.
func (f *Fetcher) small(body *objectstore.Reader, key string, t Target) (journal.Entry, error) {
	attr, err := f.attr(&body.Object, key)
	if err != nil {
		return journal.Entry{}, err
	}
	if body.Size <= int64(len(buffer{})) {
		buf := buffers.Get().(*buffer)
		defer buffers.Put(buf)
		content, err := readAll(body, buf[:0])
		if err != nil {
			return journal.Entry{}, err
		}
		return f.Content(&body.Object, key, attr, content, sha256.Sum256(content), t)
	}
	if attr.Type() == posixattr.TypeSymlink {
		return journal.Entry{}, &Refused{Key: key, Reason: fmt.Sprintf("a symbolic link to a name of %d bytes", body.Size)}
	}
	return f.stream(body, key, attr, t)
}

// stream writes a file piece by piece as it comes.
func (f *Fetcher) stream(body *objectstore.Reader, key string, attr posixattr.Attr, t Target) (journal.Entry, error) {
	p, err := create(t)
	if err != nil {
		return journal.Entry{}, err
	}
	defer func() { _ = p.Abort() }() // of a file that was committed it does nothing
	sum := sha256.New()
	n, err := body.WriteTo(io.MultiWriter(sum, gated{p}))
	if err == nil && n != body.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = p.Truncate(n) // the end may be a hole
	}
	if err != nil {
		return journal.Entry{}, err
	}
	return f.commit(p, &body.Object, key, attr, [32]byte(sum.Sum(nil)), t)
}

func isStoreError(err error) bool {
	var e *objectstore.Error
	return errors.As(err, &e)
}

// buffer holds the content of most objects, so that a file is one write(2).
type buffer [64 << 10]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// readAll reads to the end; buf has room for what the object says to be its size.
func readAll(body *objectstore.Reader, buf []byte) ([]byte, error) {
	buf = buf[:body.Size]
	if _, err := io.ReadFull(body, buf); err != nil {
		return nil, err
	}
	// The end of the body is where its checksum is checked.
	var one [1]byte
	if n, err := body.Read(one[:]); n > 0 || !errors.Is(err, io.EOF) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%q is longer than it says", body.Key)
		}
		return nil, err
	}
	return buf, nil
}
