package cold

import (
	"fmt"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// listNames has a tree of names as a listing makes it: in directories of 1,000, with ETags as S3 has them.
func listNames(fs *FS, dirs int) {
	l := &listing{in: fs.listings, top: fs.tree.root, prefix: fs.prefix, began: time.Now()}
	fs.mu.Lock()
	fs.listings.pass++
	l.pass, l.ops, l.moves = fs.listings.pass, fs.changes.ops, fs.tree.moves
	fs.mu.Unlock()
	for d := range dirs {
		fs.mu.Lock()
		for i := range 1000 {
			n := d*1000 + i
			l.add(&objectstore.Entry{Object: objectstore.Object{
				Key: fmt.Sprintf("%sdir-%04d/some-file-%07d.txt", fs.prefix, d, n), ETag: fmt.Sprintf("%032x", n*2654435761), Size: int64(n), LastModified: time.Unix(1e9+int64(n), 0),
			}})
		}
		fs.mu.Unlock()
	}
	fs.mu.Lock()
	l.leave(0)
	l.complete(fs.tree.root)
	fs.mu.Unlock()
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryOfNames bounds what a name takes of which no more is known than what a listing tells.
func TestMemoryOfNames(t *testing.T) {
	const dirs, most = 100, 160
	fs := newFS(t)
	before := inUse()
	listNames(fs, dirs)
	if each := (inUse() - before) / (dirs * 1000); each > most {
		t.Errorf("%d bytes a name", each)
	}
	runtime.KeepAlive(fs)
}

// TestLoopsSeeNothingThatHasGone while they gave mu up.
func TestLoopsSeeNothingThatHasGone(t *testing.T) {
	t.Parallel()
	fs, there, cleared := &core{}, map[int]bool{}, false
	for i := range 100 * breath {
		there[i] = true
	}
	fs.mu.Lock()
	go func() {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		clear(there)
		cleared = true
	}()
	for !cleared {
		for i := range breathing(fs, maps.Keys(there)) {
			if !there[i] {
				t.Fatalf("%d has gone, and is seen", i)
			}
		}
	}
	fs.mu.Unlock()
}

// TestClosedFileIsAsListed: what a node has of a file that was written, stored and closed goes with that.
func TestClosedFileIsAsListed(t *testing.T) {
	t.Parallel()
	fs := newFS(t)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.tree.newNode(pending.File)
	fs.tree.attach(fs.tree.root, "f", n)
	n.own().opens, n.own().gen, n.own().dataGen = 1, 3, 5
	if fs.changes.slim(n); n.opens != 1 {
		t.Error("an open file has lost what it has")
	}
	n.own().opens = 0
	if fs.changes.slim(n); n.extra != &nothing {
		t.Errorf("it still has %+v", *n.extra)
	}
	n.own().data = "name"
	if fs.changes.slim(n); !n.dirty() {
		t.Error("a dirty file has lost its content")
	}
	if !NothingIsWritten() {
		t.Error("what nodes share was written")
	}
}

// TestIDs: a node that the front refers to is found by its ID, which another one gets when that has forgotten it.
func TestIDs(t *testing.T) {
	t.Parallel()
	fs := newFS(t)
	fs.mu.Lock()
	known := func(name string) Attr {
		n := fs.tree.newNode(pending.File)
		fs.tree.attach(fs.tree.root, name, n)
		return fs.changes.refer(n)
	}
	a, b := known("a"), known("b")
	fs.changes.refer(fs.tree.known(a.ID))
	fs.mu.Unlock()
	fs.Forget(a.ID, 1)
	if got, err := fs.Stat(a.ID); err != nil || got.ID != a.ID {
		t.Errorf("a node with a reference left is %+v, %v", got, err)
	}
	fs.Forget(a.ID, 1)
	if got, err := fs.Stat(a.ID); err == nil {
		t.Errorf("a forgotten node is %+v", got)
	}
	fs.Forget(a.ID, 1)
	fs.Forget(1<<40, 1)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if c := known("c"); c.ID != a.ID || fs.tree.known(c.ID).name != "c" || fs.tree.known(b.ID).name != "b" {
		t.Errorf("IDs: %d, %d, %d", a.ID, b.ID, c.ID)
	}
	n := fs.tree.known(b.ID)
	n.lookups = lookupsMost - 1
	fs.changes.refer(n)
	fs.changes.refer(n)
	fs.mu.Unlock()
	fs.Forget(b.ID, lookupsMost)
	fs.mu.Lock()
	if fs.tree.known(b.ID) != n {
		t.Error("a node with more references than are counted is forgotten")
	}
}
