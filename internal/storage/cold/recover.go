package cold

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/hot/conflict"
)

// recover makes tree and slots of what an earlier process left in its journal.
func (fs *FS) recover(entries map[string]pending.Entry) error {
	all := slices.SortedFunc(maps.Values(entries), func(a, b pending.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	used := map[string]bool{}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	// Directories first: whatever they hold is attached to them.
	for _, dirs := range []bool{true, false} {
		for i := range all {
			if e := &all[i]; (e.Kind == pending.Dir) == dirs {
				used[e.Data] = true
				if err := fs.recoverEntry(e); err != nil {
					return err
				}
			}
		}
	}
	names, err := fs.cache.DirtyNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !used[name] { // of a file that had lost its name, or of an upload that was just done
			if err := fs.cache.RemoveDirty(name); err != nil {
				return err
			}
		}
	}
	if len(all) > 0 {
		fs.log.Info("changes of the cold path that an earlier process did not bring to S3 go up now", "event", "cold_recovered", "changes", len(all))
	}
	return nil
}

func (fs *FS) recoverEntry(e *pending.Entry) error {
	fs.seq = max(fs.seq, e.Seq)
	s := &slot{
		path: e.Path, seq: e.Seq, first: e.Seq, since: time.Unix(0, e.Since), base: e.Base,
		writes: e.Writes, uploadID: e.UploadID,
	}
	if e.Kind != pending.Nothing {
		n, err := fs.recoverNode(e)
		if err != nil {
			return err
		}
		if n == nil {
			return fs.journal.Apply(pending.Batch{Remove: []string{e.Path}}, len(fs.slots))
		}
		s.node, s.uploadGen = n, n.gen
		if e.Live { // it may have changed since the upload began, and its metadata with it
			fs.abandon(e.Path, s.uploadID)
			s.uploadID = ""
		}
		if path := n.slotPath(); path != e.Path {
			return fs.recoverAs(s, path)
		}
	}
	fs.slots[s.path] = s
	fs.enqueue(s)
	return nil
}

// enqueue gives a slot that was made without tx its places.
func (fs *FS) enqueue(s *slot) {
	if s.deletion() {
		fs.countDeletion(s.path, 1)
	} else {
		fs.uploads.set(s)
	}
	s.due = time.Now()
	fs.ready.set(s)
}

// recoverAs has a file that must not replace what S3 has under its name go up under another.
func (fs *FS) recoverAs(s *slot, path string) error {
	old := s.path
	s.path, s.base, s.writes, s.uploadID = path, version{}, nil, ""
	fs.slots[path] = s
	fs.enqueue(s)
	return fs.journal.Apply(pending.Batch{Remove: []string{old}, Put: []pending.Entry{s.entry()}}, len(fs.slots))
}

// recoverNode makes the node of an entry; nil when nothing is left of it.
func (fs *FS) recoverNode(e *pending.Entry) (*node, error) {
	path, isDir := strings.CutSuffix(e.Path, "/")
	parent, name := fs.recoverParent(path)
	n := parent.dir.child(name)
	if n == nil || n.kind != e.Kind {
		if isDir != (e.Kind == pending.Dir) {
			return nil, fmt.Errorf("the cold path's journal calls %q a thing of kind %d", e.Path, e.Kind)
		}
		n = fs.newNode(e.Kind)
	}
	n.mode, n.mtime, n.target = e.Mode, e.Mtime, e.Target
	n.modeKnown, n.mtimeKnown = !e.ModeGuessed, !e.MtimeGuessed
	n.ctime, n.gen, n.synced = e.Since, 1, e.Synced
	n.remote = e.Source.Version
	switch {
	case e.Kind == pending.Symlink:
		n.size = int64(len(n.target))
	case e.Kind == pending.File && e.Data == "":
		n.size = n.remote.Size
	case e.Kind == pending.File:
		keep, err := fs.recoverData(n, e)
		if err != nil || !keep {
			return nil, err
		}
		if n.dirty() && fs.cache.Rebooted() && !e.Synced {
			// What was not synced when the machine went down may be torn: S3 keeps the name.
			was := name
			for at := time.Now(); parent.dir.child(name) != nil || name == was; at = at.Add(time.Millisecond) {
				name = conflict.Name(was, fs.cfg.SandboxID, at)
			}
			fs.log.Warn("a file that was not yet in S3 when the machine went down may be torn; it is kept under another name",
				"event", "cold_torn", "path", e.Path, "kept_as", name)
		}
	}
	if n.parent == nil {
		fs.attach(parent, name, n)
	}
	if e.Source.Path != "" && e.Source.Path != e.Path {
		fs.setOrigin(n, e.Source.Path)
	}
	return n, nil
}

// recoverData takes up a file's content. Without content here it is as S3 has it; without that
// either there is nothing to keep.
func (fs *FS) recoverData(n *node, e *pending.Entry) (bool, error) {
	f, err := fs.cache.OpenDirty(e.Data)
	if errors.Is(err, os.ErrNotExist) {
		n.size = n.remote.Size
		if n.remote.ETag == "" {
			fs.log.Error("the content of a file that was not yet in S3 is missing from the cache", "event", "cold_lost", "path", e.Path)
		}
		return n.remote.ETag != "", nil
	}
	if err != nil {
		return false, err
	}
	n.data, n.size, n.dataGen, n.live = e.Data, f.Size(), 1, false
	if e.Live {
		n.mtime = f.Modified().UnixNano()
	}
	whole := f.Whole()
	f.Return()
	if !whole && fs.cache.Rebooted() && !e.Synced {
		fs.log.Error("changes to a part of a file were lost when the machine went down; it is as it is in S3", "event", "cold_lost", "path", e.Path)
		n.data, n.size = "", n.remote.Size
		return false, fs.cache.RemoveDirty(e.Data)
	}
	return true, nil
}

// recoverParent finds or makes the directories that a path is in.
func (fs *FS) recoverParent(path string) (*node, string) {
	n := fs.root
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return n, name
		}
		c := n.dir.child(name)
		if c == nil || !c.isDir() {
			c = fs.newNode(pending.Dir)
			c.mode, c.modeKnown, c.mtimeKnown = 0o755, true, true
			c.mtime, c.ctime = fs.root.mtime, fs.root.ctime
			fs.attach(n, name, c)
		}
		n, path = c, rest
	}
}
