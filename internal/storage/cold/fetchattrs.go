package cold

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// fetchAttrs fetches the attributes that no listing, index or request has told yet, since a write
// replaces all metadata.
func (cs *contents) fetchAttrs(ctx context.Context, n *node) error {
	cs.mu.Lock()
	known := n.modeKnown && n.mtimeKnown || !n.hasRemote() || n.parent == nil
	source := ""
	if !known {
		source = n.source()
	}
	cs.mu.Unlock()
	if known {
		return nil
	}
	key, err := keyOf(source)
	if err != nil {
		return err
	}
	o, err := cs.store.Head(ctx, cs.prefix+key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil // the write that follows finds out what that means
	}
	if err != nil {
		return err
	}
	cs.mu.Lock()
	link := cs.applyAttrs(n, o, nil)
	cs.mu.Unlock()
	if link {
		return cs.fillAll(ctx, n) // with its body it becomes one
	}
	return nil
}

// applyAttrs takes the attributes of an object that a response told; body is its content when that
// came along. It says whether the node is a link whose target has to be read first. With mu.
func (cs *contents) applyAttrs(n *node, o objectstore.Object, body []byte) (link bool) {
	if o.ETag != n.remote().ETag || n.modeKnown && n.mtimeKnown || n.stale {
		return false
	}
	a, err := posixattr.Decode(o.Metadata, o.LastModified, n.isDir())
	if err != nil {
		cs.log.Debug("attributes in an object's metadata cannot be read", "event", "cold_attributes", "key", o.Key, "error", err)
	}
	if a.Type() == posixattr.TypeSymlink && n.kind == pending.File && o.Size > 0 && o.Size <= maxTarget {
		if body == nil {
			return true
		}
		cs.becomeLink(n, a, string(body))
		return false
	}
	if !n.modeKnown {
		n.mode, n.modeKnown = uint16(a.Perm()&permMask), true
	}
	if !n.mtimeKnown {
		n.mtime, n.mtimeKnown = a.Mtime, true
	}
	if f := foreign(o.Metadata); f != nil || n.foreign != nil {
		n.own().foreign = f
	}
	if n.mode != 0o644 || n.mtime != o.LastModified.UnixNano() { // else a listing tells as much
		cs.index.put(n)
	}
	return false
}

// maxTarget is the longest target of a symbolic link (PATH_MAX, without the NUL).
const maxTarget = 4095

// becomeLink puts a link where a listing made believe that there was a file. An open of the file
// gets ESTALE, and the kernel looks the name up again.
func (cs *contents) becomeLink(n *node, a posixattr.Attr, target string) {
	n.stale = true
	parent := n.parent
	if parent == nil || cs.changes.dirtyKeys[n.path()] != nil {
		return
	}
	cs.changes.detach(n)
	l := cs.tree.newNode(pending.Symlink)
	l.mode, l.mtime, l.modeKnown, l.mtimeKnown = uint16(a.Perm()&permMask), a.Mtime, true, true
	l.ctime, l.size, l.own().target = n.ctime, int64(len(target)), target
	l.setRemote(n.remote())
	l.pass, l.checked, l.own().touched = n.pass, n.checked, n.touched
	cs.tree.attach(parent, n.name, l)
	cs.index.put(l)
	cs.tree.notifyEntry(parent, n.name)
}

// permMask is what is kept of a mode: setuid and setgid never enter a sandbox.
const permMask = 0o1777

// foreign is the metadata that other tools laid down beside ours.
func foreign(meta map[string]string) map[string]string {
	ours := posixattr.Encode(posixattr.Attr{}, "-")
	var f map[string]string
	for k, v := range meta {
		if _, is := ours[k]; !is && k != "mode" && k != "mtime" && k != "uid" && k != "gid" {
			if f == nil {
				f = map[string]string{}
			}
			f[k] = v
		}
	}
	return maps.Clone(f)
}

// versionOf is what a response says S3 has.
func versionOf(o objectstore.Object, size int64) version {
	if o.ETag == "" {
		return version{}
	}
	at := o.LastModified
	if at.IsZero() {
		at = o.Date
	}
	if at.IsZero() {
		at = time.Now()
	}
	return version{ETag: o.ETag, Size: size, Modified: at.Unix()}
}
