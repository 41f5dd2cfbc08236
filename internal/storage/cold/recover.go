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

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/hot/conflict"
)

// recover makes tree and dirty keys of what an earlier process left in its journal. What is damaged is set
// aside and named, and never keeps the rest from being recovered.
func (fs *FS) recover(found pending.Found) error {
	all := slices.SortedFunc(maps.Values(found.Entries), func(a, b pending.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if found.Damaged != nil {
		fs.log.Error("the cold path's journal is damaged; it was set aside, and what it does not tell any more goes up under other names",
			"event", "cold_damaged", "kept_as", found.SetAside, "error", found.Damaged)
		fs.damaged = append(fs.damaged, contract.Unsaved{Path: found.SetAside, Reason: fmt.Sprintf("the cold path's journal is damaged: %v", found.Damaged)})
	}
	crash := fs.judgeCrash(all)
	used := map[string]bool{}
	// Directories first: the entries in them are attached to them.
	for _, dirs := range []bool{true, false} {
		for i := range all {
			if e := &all[i]; (e.Kind == pending.Dir) == dirs {
				used[e.Data] = true
				if err := fs.recoverEntry(e, crash); err != nil {
					fs.setAside(e, err)
				}
			}
		}
	}
	names, err := fs.cache.DirtyNames()
	if err != nil {
		return err
	}
	lostEntries := fs.cache.Rebooted() || found.Damaged != nil
	for _, name := range names {
		if used[name] {
			continue
		}
		if lostEntries && !found.Mentioned[name] {
			fs.recoverUnnamed(name)
		} else if err := fs.cache.RemoveDirty(name); err != nil { // of a file that had lost its name, or of an upload that was just done
			fs.log.Warn("cached content that is wanted no longer cannot be removed", "event", "cold_cache_remove", "error", err)
		}
	}
	if len(all) > 0 {
		fs.log.Info("changes of the cold path that an earlier process did not bring to S3 go up now", "event", "cold_recovered", "changes", len(all))
	}
	return fs.cache.Recovered()
}

// setAside lets go of an entry that cannot be recovered: its content is kept where nothing touches it.
func (fs *FS) setAside(e *pending.Entry, why error) {
	u := contract.Unsaved{Path: fs.sandboxPath(e.Path), Reason: why.Error()}
	if e.Data != "" {
		kept, err := fs.cache.SetAside(e.Data)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			fs.log.Error("damaged content cannot be set aside; it stays in the cache's directory", "event", "cold_damaged", "path", e.Path, "error", err)
		}
		if kept != "" {
			u.Reason += "; what is here of its content is kept in " + kept
		}
	}
	fs.log.Error("a change of the cold path cannot be recovered; the file is as it is in S3", "event", "cold_damaged", "path", e.Path, "reason", u.Reason)
	fs.damaged = append(fs.damaged, u)
	fs.rewrite(pending.Batch{Remove: []string{e.Path}})
}

// rewrite has the journal follow what recover decides. Without room for it the next start decides the
// same again.
func (fs *FS) rewrite(b pending.Batch) {
	if err := fs.writeJournal(b); err != nil {
		fs.log.Warn("the cold path's journal does not have what was recovered of it", "event", "cold_journal", "error", err)
	}
}

// recoverUnnamed gives content of which the journal does not speak a name at the root: its entry was
// lost when the machine went down, and its path with it.
func (fs *FS) recoverUnnamed(data string) {
	now := time.Now()
	e := &pending.Entry{
		Path: conflict.Name("recovered-"+data[:min(len(data), 8)], fs.cfg.SandboxID, now),
		Kind: pending.File, Mode: 0o600, Since: now.UnixNano(), Live: true, Data: data, Synced: true,
	}
	n := fs.newNode(pending.File)
	err := fs.recoverData(n, e)
	if err == nil && n.size == 0 {
		if err := fs.cache.RemoveDirty(data); err != nil {
			fs.log.Warn("an empty file in the cache cannot be removed", "event", "cold_cache_remove", "error", err)
		}
		return
	}
	if err != nil {
		fs.setAside(e, err)
		return
	}
	fs.seq++
	e.Seq = fs.seq
	if err := fs.recoverEntry(e, crashed{}); err != nil {
		fs.setAside(e, err)
		return
	}
	fs.log.Warn("content was written shortly before the machine went down, and its path is not known any more; it is kept under another name",
		"event", "cold_torn", "kept_as", e.Path)
	fs.rewrite(pending.Batch{Put: []pending.Entry{fs.dirtyKeys[e.Path].entry()}})
}

func (fs *FS) recoverEntry(e *pending.Entry, crash crashed) error {
	fs.seq = max(fs.seq, e.Seq)
	s := &dirtyKey{
		path: e.Path, seq: e.Seq, first: e.Seq, since: time.Unix(0, e.Since), base: e.Base,
		writes: e.Writes, uploadID: e.UploadID,
	}
	if e.Kind != pending.Nothing {
		n, err := fs.recoverNode(e, crash)
		if err != nil {
			return err
		}
		s.node, s.uploadGen = n, n.gen
		if e.Live { // it may have changed since the upload began, and its metadata with it
			fs.abandon(e.Path, s.uploadID)
			s.uploadID = ""
		}
		if path := n.objectPath(); path != e.Path {
			fs.recoverAs(s, path)
			return nil
		}
	}
	fs.dirtyKeys[s.path] = s
	fs.enqueue(s)
	return nil
}

// enqueue gives a dirty key that was made without tx its places.
func (fs *FS) enqueue(s *dirtyKey) {
	if s.deletion() {
		fs.countDeletion(s.path, 1)
	}
	fs.holdDeletions(s, time.Now())
	s.due = time.Now()
	fs.ready.set(s)
}

// recoverAs has a file that must not replace what S3 has under its name go up under another.
func (fs *FS) recoverAs(s *dirtyKey, path string) {
	old := s.path
	s.path, s.base, s.writes, s.uploadID = path, version{}, nil, ""
	fs.dirtyKeys[path] = s
	fs.enqueue(s)
	fs.rewrite(pending.Batch{Remove: []string{old}, Put: []pending.Entry{s.entry()}})
}

// recoverNode makes the node of an entry.
func (fs *FS) recoverNode(e *pending.Entry, crash crashed) (*node, error) {
	path, isDir := strings.CutSuffix(e.Path, "/")
	parent, name := fs.nearestDir(path)
	n := parent.dir.child(name)
	if n == nil || n.kind != e.Kind {
		if isDir != (e.Kind == pending.Dir) {
			return nil, fmt.Errorf("the cold path's journal calls %q a thing of kind %d", e.Path, e.Kind)
		}
		n = fs.newNode(e.Kind)
	}
	n.mode, n.mtime, n.own().target = e.Mode, e.Mtime, e.Target
	n.modeKnown, n.mtimeKnown = !e.ModeGuessed, !e.MtimeGuessed
	n.ctime, n.own().gen, n.own().synced = e.Since, 1, e.Synced
	n.remote = e.Source.Version
	switch {
	case e.Kind == pending.Symlink:
		n.size = int64(len(n.target))
	case e.Kind == pending.File && e.Data == "":
		n.size = n.remote.Size
	case e.Kind == pending.File:
		if err := fs.recoverData(n, e); err != nil {
			return nil, err
		}
		if other := crash.nameFor(e.Path); n.dirty() && other != "" {
			for at := time.Now(); parent.dir.child(other) != nil; at = at.Add(time.Millisecond) {
				other = conflict.Name(name, fs.cfg.SandboxID, at)
			}
			fs.log.Warn("a file that was not yet in S3 when the machine went down may be torn; it is kept under another name",
				"event", "cold_torn", "path", e.Path, "kept_as", other)
			name = other
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

// Errors of content that cannot be recovered.
var (
	errNoContent = errors.New("its content is missing from the cold path's cache")
	errTornPart  = errors.New("a part of it was changed shortly before the machine went down, and that change was not synced")
)

// recoverData takes up a file's content. Where that is missing, and S3 has an earlier version, the
// file is as S3 has it.
func (fs *FS) recoverData(n *node, e *pending.Entry) error {
	f, err := fs.cache.OpenDirty(e.Data)
	if errors.Is(err, os.ErrNotExist) {
		if n.size = n.remote.Size; n.remote.ETag == "" {
			return errNoContent
		}
		return nil
	}
	if err != nil {
		return err
	}
	n.own().data, n.size, n.own().dataGen, n.own().live = e.Data, f.Size(), 1, false
	if e.Live {
		n.mtime = f.Modified().UnixNano()
	}
	whole := f.Whole()
	f.Return()
	if !whole && (n.remote.ETag == "" || fs.cache.Rebooted() && !e.Synced) {
		n.own().data = ""
		return errTornPart
	}
	return nil
}
