package cold

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/attrindex"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

const (
	// indexKey is where the index is shared with the next sandbox, below the meta prefix.
	indexKey = "cold/attrs"

	// publishAfter is how long after a change the index is shared. What a crash keeps from
	// being shared is in the objects' metadata all the same.
	publishAfter = time.Minute

	// indexWait is the longest that the first listing waits for the shared index.
	indexWait = 10 * time.Second
)

// attrIndex is the index of attributes, and its copy in S3.
type attrIndex struct {
	*core
	x      *attrindex.Index
	dir    string
	loaded chan struct{} // closed when the shared index is in, or cannot be had

	mu      sync.Mutex
	timer   *time.Timer // of the next publish
	news    bool        // there is something to share
	sharing sync.Mutex  // one at a time
	etag    string      // of the shared index, as this one knows it
}

func openIndex(c *core, dir string) (*attrIndex, error) {
	x, err := attrindex.Open(dir, c.cache.WithRoom)
	if err != nil {
		return nil, err
	}
	a := &attrIndex{core: c, x: x, dir: dir, loaded: make(chan struct{})}
	if b, err := os.ReadFile(a.file("etag")); err == nil {
		a.etag = string(b)
	}
	return a, nil
}

func (a *attrIndex) file(suffix string) string { return filepath.Join(a.dir, "attrs."+suffix) }

func (a *attrIndex) key() string { return a.cfg.MetaPrefix() + indexKey }

// put remembers what is known of a node's object. With core.mu.
func (a *attrIndex) put(n *node) {
	if n.parent == nil || n.origin != "" || !n.hasRemote() || !n.modeKnown || !n.mtimeKnown {
		return
	}
	key, err := keyOf(n.objectPath())
	if err != nil {
		return
	}
	a.note(attrindex.Entry{
		Key: key, ETag: n.remote().ETag, Size: n.remote().Size, Modified: n.remote().Modified,
		Mode: n.stMode(), Mtime: n.mtime, Target: n.target, Ctime: n.ctime, Ino: n.ino,
	})
}

// drop forgets an object that is gone.
func (a *attrIndex) drop(path string) {
	if key, err := keyOf(path); err == nil {
		a.note(attrindex.Entry{Key: key})
	}
}

func (a *attrIndex) note(e attrindex.Entry) {
	if err := a.x.Put(e); err != nil {
		a.log.Warn("attributes will have to be asked for again", "event", "cold_index", "error", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.news = true
	a.schedule()
	if _, recent := a.x.Counts(); recent == attrindex.FoldAt || a.x.Doubtful() {
		a.timer.Reset(0)
	}
}

// schedule has the index be shared in a while. With mu.
func (a *attrIndex) schedule() {
	if a.timer == nil {
		a.timer = time.AfterFunc(publishAfter, func() { a.publish(a.ctx, a.store.ServerDate().Unix()) })
	}
}

// find gives a node that a listing shows the attributes that are known of that very version. With
// core.mu.
func (a *attrIndex) find(n *node, key string) bool {
	e, ok := a.x.Find(key)
	if !ok || !e.Is(n.remote().ETag, n.remote().Size, n.remote().Modified) {
		return false
	}
	if t := e.Mode & posixattr.TypeMask; t != n.typeBits() {
		if t != posixattr.TypeSymlink || n.kind != pending.File || n.lookups > 0 || n.content != nil {
			return false
		}
		n.kind, n.own().target = pending.Symlink, e.Target
		n.setSize(int64(len(e.Target)))
	}
	n.mode, n.mtime = uint16(e.Mode&permMask), e.Mtime
	if e.Ctime != 0 {
		n.ctime = e.Ctime
	}
	if n.lookups == 0 && e.Ino != 0 {
		n.ino = e.Ino
	}
	n.modeKnown, n.mtimeKnown = true, true
	return true
}

// findDir gives a directory whose marker no listing has shown yet the attributes that it had. With
// core.mu.
func (a *attrIndex) findDir(n *node) {
	key, err := keyOf(n.objectPath())
	if err != nil {
		return
	}
	if e, ok := a.x.Find(key); ok && e.Mode&posixattr.TypeMask == posixattr.TypeDir {
		n.mode, n.mtime = uint16(e.Mode&permMask), e.Mtime
	}
}

// load takes in the index that an earlier sandbox shared.
func (a *attrIndex) load() {
	defer close(a.loaded)
	ctx, cancel := context.WithTimeout(a.ctx, indexWait)
	defer cancel()
	if err := a.adopt(ctx); err != nil && a.ctx.Err() == nil {
		a.log.Info("the shared index of attributes is not there; modes and links show when files are opened",
			"event", "cold_index", "error", err)
	}
}

// adopt reads the shared index when it is not the one that is known.
func (a *attrIndex) adopt(ctx context.Context) error {
	rd, err := a.store.Get(ctx, a.key(), objectstore.GetOptions{})
	if errors.Is(err, objectstore.ErrNotFound) {
		a.setETag("")
		return nil
	}
	if err != nil {
		return err
	}
	defer rd.Close()
	if rd.ETag == a.etag {
		return nil
	}
	name := a.file("theirs")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(name)
	_, err = io.Copy(f, rd)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := a.x.Adopt(name, a.store.ServerDate().Unix()); err != nil {
		// Damaged, or of a newer form: the next publish replaces it.
		a.log.Warn("the shared index of attributes cannot be read", "event", "cold_index", "error", err)
	}
	a.setETag(rd.ETag)
	return nil
}

func (a *attrIndex) setETag(etag string) {
	a.etag = etag
	if err := os.WriteFile(a.file("etag"), []byte(etag), 0o600); err != nil {
		a.log.Debug("the shared index will be read again", "event", "cold_index", "error", err)
	}
}

// publish shares what is new; asOf is as for attrindex.Index.Fold. What is left is shared later.
func (a *attrIndex) publish(ctx context.Context, asOf int64) {
	a.sharing.Lock()
	defer a.sharing.Unlock()
	<-a.loaded
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	_, recent := a.x.Counts()
	some := a.news || recent > 0
	a.news = false
	a.mu.Unlock()
	if !some || ctx.Err() != nil {
		return
	}
	err := a.share(ctx, asOf)
	if errors.Is(err, objectstore.ErrPrecondition) {
		if err = a.adopt(ctx); err == nil {
			err = a.share(ctx, asOf)
		}
	}
	if err != nil && ctx.Err() == nil {
		a.log.Info("the index of attributes could not be shared; it is tried again later", "event", "cold_index", "error", err)
	}
	_, recent = a.x.Counts()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.news = a.news || err != nil
	if (a.news || recent > 0) && a.ctx.Err() == nil {
		a.schedule()
	}
}

func (a *attrIndex) share(ctx context.Context, asOf int64) error {
	if err := a.x.Fold(asOf); err != nil {
		return err
	}
	f, size, err := a.x.Table()
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, release, err := a.fence.Write(ctx)
	if err != nil {
		return err
	}
	defer release()
	o, err := a.store.Put(ctx, a.key(), f, size, objectstore.PutOptions{
		Condition: objectstore.Condition{IfMatch: a.etag, IfNoneMatch: a.etag == ""},
		Metadata:  map[string]string{posixattr.WriteIDKey: newDataName()},
	})
	if err != nil {
		return fmt.Errorf("cannot write the index: %w", err)
	}
	a.setETag(o.ETag)
	return nil
}

func (a *attrIndex) close() error {
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	a.sharing.Lock()
	defer a.sharing.Unlock()
	return a.x.Close()
}
