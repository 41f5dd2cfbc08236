package fetch

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// Refused says that an object cannot be at its path in this home, and why.
type Refused struct {
	Key    string // below the prefix
	Reason string
	Err    error // of the file system; nil when the object itself is to blame
}

func (e *Refused) Error() string { return fmt.Sprintf("%q stays in S3: %s", e.Key, e.Reason) }

// Unwrap gives the file system's error.
func (e *Refused) Unwrap() error { return e.Err }

// attr reads the attributes of an object that is no directory's marker.
func (f *Fetcher) attr(o *objectstore.Object, key string) (posixattr.Attr, error) {
	attr, err := posixattr.Decode(o.Metadata, o.LastModified, isMarker(key))
	if err != nil {
		f.log.Warn("attributes of an object cannot be read: the defaults are used", "event", "bad_attributes", "key", key, "error", err)
	}
	return attr, Holdable(key, attr)
}

// Holdable is a *Refused for an object whose type its key cannot have in a home.
func Holdable(key string, attr posixattr.Attr) error {
	want := "a file or a symbolic link"
	switch t := attr.Type(); {
	case isMarker(key):
		return nil // Decode has made it a directory
	case t == posixattr.TypeFile || t == posixattr.TypeSymlink:
		return nil
	case t == posixattr.TypeDir:
		want = `a directory, and a directory's key ends in "/"`
	}
	return &Refused{Key: key, Reason: fmt.Sprintf("its metadata (mode %#o) makes it something other than %s", attr.Mode, want)}
}

// Directory looks up a directory's marker.
func (f *Fetcher) Directory(ctx context.Context, key string) (objectstore.Object, posixattr.Attr, error) {
	o, err := f.store.Head(ctx, f.prefix+key)
	if err != nil {
		return o, posixattr.Attr{}, err
	}
	if o.Size > 0 {
		return o, posixattr.Attr{}, &Refused{Key: key, Reason: fmt.Sprintf("it ends in \"/\" and has %d bytes of content, which a directory has not", o.Size)}
	}
	attr, err := f.attr(&o, key)
	return o, attr, err
}

func (f *Fetcher) directory(ctx context.Context, src Source, t Target) (journal.Entry, error) {
	o, attr, err := f.Directory(ctx, src.Key)
	if err != nil {
		return journal.Entry{}, err
	}
	if t.Seen == nil {
		if err := t.Dir.Mkdir(t.Name); err != nil {
			return journal.Entry{}, err
		}
	}
	if err := t.Dir.SetAttr(t.Name, tree.Attr{Mode: attr.Mode, Mtime: attr.Mtime}); err != nil {
		return journal.Entry{}, err
	}
	i, err := t.Dir.Lstat(t.Name)
	if err != nil {
		return journal.Entry{}, err
	}
	return Entry(&o, src.Key, t.path(), attr, [32]byte{}, i), nil
}

func isMarker(key string) bool { return key != "" && key[len(key)-1] == '/' }

// reason says in a few words why a file system refused a name.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.ENAMETOOLONG):
		return "its name is longer than the file system's names can be"
	case errors.Is(err, syscall.EFBIG):
		return "it is larger than the file system's files can be"
	case errors.Is(err, tree.ErrMounted):
		return "something is mounted there"
	case tree.IsNotDir(err), errors.Is(err, syscall.EISDIR):
		return "a file and a directory would have the same name"
	}
	return "the file system refuses it: " + err.Error()
}
